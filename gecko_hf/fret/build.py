"""FRet from end to end: seeds, queries, candidates, ranks, labels, and the three configs on disk.

default   task, query, positive_title, positive, negative_title, negative: ready to train on
labels    one row a query: seed, positive and negative ids, every candidate with its ranks and scores, provenance
corpus    id, title, text of every passage
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets

from gecko_hf.corpus.passages import Passage, write_corpus
from gecko_hf.fret.generate import GeneratedQuery, Rejected, generate_queries
from gecko_hf.fret.label import choose
from gecko_hf.fret.mine import Candidate, mine_candidates
from gecko_hf.fret.rank import Judgement, fuse, judge
from gecko_hf.fret.recipe import FRetRecipe
from gecko_hf.llm.base import Annotator
from gecko_hf.model.vectors import Vectors
from gecko_hf.text import lead

EncodeQueries = Callable[[Sequence[GeneratedQuery]], Vectors]
Report = Callable[[int, int | None], None]
JUDGE_CHUNK = 256  # queries between two progress reports


@dataclass(frozen=True)
class FRet:
    """The built data set: training rows, labels, and the seeds whose replies were set aside."""

    rows: list[dict[str, Any]]
    labels: list[dict[str, Any]]
    rejected: list[Rejected]


def build_fret(
    corpus: Sequence[Passage],
    seeds: Sequence[Passage],
    llm: Annotator,
    passage_vectors: Vectors,
    encode_queries: EncodeQueries,
    recipe: FRetRecipe,
    *,
    seed: int,
    report: Report | None = None,
) -> FRet:
    """Write queries for the seeds, mine and judge their candidates, and choose positives and negatives.

    Args:
        corpus: All passages.
        seeds: The passages that queries are written for; part of the corpus.
        llm: Writes and judges.
        passage_vectors: The retriever's vectors of the corpus, in its order.
        encode_queries: The retriever's vectors of task + query.
        recipe: Candidates, tasks, and how labels are chosen.
        seed: Seeds the draw of tasks.
        report: Called with (queries judged, queries).
    """
    row_of = {passage.id: row for row, passage in enumerate(corpus)}
    queries, rejected = generate_queries(llm, seeds, recipe.tasks, seed)
    seed_rows = [row_of[q.seed_id] for q in queries]
    mined = mine_candidates(encode_queries(queries), passage_vectors, seed_rows, recipe.candidates)
    rows: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    for start in range(0, len(queries), JUDGE_CHUNK):
        part = slice(start, start + JUDGE_CHUNK)
        found = [[corpus[c.row] for c in row] for row in mined[part]]
        judged = judge(llm, [q.query for q in queries[part]], found)
        for query, candidates, passages, scores in zip(queries[part], mined[part], found, judged, strict=True):
            row, label = _label(query, candidates, passages, scores, recipe)
            rows.append(row)
            labels.append({"query_id": len(labels), **label, "llm": llm.id, "llm_revision": llm.revision})
        if report:
            report(len(rows), len(queries))
    return FRet(rows, labels, rejected)


def _label(
    query: GeneratedQuery,
    candidates: Sequence[Candidate],
    passages: Sequence[Passage],
    scores: Sequence[Judgement],
    recipe: FRetRecipe,
) -> tuple[dict[str, Any], dict[str, Any]]:
    ids = [p.id for p in passages]
    ranking = fuse(scores, ids)
    label = choose(ranking, ids.index(query.seed_id), recipe.positive, recipe.negative)
    positive = passages[label.positive]
    negative = passages[label.negative] if label.negative is not None else None
    place = {row.index: (position, row) for position, row in enumerate(ranking, 1)}
    row = {
        "task": query.task,
        "query": query.query,
        "positive_title": positive.title,
        "positive": positive.text,
        "negative_title": negative.title if negative else None,
        "negative": negative.text if negative else None,
    }
    return row, {
        "task": query.task,
        "query": query.query,
        "seed_id": query.seed_id,
        "positive_id": positive.id,
        "negative_id": negative.id if negative else None,
        "candidate_ids": ids,
        "retrieval_rank": [c.rank for c in candidates],
        "retrieval_score": [c.score for c in candidates],
        "ql": [s.ql for s in scores],
        "rc": [s.rc for s in scores],
        "ql_rank": [place[i][1].ql_rank for i in range(len(ids))],
        "rc_rank": [place[i][1].rc_rank for i in range(len(ids))],
        "fused": [place[i][1].fused for i in range(len(ids))],
        "fused_rank": [place[i][0] for i in range(len(ids))],
    }


def choose_seeds(corpus: Sequence[Passage], exclude: set[str], count: int, order: Sequence[int]) -> list[Passage]:
    """The first `count` passages, in the given order of rows, that say something in prose and are not excluded."""
    chosen = []
    for row in order:
        passage = corpus[row]
        if passage.id not in exclude and lead(passage.text):
            chosen.append(passage)
            if len(chosen) == count:
                break
    return chosen


def write_fret(fret: FRet, corpus: Sequence[Passage], folder: Path) -> None:
    """Write the three configs as parquet, and `set_aside.jsonl` with the seeds whose replies were not usable."""
    text = datasets.Value("string")
    train = {name: text for name in ("task", "query", "positive_title", "positive", "negative_title", "negative")}
    for config, rows, features in (("default", fret.rows, datasets.Features(train)), ("labels", fret.labels, None)):
        (folder / config).mkdir(parents=True, exist_ok=True)
        datasets.Dataset.from_list(rows, features=features).to_parquet(folder / config / "train.parquet")
    write_corpus(corpus, folder / "corpus")
    lines = [json.dumps({"seed_id": r.seed_id, "reason": r.reason}) for r in fret.rejected]
    (folder / "set_aside.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read_rows(folder: Path, config: str = "default") -> list[dict[str, Any]]:
    """The rows of one config that `write_fret` wrote."""
    return list(datasets.Dataset.from_parquet(str(folder / config / "train.parquet"), keep_in_memory=True))
