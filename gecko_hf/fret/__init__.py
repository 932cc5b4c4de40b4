"""FRet, the paper's two LLM steps under the paper's names."""
