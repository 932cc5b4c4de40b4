"""FRet step 2b: the LLM ranks the candidates by query likelihood and relevance; the ranks are fused (paper, Appendix A)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gecko_hf.corpus.passages import Passage
from gecko_hf.llm.base import RELEVANCE_LABELS, Annotator, PassagePrompt


@dataclass(frozen=True, slots=True)
class Judgement:
    """An LLM's scores of one candidate: QL in nats a token, RC as the log-likelihood of the top label."""

    ql: float
    rc: float


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate's position in the fused order, with the two ranks (from 1) and the score behind it."""

    index: int
    ql_rank: int
    rc_rank: int
    fused: float


def judge(llm: Annotator, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[Judgement]]:
    """QL(q, p) and RC(q, p) of every candidate of every query.

    RC is the log-likelihood of the highest label ("a specific relevance label" in the paper; the peak form of Zhuang et
    al. 2023).
    """
    pairs = [(q, p) for q, row in zip(queries, candidates, strict=True) for p in row]
    prompts = [PassagePrompt(p.id, p.title, p.text, query=q) for q, p in pairs]
    ql = llm.log_likelihood(prompts, [q for q, _ in pairs])
    rc = [labels[-1] for labels in llm.label_log_likelihoods(prompts, RELEVANCE_LABELS)]
    scores = iter(zip(ql, rc, strict=True))
    return [[Judgement(*next(scores)) for _ in row] for row in candidates]


def ranks(scores: Sequence[float], ids: Sequence[str]) -> list[int]:
    """Rank from 1 of each score, highest first; equal scores are ordered by id so that a rerun ranks alike."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], ids[i]))
    position = {index: rank for rank, index in enumerate(order, 1)}
    return [position[i] for i in range(len(scores))]


def fuse(judgements: Sequence[Judgement], ids: Sequence[str]) -> list[Ranked]:
    """Candidates by R = 1/r_QL + 1/r_RC, best first (Appendix A: reciprocal rank fusion without a constant).

    Ties go to the better QL rank, then to the id (ours: the paper has no rule, and mirrored ranks tie often).
    """
    ql = ranks([j.ql for j in judgements], ids)
    rc = ranks([j.rc for j in judgements], ids)
    rows = [Ranked(i, q, r, 1 / q + 1 / r) for i, (q, r) in enumerate(zip(ql, rc, strict=True))]
    return sorted(rows, key=lambda row: (-row.fused, row.ql_rank, ids[row.index]))
