"""Make a compact, task-prefixed, Matryoshka embedding model from text and an LLM, the Gecko way (arXiv 2403.20327)."""

__version__ = "0.1.0"
