"""Data sets on disk to mteb tasks: `gecko-hf evaluate --local DIR`.

A folder is one task, or holds one task a subfolder. What is in it says what it is:

    corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv     retrieval (BEIR); with top_ranked.jsonl reranking of those candidates
    SPLIT.* with sentence1, sentence2, score         STS
    SPLIT.* with sentence1, sentence2, label 0/1     pair classification
    SPLIT.* with query, positive, negative (lists)   reranking
    SPLIT.* with text, label, and a train split      classification
    SPLIT.* with text, label, and no train split     clustering

SPLIT.* is a .jsonl, .csv, .tsv or .parquet file. `test` is scored if there is one, otherwise every split but `train`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import datasets
from mteb.abstasks.abstask import AbsTask
from mteb.abstasks.classification import AbsTaskClassification
from mteb.abstasks.clustering import AbsTaskClustering
from mteb.abstasks.pair_classification import AbsTaskPairClassification
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.sts import AbsTaskSTS
from mteb.abstasks.task_metadata import TaskType

from gecko_hf.errors import EvaluationError
from gecko_hf.evaluation.local_search import is_beir, read_beir, read_candidates
from gecko_hf.evaluation.local_task import local_task

READERS: dict[str, Callable[..., Any]] = {
    ".jsonl": datasets.Dataset.from_json,
    ".csv": datasets.Dataset.from_csv,
    ".tsv": partial(datasets.Dataset.from_csv, sep="\t"),
    ".parquet": datasets.Dataset.from_parquet,
}
CLUSTER_SAMPLE = 2048  # texts a clustering experiment draws, as in mteb's own newer tasks


def local_tasks(folder: Path) -> list[AbsTask]:
    """The tasks in a folder, each read once and checked.

    Raises:
        EvaluationError: If there is no task, or a task's data cannot be used; says which file and why.
    """
    if not folder.is_dir():
        raise EvaluationError(f"There is no folder {folder}. Give a folder with a data set, or with one a subfolder.")
    folders = [folder] if _is_task(folder) else sorted(f for f in folder.iterdir() if f.is_dir() and _is_task(f))
    if not folders:
        raise EvaluationError(
            f"{folder} holds no data set. Expected corpus.jsonl, queries.jsonl and qrels/*.tsv, or a file like test.jsonl "
            "(.csv, .tsv, .parquet) with the columns sentence1, sentence2, score or label; text, label; or query, positive, "
            "negative."
        )
    tasks = [_task(f) for f in folders]
    for task in tasks:
        task.load_data()  # bad data is refused before a model is loaded
        task.unload_data()
    return tasks


def _is_task(folder: Path) -> bool:
    return is_beir(folder) or bool(_split_files(folder))


def _split_files(folder: Path) -> dict[str, Path]:
    """Split name -> file."""
    files = (
        f for f in sorted(folder.iterdir()) if f.suffix in READERS and f.stem not in ("corpus", "queries", "top_ranked")
    )
    return {f.stem: f for f in files}


def _task(folder: Path) -> AbsTask:
    name = "Local-" + re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.resolve().name)
    common = {"name": name, "description": f"Local data in {folder.name}.", "revision": content_hash(folder)}
    if is_beir(folder):
        splits = _scored({f.stem for f in (folder / "qrels").glob("*.tsv")}, folder)
        kind: TaskType = "Reranking" if (folder / "top_ranked.jsonl").is_file() else "Retrieval"
        return local_task(AbsTaskRetrieval, kind, read=partial(read_beir, folder, splits), splits=splits, **common)
    files = _split_files(folder)
    columns = set(_read(next(iter(files.values()))).column_names)
    splits = _scored(files.keys(), folder)
    if {"sentence1", "sentence2", "score"} <= columns:
        read: Callable[[], Any] = partial(_tables, files, splits, {"score": "float64"})
        return local_task(AbsTaskSTS, "STS", read=read, splits=splits, **common)
    if {"sentence1", "sentence2", "label"} <= columns:
        read = partial(_pairs, files, splits)
        return local_task(
            AbsTaskPairClassification,
            "PairClassification",
            read=read,
            splits=splits,
            label_column_name="label",
            **common,
        )
    if {"query", "positive", "negative"} <= columns:
        read = partial(read_candidates, {s: partial(_read, files[s]) for s in splits})
        return local_task(AbsTaskRetrieval, "Reranking", read=read, splits=splits, **common)
    if {"text", "label"} <= columns:
        return _labelled(files, splits, common)
    raise EvaluationError(
        f"{next(iter(files.values()))} has the columns {', '.join(sorted(columns))}. Expected sentence1, sentence2, score "
        "(STS) or label (pairs); text, label; or query, positive, negative."
    )


def _labelled(files: dict[str, Path], splits: list[str], common: dict[str, Any]) -> AbsTask:
    """Texts with labels: classification where there is something to train the classifier on, else clustering."""
    if "train" in files:
        read = partial(_tables, files, ["train", *splits], {}, labels=True)
        return local_task(AbsTaskClassification, "Classification", read=read, splits=splits, **common)
    read = partial(_tables, files, splits, {}, labels=True)
    return local_task(
        AbsTaskClustering,
        "Clustering",
        read=read,
        splits=splits,
        input_column_name="text",
        label_column_name="label",
        max_fraction_of_documents_to_embed=None,  # mteb's default embeds 4 % of a benchmark's texts
        max_documents_per_cluster=CLUSTER_SAMPLE,
        **common,
    )


def _scored(found: Any, folder: Path) -> list[str]:
    splits = ["test"] if "test" in found else sorted(set(found) - {"train"})
    if not splits:
        raise EvaluationError(f"{folder} has only a train split. Add a test split: that is what is scored.")
    return splits


def _read(file: Path) -> Any:
    try:
        return READERS[file.suffix](str(file))
    except (datasets.exceptions.DatasetGenerationError, ValueError) as error:
        cause = error.__cause__ or error
        raise EvaluationError(f"{file} cannot be read as {file.suffix[1:]}: {cause}") from error


def _tables(files: dict[str, Path], splits: list[str], cast: dict[str, str], labels: bool = False) -> Any:
    """The splits as mteb keeps them; missing values are refused, labels become numbers in the order of their names."""
    tables = {}
    for split in splits:
        table = _read(files[split])
        for column in table.column_names:
            if table.data.column(column).null_count:
                raise EvaluationError(f"{files[split]}: a row has no {column!r}. Fill it in, or take the row out.")
        for column, kind in cast.items():
            table = table.cast_column(column, datasets.Value(kind))
        tables[split] = table
    if labels:
        names = {split: {str(v) for v in table["label"]} for split, table in tables.items()}
        known = sorted(set().union(*names.values()))
        unseen = sorted(set(known) - names.get("train", set(known)))
        if unseen:
            raise EvaluationError(
                f"{files['train']} has no example of the label {unseen[0]!r}, which another split has."
            )
        number = {name: i for i, name in enumerate(known)}
        for split, table in tables.items():
            column = [number[str(v)] for v in table["label"]]
            tables[split] = table.remove_columns("label").add_column("label", column)
    return datasets.DatasetDict(tables)


def _pairs(files: dict[str, Path], splits: list[str]) -> Any:
    tables = _tables(files, splits, {})
    for split, table in tables.items():
        values = set(table["label"])
        if values != {0, 1}:
            shown = ", ".join(sorted(map(str, values))[:5])
            raise EvaluationError(
                f"{files[split]}: label has the values {shown}; pairs need both 0 and 1 and nothing else."
            )
    return tables


def content_hash(folder: Path) -> str:
    """A hash of all files in a folder, by name and content: the revision of local data."""
    digest = hashlib.sha256()
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
