"""Terms that can be added to eq. (3), from sentence-transformers' own losses."""

from __future__ import annotations

from collections.abc import Callable

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss, GlobalOrthogonalRegularizationLoss
from sentence_transformers.util import pairwise_cos_sim
from torch import Tensor

Regulariser = Callable[[list[Tensor], Tensor | None], Tensor]


def spread_out(model: SentenceTransformer, weight: float) -> Regulariser:
    """Queries and positives of a batch are pushed apart, each among themselves (of this device)."""
    loss = GlobalOrthogonalRegularizationLoss(model, aggregation="sum")

    def term(columns: list[Tensor], labels: Tensor | None) -> Tensor:
        return weight * torch.stack(list(loss.compute_loss_from_embeddings(columns[:2]).values())).sum()

    return term


def distillation(model: SentenceTransformer, weight: float, temperature: float) -> Regulariser:
    """The divergence of a row's softmax over its own positive and negatives from the softmax of a teacher's scores.

    The teacher's scores are logits: they are not divided by a temperature.
    """
    loss = DistillKLDivLoss(
        model, similarity_fct=pairwise_cos_sim, student_temperature=temperature, teacher_temperature=1.0
    )

    def term(columns: list[Tensor], labels: Tensor | None) -> Tensor:
        if labels is None:
            raise ValueError(
                "Distillation needs the teacher's scores of the positive and the negatives: a column `scores`."
            )
        # The library multiplies by the squared temperature, which keeps gradients comparable at high ones and would
        # make them vanish at the low ones of contrastive training.
        return weight / temperature**2 * loss.compute_loss_from_embeddings(columns, labels.to(columns[0]))

    return term
