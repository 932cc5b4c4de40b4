"""Language models behind HTTP: TGI, OpenAI-style completions, SGLang; one transport for all."""
