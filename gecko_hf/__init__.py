"""Make a compact, task-prefixed, Matryoshka embedding model from text and an LLM, the Gecko way (arXiv 2403.20327)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gecko_hf.model.task_prefix import Gecko

__version__ = "0.1.0"


def load(name: str, **kwargs: Any) -> Gecko:
    """Load a saved model so that it takes a task in words: `load("org/name").encode(texts, task="fact checking")`.

    Args:
        name: Folder or Hub id.
        kwargs: As for `SentenceTransformer`: device, revision, truncate_dim, ...

    Raises:
        InputError: If the model does not begin with a plain Transformer module.
    """
    from gecko_hf.model.task_prefix import load  # torch is imported on first use, not with the package

    return load(name, **kwargs)
