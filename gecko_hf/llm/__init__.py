"""The LLM protocol and its backends."""
