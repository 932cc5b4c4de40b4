"""Weights between two models: what fine-tuning gained without all of what it forgot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def merge_into(model: SentenceTransformer, other: SentenceTransformer, share: float) -> None:
    """Move a model's weights in place to (1 - share) * its own + share * those of `other`.

    With `other` the encoder that training began from this is WiSE-FT (Wortsman et al. 2022, arXiv 2109.01903).
    sentence-transformers merges models through mergekit, which brings a stack of its own; a straight line needs none.

    Args:
        model: Changed.
        other: A model of the same architecture; not changed.
        share: From 0 (nothing changes) to 1.

    Raises:
        ValueError: If the share is out of range, or the two have not the same weights by name and shape.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}; it must be between 0 and 1.")
    own, others = model.state_dict(), other.state_dict()
    if {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in others.items()}:
        raise ValueError("The two models have different weights; only models of one architecture can be merged.")
    moved: set[int] = set()
    with torch.no_grad():
        for name, tensor in own.items():
            # T5's embeddings stand there under two names, and would be moved twice.
            if tensor.is_floating_point() and tensor.data_ptr() not in moved:
                moved.add(tensor.data_ptr())
                tensor.lerp_(others[name].to(tensor), share)


def average_with(model: SentenceTransformer, others: Iterable[SentenceTransformer]) -> None:
    """Move a model's weights in place to the mean of its own and those of others: the last checkpoints of a stage, say.

    A mean over the end of training often does better than its last step (Izmailov et al. 2018, arXiv 1803.05407).

    Raises:
        ValueError: If one has another architecture.
    """
    for count, other in enumerate(others, start=2):
        merge_into(model, other, 1 / count)
