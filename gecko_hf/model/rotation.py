"""A finished encoder's vectors turned so that their first columns say the most; whole vectors keep every cosine.

A Matryoshka width is the first columns of a vector. The loss teaches them to stand for the whole; what a turn of the axes can do
for them needs no teaching and costs the whole vectors nothing, for lengths and angles do not change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from gecko_hf.model.vectors import Vectors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def principal_axes(vectors: Vectors) -> Vectors:
    """The orthogonal map onto the principal axes, the one along which the vectors are longest first.

    Not centred, since cosines are not: these axes lose the least of the vectors' inner products at every width (Eckart & Young
    1936). An axis has no sign of its own; here its largest entry is positive, so that the same vectors give the same map.

    Args:
        vectors: Shape (n, width). Fewer vectors than columns tell nothing about the last axes, which are any orthogonal ones.

    Returns:
        Shape (width, width); `vectors @ axes` is the turned vectors.
    """
    exact = vectors.astype(np.float64)
    _, axes = np.linalg.eigh(exact.T @ exact)  # by rising eigenvalue
    axes = axes[:, ::-1]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)
    return np.asarray(axes * np.sign(largest), dtype=np.float32)


def rotate(model: SentenceTransformer, axes: Vectors) -> None:
    """Have a model give `vectors @ axes`, in place: by its own linear head where it ends in one, else by a new one.

    Args:
        model: Changed; its vectors have as many columns as `axes`.
        axes: An orthogonal map, shape (width, width).
    """
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    turn = torch.from_numpy(axes.T.copy())
    place = len(model) - isinstance(model[-1], Normalize)
    head = model[place - 1]
    if isinstance(head, Dense) and isinstance(head.activation_function, torch.nn.Identity) and not head.use_residual:
        with torch.no_grad():
            for tensor in (head.linear.weight, head.linear.bias):
                if tensor is not None:
                    tensor.copy_(turn.to(tensor) @ tensor)
        return
    width = len(axes)
    added = Dense(width, width, bias=False, activation_function=torch.nn.Identity(), init_weight=turn)
    model.insert(place, added.to(model.device))
