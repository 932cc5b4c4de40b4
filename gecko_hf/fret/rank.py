"""FRet step 2b: the LLM ranks the candidates by query likelihood and relevance; the ranks are fused (paper, Appendix A)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gecko_hf.corpus.passages import Passage
from gecko_hf.llm.base import RELEVANCE_LABELS, Annotator, Judgement, PassagePrompt, Told


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate's position in the fused order, with the two ranks (from 1) and the score behind it."""

    index: int
    ql_rank: int
    rc_rank: int
    fused: float


def judge(
    llm: Annotator,
    queries: Sequence[str],
    candidates: Sequence[Sequence[Passage]],
    *,
    one_pass: bool = False,
    told: Told | None = None,
) -> list[list[Judgement]]:
    """QL(q, p) and the label log-likelihoods behind RC(q, p), for every candidate of every query.

    Pairs are asked about passage by passage, as prompts begin (few-shot head, passage, query): a server's prefix cache then
    need not keep a passage for longer than its own queries.

    Args:
        llm: The judge.
        queries: Queries.
        candidates: Passages of each query.
        one_pass: Whether both come from one prompt (see `PromptedAnnotator.judge`).
        told: Is told how many pairs have been judged.

    Raises:
        LLMError: If this judge cannot do that.
        ValueError: If there is not one row of candidates for each query.
    """
    rows = zip(queries, candidates, strict=True)
    places = sorted(
        ((i, j) for i, (_, row) in enumerate(rows) for j in range(len(row))),
        key=lambda at: candidates[at[0]][at[1]].id,
    )
    pairs = [(queries[i], candidates[i][j]) for i, j in places]
    prompts = [PassagePrompt(p.id, p.title, p.text, query=q) for q, p in pairs]
    judged = llm.judge(prompts, RELEVANCE_LABELS, one_pass=one_pass, told=told)
    scores = dict(zip(places, judged, strict=True))
    return [[scores[i, j] for j in range(len(row))] for i, row in enumerate(candidates)]


def relevance(grades: Sequence[float], kind: Literal["peak", "expected"]) -> float:
    """RC of one candidate from the log-likelihoods of its labels, worst first (the two forms of Zhuang et al. 2023).

    `peak` is the log-likelihood of the highest label ("a specific relevance label" in the paper); `expected` is the mean
    grade, counted from 0, under a softmax over the labels.
    """
    if kind == "peak":
        return grades[-1]
    top = max(grades)
    weights = [math.exp(g - top) for g in grades]
    return sum(grade * w for grade, w in enumerate(weights)) / sum(weights)


def ranks(scores: Sequence[float], ids: Sequence[str]) -> list[int]:
    """Rank from 1 of each score, highest first; equal scores are ordered by id so that a rerun ranks alike."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], ids[i]))
    position = {index: rank for rank, index in enumerate(order, 1)}
    return [position[i] for i in range(len(scores))]


def fuse(ql: Sequence[float], rc: Sequence[float], ids: Sequence[str]) -> list[Ranked]:
    """Candidates by R = 1/r_QL + 1/r_RC, best first (Appendix A: reciprocal rank fusion without a constant).

    Ties go to the better QL rank, then to the id (ours: the paper has no rule, and mirrored ranks tie often).
    """
    ql_ranks, rc_ranks = ranks(ql, ids), ranks(rc, ids)
    rows = [Ranked(i, q, r, 1 / q + 1 / r) for i, (q, r) in enumerate(zip(ql_ranks, rc_ranks, strict=True))]
    return sorted(rows, key=lambda row: (-row.fused, row.ql_rank, ids[row.index]))
