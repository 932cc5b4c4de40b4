"""Terms that can be added to eq. (3), from sentence-transformers' own losses."""

from __future__ import annotations

from collections.abc import Callable

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss, GlobalOrthogonalRegularizationLoss
from sentence_transformers.util import cos_sim, pairwise_cos_sim
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


def same_label(weight: float, temperature: float) -> Regulariser:
    """Supervised contrastive loss (Khosla et al. 2020, arXiv 2004.11362, eq. 2), over the columns of this device.

    The mean, over a text's companions in label, of minus the log of the companion's share in the softmax over all other texts.
    A row's columns are of one label, the first column of `labels`.
    """

    def term(columns: list[Tensor], labels: Tensor | None) -> Tensor:
        if labels is None:
            raise ValueError("Learning by label needs each row's label: a column `label`.")
        classes = labels[:, 0].repeat(len(columns)).to(columns[0].device)
        shares = _log_softmax_of_others(torch.cat(columns), temperature)
        same = _of_others(classes[:, None] == classes)
        return -weight * ((shares * same).sum(dim=1) / same.sum(dim=1)).mean()

    return term


def keep(weight: float, temperature: float, behind: int = 0) -> Regulariser:
    """What the base knew, kept: whole vectors stay where the base's are, narrow ones give the similarities of its whole ones.

    At the base's own width the term is (1 - cosine with the base's vector) / t, at any other the divergence of each text's
    softmax over all other texts of the batch from that of the base's vectors. (Similarities alone, at the whole width too,
    kept retrieval worse: docs/gecko-mini.md.) Labels are the base's vectors, of a row's texts one after the other: (batch,
    texts a row x width of the base), behind so many other columns.
    """

    def term(columns: list[Tensor], labels: Tensor | None) -> Tensor:
        if labels is None:
            raise ValueError("keep needs the base's vectors of every text: a column `label`.")
        size = len(columns[0])
        teacher = labels[:, behind:].to(columns[0]).reshape(size, len(columns), -1).transpose(0, 1).flatten(0, 1)
        texts = torch.cat(columns)
        if texts.shape[1] == teacher.shape[1]:
            return weight / temperature * (1 - pairwise_cos_sim(texts, teacher)).mean()
        student = _log_softmax_of_others(texts, temperature)
        target = _log_softmax_of_others(teacher, temperature)
        return weight * torch.nn.functional.kl_div(student, target, reduction="batchmean", log_target=True)

    return term


def _log_softmax_of_others(texts: Tensor, temperature: float) -> Tensor:
    """Each text's softmax over the other texts, by cosine: (texts, texts - 1)."""
    return _of_others(cos_sim(texts, texts) / temperature).log_softmax(dim=1)


def _of_others(square: Tensor) -> Tensor:
    """A square matrix without its diagonal: (n, n - 1)."""
    others = ~torch.eye(len(square), dtype=torch.bool, device=square.device)
    return square[others].view(len(square), -1)
