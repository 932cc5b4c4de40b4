"""Training the upper layers alone: a step for less time and memory.

The embeddings and the first layers of an encoder hold what many tasks share and change least when it is fine-tuned (Lee et al.
2019, arXiv 1911.03090). Nothing is differentiated through them, so a step costs less than its share of the weights says.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import nn

from gecko_hf.errors import RecipeError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@contextmanager
def frozen_layers(model: SentenceTransformer, count: int) -> Iterator[None]:
    """Keep the embeddings and the first layers of the transformer as they are, for as long as the context lasts.

    Args:
        model: The encoder.
        count: How many layers; 0 freezes nothing, not even the embeddings.

    Raises:
        RecipeError: If the transformer has not more layers than that.
    """
    parts = _lower_parts(model, count) if count else []
    changed = [p for part in parts for p in part.parameters() if p.requires_grad]
    for parameter in changed:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in changed:
            parameter.requires_grad_(True)


def _lower_parts(model: SentenceTransformer, count: int) -> list[nn.Module]:
    inner = model.transformers_model
    if inner is None:
        raise RecipeError("freeze_layers counts the layers of a transformer, and this encoder has none. Set it to 0.")
    # BERT's are `encoder.layer`, ModernBERT's and EuroBERT's `layers`: the first list of modules is the stack.
    stack = next((m for m in inner.modules() if isinstance(m, nn.ModuleList)), nn.ModuleList())
    if count >= len(stack):
        raise RecipeError(
            f"freeze_layers is {count}, and the encoder has {len(stack)} layers, of which one must be trained. "
            f"Set it below {len(stack)}."
        )
    embeddings = getattr(inner, "embeddings", None) or inner.get_input_embeddings()
    return [embeddings, *list(stack)[:count]]
