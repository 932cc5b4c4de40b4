"""The loss of Gecko's fine-tuning: eq. (3) of the paper.

    L = 1/B sum_i -log  exp(s(q_i, p_i)/t) / Z_i
    Z_i = sum_j ( exp(s(q_i, p_j)/t) + [j != i] exp(s(q_i, q_j)/t) ) + exp(s(q_i, n_i)/t)

In-batch positives of all rows, all other queries ("same tower"; Moiseev et al. 2023), and only the row's *own* hard
negative. sentence-transformers' MultipleNegativesRankingLoss is the same without hard negatives; with them it puts every
row's into every denominator. Eq. (2), the pre-finetuning loss, is this class without negatives and `same_tower=False`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.merged_forward import column_merging_disabled
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.util import all_gather_with_grad, get_rank, pairwise_cos_sim
from torch import Tensor


class GeckoLoss(MultipleNegativesRankingLoss):
    """Eq. (3). Inputs: (query, positive) or (query, positive, negative, ...) columns; no labels.

    Args:
        model: The model that is trained.
        temperature: t. The paper gives none; 0.05 is sentence-transformers' default scale of 20.
        same_tower: Whether other queries of the batch are negatives too.
        gather_across_devices: Whether positives and queries of other devices count as in-batch.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        temperature: float = 0.05,
        *,
        same_tower: bool = True,
        gather_across_devices: bool = False,
    ) -> None:
        super().__init__(
            model,
            scale=1 / temperature,
            gather_across_devices=gather_across_devices,
            directions=("query_to_doc", "query_to_query") if same_tower else ("query_to_doc",),
        )
        self.same_tower = same_tower

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """Embed each column by itself: queries are short, and one merged forward would pad them to passage length."""
        with column_merging_disabled():
            loss: Tensor = super().forward(sentence_features, labels)
        return loss

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """The loss of embedded columns.

        Args:
            embeddings: Queries, positives, and any number of negatives; each of shape (batch, width).
            labels: Not used.
        """
        # The softmax is taken in float32 (float64 stays): bfloat16 keeps 3 digits, and 1/t multiplies what it lost.
        queries, positives, *negatives = [e.float() if e.dtype != torch.float64 else e for e in embeddings]
        all_queries, all_positives, offset = queries, positives, 0
        if self.gather_across_devices:
            all_queries, all_positives = all_gather_with_grad(queries), all_gather_with_grad(positives)
            offset = get_rank() * len(queries)
        own = torch.arange(len(queries), device=queries.device)
        scores = [self.similarity_fct(queries, all_positives)]
        if self.same_tower:
            others = self.similarity_fct(queries, all_queries)
            scores.append(others.index_put((own, own + offset), others.new_tensor(-torch.inf)))
        scores.extend(pairwise_cos_sim(queries, n).unsqueeze(1) for n in negatives)
        logits = torch.cat(scores, dim=1) * self.scale
        return torch.nn.functional.cross_entropy(logits, own + offset)

    def get_config_dict(self) -> dict[str, Any]:
        """What the model card shows."""
        return {
            "temperature": self.temperature,
            "same_tower": self.same_tower,
            "gather_across_devices": self.gather_across_devices,
        }

    @property
    def citation(self) -> str:
        """BibTeX of the paper."""
        return """
@misc{lee2024gecko,
    title={Gecko: Versatile Text Embeddings Distilled from Large Language Models},
    author={Jinhyuk Lee and others},
    year={2024},
    eprint={2403.20327},
    archivePrefix={arXiv},
    primaryClass={cs.CL}
}
"""
