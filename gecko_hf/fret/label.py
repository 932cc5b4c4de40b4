"""FRet step 2c: the positive and the hard negative of a query, chosen from its fused ranking (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gecko_hf.fret.rank import Ranked


@dataclass(frozen=True, slots=True)
class Label:
    """Positions, among a query's candidates, of its positive and of its hard negative (None: it has none)."""

    positive: int
    negative: int | None


def choose(
    ranking: Sequence[Ranked], seed: int, positive: Literal["fused", "seed"], negative: Literal["last", "none"]
) -> Label:
    """Choose from a fused ranking.

    Args:
        ranking: Candidates, best first, as `fuse` returns them.
        seed: Position of the seed among the candidates.
        positive: `fused` takes the best candidate, which need not be the seed; `seed` keeps the seed (an ablation).
        negative: `last` takes the lowest candidate that is not the positive (p_N of the paper); `none` takes none.
    """
    best = ranking[0].index if positive == "fused" else seed
    if negative == "none":
        return Label(best, None)
    return Label(best, next(row.index for row in reversed(ranking) if row.index != best))
