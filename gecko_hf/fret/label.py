"""FRet step 2c: the positive and the hard negative of a query, chosen from its scores (paper, section 3.2).

Everything here works on scores that `labels` keeps, so other choices need no new LLM call (`relabel.py`).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gecko_hf.corpus.passages import Passage
from gecko_hf.fret.decontaminate import TestSets
from gecko_hf.fret.rank import Ranked, fuse, relevance
from gecko_hf.fret.recipe import FRetRecipe

LABEL_GATES = ("margin", "test passage")  # reasons of `label`; all others were given before judging


@dataclass(frozen=True, slots=True)
class Judged:
    """A query with the scores of its candidates: all that labelling needs. Lists run along `candidate_ids`.

    Attributes:
        retrieval_rank: From 1; None for a seed that the retriever did not find.
        retrieval_score: Cosine similarity of task + query and passage.
        ql: Mean log-likelihood of the query's tokens given the passage, in nats.
        grades: Log-likelihoods of the relevance labels, worst first; shape (candidates, labels).
    """

    task: str
    query: str
    seed_id: str
    candidate_ids: list[str]
    retrieval_rank: list[int | None]
    retrieval_score: list[float]
    ql: list[float]
    grades: list[list[float]]


@dataclass(frozen=True, slots=True)
class Label:
    """Positions, among a query's candidates, of its positive and of its hard negative (None: it has none)."""

    positive: int
    negative: int | None


def choose(ranking: Sequence[Ranked], judged: Judged, recipe: FRetRecipe, seed: int) -> Label:
    """Choose from a fused ranking.

    Args:
        ranking: Candidates, best first, as `fuse` returns them.
        judged: Their scores.
        recipe: `positive`: the best of a ranking, which need not be the seed, or the seed itself (an ablation).
            `negative`: the lowest candidate (p_N of the paper), a random one of the rest, the one at `negative_rank` of the
            fused order, or none. A candidate whose retrieval score exceeds `negative_margin` times the positive's is
            likely to be relevant too and is passed over: `last` looks upwards from the end, `rank` downwards and then upwards.
        seed: Seeds the random negative, together with the query.
    """
    best = _positive(ranking, judged, recipe.positive)
    if recipe.negative == "none":
        return Label(best, None)
    limit = None if recipe.negative_margin is None else recipe.negative_margin * judged.retrieval_score[best]
    k = recipe.negative_rank - 1
    rest = ranking if recipe.negative != "rank" else [*ranking[k:], *reversed(ranking[:k])]
    allowed = [
        row.index for row in rest if row.index != best and (limit is None or judged.retrieval_score[row.index] <= limit)
    ]
    if not allowed:
        return Label(best, None)
    if recipe.negative == "random":
        digest = hashlib.sha256(f"{seed}:{judged.seed_id}:{judged.query}".encode()).digest()
        draw = random.Random(int.from_bytes(digest[:8]))  # not security: seeded sampling
        return Label(best, allowed[draw.randrange(len(allowed))])
    return Label(best, allowed[0] if recipe.negative == "rank" else allowed[-1])


def _positive(ranking: Sequence[Ranked], judged: Judged, by: str) -> int:
    if by == "seed":
        return judged.candidate_ids.index(judged.seed_id)
    if by == "retriever":
        return judged.retrieval_rank.index(1)
    if by == "ql":
        return min(ranking, key=lambda row: row.ql_rank).index
    if by == "rc":
        return min(ranking, key=lambda row: row.rc_rank).index
    return ranking[0].index


def label(
    judged: Judged,
    recipe: FRetRecipe,
    seed: int,
    passage_of: Callable[[str], Passage],
    tests: TestSets | None = None,
) -> dict[str, Any]:
    """A row of the `labels` config, without provenance: the scores, what was chosen, or why nothing could be.

    `set_aside` is None, or the reason for which the query gives no training row, with the name of its gate before a colon.
    """
    ids = judged.candidate_ids
    rc = [relevance(grades, recipe.relevance) for grades in judged.grades]
    ranking = fuse(judged.ql, rc, ids)
    chosen = choose(ranking, judged, recipe, seed)
    place = {row.index: (position, row) for position, row in enumerate(ranking, 1)}
    reason = None
    if chosen.negative is None and recipe.negative != "none":
        reason = (
            f"margin: every other candidate scores above {recipe.negative_margin} of the positive's retrieval score"
        )
    elif tests is not None and (match := tests.match(passage_of(ids[chosen.positive]).text)):
        reason = f"test passage: {match}"
    return {
        **{name: getattr(judged, name) for name in Judged.__slots__},
        "rc": rc,
        "ql_rank": [place[i][1].ql_rank for i in range(len(ids))],
        "rc_rank": [place[i][1].rc_rank for i in range(len(ids))],
        "fused": [place[i][1].fused for i in range(len(ids))],
        "fused_rank": [place[i][0] for i in range(len(ids))],
        "positive_id": ids[chosen.positive],
        "negative_id": ids[chosen.negative] if chosen.negative is not None else None,
        "set_aside": reason,
    }


def judged_of(row: dict[str, Any]) -> Judged:
    """The scores that a row of `labels` keeps."""
    return Judged(**{name: row[name] for name in Judged.__slots__})
