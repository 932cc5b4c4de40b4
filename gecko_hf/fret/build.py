"""FRet from end to end: seeds, queries, candidates, ranks, labels, and the three configs on disk.

default   task, query, positive_title, positive, negative_title, negative: ready to train on
labels    one row a query: seed, positive and negative ids, every candidate with its ranks and scores, provenance; a query
          for which no training row could be made stands here with the reason in `set_aside`
corpus    id, title, text of every passage
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa  # type: ignore[import-untyped]

from gecko_hf.corpus.passages import Passage, write_corpus
from gecko_hf.fret.decontaminate import TestSets
from gecko_hf.fret.generate import GeneratedQuery, Rejected, draw_tasks, generate_queries
from gecko_hf.fret.label import Judged, label
from gecko_hf.fret.mine import mine_candidates
from gecko_hf.fret.quality import check, drop_duplicates
from gecko_hf.fret.rank import judge
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
    tests: TestSets | None = None,
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
        tests: Test sets that no query and no positive may overlap.
        report: Called with (queries judged, queries).
    """
    row_of = {passage.id: row for row, passage in enumerate(corpus)}
    asked = draw_tasks(recipe.tasks, recipe.task_distribution, len(seeds), seed)
    written, rejected = generate_queries(llm, seeds, asked)
    queries: list[GeneratedQuery] = []
    for query in written:
        failed = check(query, corpus[row_of[query.seed_id]], recipe.quality, tests)
        if failed:
            rejected.append(failed)
        else:
            queries.append(query)
    queries, doubled = drop_duplicates(queries, recipe.quality.near_duplicate)
    rejected += doubled
    seed_rows = [row_of[q.seed_id] for q in queries]
    mined = mine_candidates(encode_queries(queries), passage_vectors, seed_rows, recipe.candidates)
    provenance = {"llm": llm.id, "llm_revision": llm.revision, "llm_settings": json.dumps(llm.settings, sort_keys=True)}
    labels: list[dict[str, Any]] = []
    for start in range(0, len(queries), JUDGE_CHUNK):
        part = slice(start, start + JUDGE_CHUNK)
        found = [[corpus[c.row] for c in row] for row in mined[part]]
        judged = judge(llm, [q.query for q in queries[part]], found)
        for query, candidates, scores in zip(queries[part], mined[part], judged, strict=True):
            record = Judged(
                query.task,
                query.query,
                query.seed_id,
                candidate_ids=[corpus[c.row].id for c in candidates],
                retrieval_rank=[c.rank for c in candidates],
                retrieval_score=[c.score for c in candidates],
                ql=[s.ql for s in scores],
                grades=[list(s.grades) for s in scores],
            )
            row = label(record, recipe, seed, lambda passage: corpus[row_of[passage]], tests)
            labels.append({"query_id": len(labels), **row, **provenance})
        if report:
            report(len(labels), len(queries))
    return FRet(training_rows(labels, lambda passage: corpus[row_of[passage]]), labels, rejected)


def training_rows(labels: Sequence[Mapping[str, Any]], passage_of: Callable[[str], Passage]) -> list[dict[str, Any]]:
    """The `default` config of labels, in their order; a query that was set aside gives no row."""
    return [training_row(row, passage_of) for row in labels if row["set_aside"] is None]


def training_row(label: Mapping[str, Any], passage_of: Callable[[str], Passage]) -> dict[str, Any]:
    """The row of the `default` config that a label stands for."""
    positive = passage_of(label["positive_id"])
    negative = passage_of(label["negative_id"]) if label["negative_id"] is not None else None
    return {
        "task": label["task"],
        "query": label["query"],
        "positive_title": positive.title,
        "positive": positive.text,
        "negative_title": negative.title if negative else None,
        "negative": negative.text if negative else None,
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


_TEXT, _NUMBER, _WHOLE = datasets.Value("string"), datasets.Value("float64"), datasets.Value("int64")
ROW_FEATURES = datasets.Features(
    {name: _TEXT for name in ("task", "query", "positive_title", "positive", "negative_title", "negative")}
)
LABEL_FEATURES = datasets.Features(
    {"query_id": _WHOLE}
    | {name: _TEXT for name in ("task", "query", "seed_id", "positive_id", "negative_id", "set_aside")}
    | {"candidate_ids": datasets.List(_TEXT), "retrieval_rank": datasets.List(_WHOLE)}
    | {"retrieval_score": datasets.List(_NUMBER), "ql": datasets.List(_NUMBER)}
    | {"grades": datasets.List(datasets.List(_NUMBER)), "rc": datasets.List(_NUMBER)}
    | {name: datasets.List(_WHOLE) for name in ("ql_rank", "rc_rank", "fused_rank")}
    | {"fused": datasets.List(_NUMBER)}
    | {name: _TEXT for name in ("llm", "llm_revision", "llm_settings")}
)


def write_fret(fret: FRet, corpus: Sequence[Passage], folder: Path) -> None:
    """Write the three configs as parquet, and `set_aside.jsonl` with what gave no training row and why."""
    write_labels(fret, folder)
    write_corpus(corpus, folder / "corpus")


def write_labels(fret: FRet, folder: Path) -> None:
    """Write what labelling decides: `default`, `labels` and `set_aside.jsonl`."""
    for config in ("default", "labels"):
        (folder / config).mkdir(parents=True, exist_ok=True)
    rows = datasets.Dataset.from_list(fret.rows, features=ROW_FEATURES)
    rows.to_parquet(folder / "default" / "train.parquet")
    labels = pa.Table.from_pylist(fret.labels, schema=LABEL_FEATURES.arrow_schema)
    datasets.Dataset(labels).to_parquet(folder / "labels" / "train.parquet")
    refused = [Rejected(row["seed_id"], row["set_aside"], row["query"]) for row in fret.labels if row.get("set_aside")]
    lines = [asdict(r) for r in [*fret.rejected, *refused]]
    text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
    (folder / "set_aside.jsonl").write_text(text, encoding="utf-8")


def set_aside_counts(folder: Path) -> dict[str, int]:
    """How many seeds and queries each gate set aside, the commonest first."""
    lines = (folder / "set_aside.jsonl").read_text(encoding="utf-8").splitlines()
    return dict(Counter(Rejected(**json.loads(line)).gate for line in lines).most_common())


def read_labels(folder: Path, *, kept: bool = True) -> list[dict[str, Any]]:
    """The `labels` config; `kept` leaves out the queries that give no training row, so that it runs along `default`."""
    return [row for row in read_rows(folder, "labels") if not kept or row["set_aside"] is None]


def read_rows(folder: Path, config: str = "default") -> list[dict[str, Any]]:
    """The rows of one config that `write_fret` wrote."""
    return list(datasets.Dataset.from_parquet(str(folder / config / "train.parquet"), keep_in_memory=True))
