"""Less padding: the texts of a batch are embedded short ones with short ones.

Batches stay as they are drawn, and with them the negatives and the loss; only the forward is cut in parts, each as wide as
its longest text. sentence-transformers pads a whole column to its longest.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

Features = dict[str, Any]


def by_length(features: Features) -> tuple[Features, Tensor]:
    """A tokenized column sorted by length, and for each row of the original its place in the sorted one."""
    lengths = features["attention_mask"].sum(dim=1)
    order = torch.argsort(lengths, stable=True)
    ordered = {k: v[order] if _is_by_row(v, len(order)) else v for k, v in features.items()}
    return ordered, torch.argsort(order)


def embed_by_length(model: Any, features: Features, chunk: int) -> Tensor:
    """The embeddings of a tokenized column in its own order, (batch, width), `chunk` texts of like length at a time."""
    ordered, places = by_length(features)
    parts = [model(_cut(ordered, begin, begin + chunk))["sentence_embedding"] for begin in range(0, len(places), chunk)]
    return torch.cat(parts)[places]


def _cut(features: Features, begin: int, end: int) -> Features:
    """Some rows, without the columns that are padding in all of them; padding may stand on either side."""
    mask = features["attention_mask"]
    seen = mask[begin:end].any(dim=0).nonzero().flatten()
    left, right = int(seen[0]), int(seen[-1]) + 1
    cut: Features = {}
    for key, value in features.items():
        if not _is_by_row(value, len(mask)):
            cut[key] = value
        elif value.ndim >= 2 and value.shape[1] == mask.shape[1]:
            cut[key] = value[begin:end, left:right]
        else:
            cut[key] = value[begin:end]
    return cut


def _is_by_row(value: Any, rows: int) -> bool:
    return isinstance(value, Tensor) and value.ndim >= 1 and value.shape[0] == rows
