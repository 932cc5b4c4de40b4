"""The `loss` block of a stage: what work after the paper changed in its loss, each off unless a recipe turns it on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gecko_hf.schema import number


@dataclass(frozen=True)
class LossOptions:
    """Variants of eq. (3); the defaults are the paper's loss.

    Attributes:
        hard_negatives: `own` is the paper's; `all` puts every row's into every denominator, as sentence-transformers does.
        duplicate_mask: Leave out rows with the same query or positive (EmbeddingGemma, arXiv 2509.20354, eq. 3).
        false_negative_margin: Leave out texts of other rows that score above the positive by more than this (Qwen3
            Embedding, arXiv 2506.05176: 0.1); None leaves out nothing.
        hardness: Strength of the weight exp(a * sim(q, n)) of own hard negatives (EmbeddingGemma, eq. 2: 5).
        spread_out: Weight of the spread-out regulariser (Zhang et al. 2017, arXiv 1708.06320; EmbeddingGemma, eq. 4).
        distillation: Weight of the divergence from a teacher's scores, which the rows carry in a column `scores`.
    """

    hard_negatives: Literal["own", "all"] = "own"
    duplicate_mask: bool = False
    false_negative_margin: float | None = None
    hardness: float = number(0.0, low=0.0)
    spread_out: float = number(0.0, low=0.0)
    distillation: float = number(0.0, low=0.0)
