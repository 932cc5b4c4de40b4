"""FRet as it lies on disk: three configs, each in one parquet file or, of a large build, in one a part.

default   task, query, positive_title, positive, negative_title, negative: ready to train on
labels    one row a query: seed, positive and negative ids, every candidate with its ranks and scores, provenance; a query
          for which no training row could be made stands here with the reason in `set_aside`
corpus    id, title, text of every passage

`set_aside.jsonl` lists the seeds and queries that gave no training row, with the reason.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from gecko_hf.corpus.passages import Passage
from gecko_hf.fret.generate import Rejected
from gecko_hf.fret.work import json_lines


@dataclass(frozen=True)
class FRet:
    """The built data set: training rows, labels, and the seeds whose replies were set aside."""

    rows: list[dict[str, Any]]
    labels: list[dict[str, Any]]
    rejected: list[Rejected]


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


def part_name(part: int, parts: int) -> str:
    """The file of a part: `train.parquet` where there is one."""
    return "train.parquet" if parts == 1 else f"train-{part:05d}-of-{parts:05d}.parquet"


def write_labels(fret: FRet, folder: Path, part: int = 0, parts: int = 1) -> None:
    """Write one part of what labelling decides, `default` and `labels`; with the first, a new `set_aside.jsonl`."""
    for config, table in (("default", rows_table(fret.rows)), ("labels", labels_table(fret.labels))):
        (folder / config).mkdir(parents=True, exist_ok=True)
        (folder / config / part_name(part, parts)).write_bytes(parquet(table))
    lines = "".join(f"{json.dumps(asdict(r), ensure_ascii=False)}\n" for r in [*fret.rejected, *refused(fret.labels)])
    with (folder / "set_aside.jsonl").open("a" if part else "w", encoding="utf-8") as file:
        file.write(lines)


def refused(labels: Sequence[Mapping[str, Any]]) -> list[Rejected]:
    """The labels that give no row."""
    return [Rejected(row["seed_id"], row["set_aside"], row["query"]) for row in labels if row.get("set_aside")]


def rows_table(rows: list[dict[str, Any]]) -> datasets.Dataset:
    """Rows of the `default` config as a table."""
    return datasets.Dataset(pa.Table.from_pylist(rows, schema=ROW_FEATURES.arrow_schema))


def labels_table(labels: list[dict[str, Any]]) -> datasets.Dataset:
    """Rows of the `labels` config as a table; columns that they lack are null."""
    return datasets.Dataset(pa.Table.from_pylist(labels, schema=LABEL_FEATURES.arrow_schema))


def parquet(table: datasets.Dataset) -> bytes:
    """A table as a parquet file."""
    buffer = io.BytesIO()
    table.to_parquet(buffer)
    return buffer.getvalue()


def set_aside_counts(folder: Path) -> dict[str, int]:
    """How many seeds and queries each gate set aside, the commonest first."""
    return dict(Counter(item.gate for item in read_set_aside(folder)).most_common())


def read_set_aside(folder: Path) -> list[Rejected]:
    """The seeds and queries that gave no training row."""
    return [Rejected(**row) for row in json_lines((folder / "set_aside.jsonl").read_text(encoding="utf-8"))]


def labels_of(folder: Path) -> Iterator[dict[str, Any]]:
    """The labels of the queries that give a training row, so that they run along `default`."""
    return (row for row in rows_of(folder, "labels") if row["set_aside"] is None)


def label_counts(folder: Path) -> tuple[int, int, Counter[str]]:
    """Of the labels that give a row: how many, how many whose positive is not the seed, and how many of each task."""
    tasks: Counter[str] = Counter()
    relabelled = 0
    for file in parts_of(folder, "labels"):
        table = pq.read_table(file, columns=["task", "seed_id", "positive_id", "set_aside"])
        for row in table.filter(table["set_aside"].is_null()).to_pylist():
            tasks[row["task"]] += 1
            relabelled += row["positive_id"] != row["seed_id"]
    return tasks.total(), relabelled, tasks


def rows_of(folder: Path, config: str = "default") -> Iterator[dict[str, Any]]:
    """The rows of one config, of which one file is held at a time."""
    return (row for file in parts_of(folder, config) for row in read_part(file))


def parts_of(folder: Path, config: str) -> list[Path]:
    """The files of a config, in order."""
    return sorted((folder / config).glob("*.parquet"))


def read_part(file: Path) -> list[dict[str, Any]]:
    """The rows of one file."""
    rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return rows
