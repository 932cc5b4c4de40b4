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
import math
import re
from collections.abc import Callable, Sequence
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
from gecko_hf.evaluation.local_task import PREFIX, local_task
from gecko_hf.run_folder import hash_of
from gecko_hf.source import CSV_WORDS, TEXT

READERS: dict[str, Callable[..., Any]] = {
    ".jsonl": datasets.Dataset.from_json,
    ".csv": partial(datasets.Dataset.from_csv, **CSV_WORDS),
    ".tsv": partial(datasets.Dataset.from_csv, sep="\t", **CSV_WORDS),
    ".parquet": datasets.Dataset.from_parquet,
}
CLUSTER_SAMPLE = 2048  # texts a clustering experiment draws, as in mteb's own newer tasks
# mteb's default is 10, each one start of k-means; of four topics a start's score has a standard deviation of six points.
CLUSTER_EXPERIMENTS = 50


def local_tasks(folder: Path) -> list[AbsTask]:
    """The tasks in a folder, each read once and checked.

    Raises:
        EvaluationError: If there is no task, or a task's data cannot be used; says which file and why.
    """
    if not folder.is_dir():
        raise EvaluationError(f"There is no folder {folder}. Give a folder with a data set, or with one a subfolder.")
    inside = sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))
    folders = [folder] if _is_task(folder) else [f for f in inside if _is_task(f)]
    if not folders:
        raise EvaluationError(
            f"{folder} holds no data set. Expected corpus.jsonl, queries.jsonl and qrels/*.tsv, or a file like test.jsonl "
            "(.csv, .tsv, .parquet) with the columns sentence1, sentence2, score or label; text, label; or query, positive, "
            "negative."
        )
    if folders != [folder] and (others := [f.name for f in inside if f not in folders]):
        raise EvaluationError(
            f"{folder} holds data sets, and in {', '.join(others)} there is none that can be read. Expected a file like "
            "test.jsonl (.csv, .tsv, .parquet) or BEIR's files; mend these folders, or move them elsewhere."
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
    files: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix in READERS and file.stem not in ("corpus", "queries", "top_ranked"):
            if other := files.get(file.stem):
                raise EvaluationError(f"{other} and {file.name} are both the split {file.stem}. Keep one of them.")
            files[file.stem] = file
    return files


def _task(folder: Path) -> AbsTask:
    name = PREFIX + re.sub(r"[^\w.-]+", "-", folder.resolve().name)
    common = {"name": name, "description": f"Local data in {folder.name}.", "revision": content_hash(folder)}
    if is_beir(folder):
        judged = {f.stem for f in (folder / "qrels").glob("*.tsv")}
        if not judged:
            raise EvaluationError(f"{folder} has no judgements: qrels/ holds no .tsv file. Expected qrels/test.tsv.")
        splits = _scored(judged, folder)
        kind: TaskType = "Reranking" if (folder / "top_ranked.jsonl").is_file() else "Retrieval"
        return local_task(AbsTaskRetrieval, kind, read=partial(read_beir, folder, splits), splits=splits, **common)
    files = _split_files(folder)
    columns = set(_read(next(iter(files.values()))).column_names)
    splits = _scored(files.keys(), folder)
    if {"sentence1", "sentence2", "score"} <= columns:
        read: Callable[[], Any] = partial(_scores, files, splits)
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
        read = partial(read_candidates, {s: files[s] for s in splits}, _read)
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
        read = partial(_labels, files, ["train", *splits])
        return local_task(AbsTaskClassification, "Classification", read=read, splits=splits, **common)
    read = partial(_labels, files, splits)
    # Other experiments give other scores of the same files, and stored results are told apart by the revision.
    revision = hash_of([common["revision"], CLUSTER_SAMPLE, CLUSTER_EXPERIMENTS])[:16]
    return local_task(
        AbsTaskClustering,
        "Clustering",
        read=read,
        splits=splits,
        input_column_name="text",
        label_column_name="label",
        max_fraction_of_documents_to_embed=None,  # mteb's default embeds 4 % of a benchmark's texts
        max_documents_per_cluster=CLUSTER_SAMPLE,
        n_clusters=CLUSTER_EXPERIMENTS,  # mteb's name for the number of experiments
        **{**common, "revision": revision},
    )


def _scored(found: Any, folder: Path) -> list[str]:
    splits = ["test"] if "test" in found else sorted(set(found) - {"train"})
    if not splits:
        raise EvaluationError(f"{folder} has only a train split. Add a test split: that is what is scored.")
    return splits


def _read(file: Path) -> Any:
    try:
        return READERS[file.suffix](str(file))
    except (datasets.exceptions.DatasetGenerationError, ValueError, StopIteration) as error:
        cause = error.__cause__ or str(error) or "it holds no row"  # a StopIteration says nothing
        raise EvaluationError(f"{file} cannot be read as {file.suffix[1:]}: {cause}") from error


def _table(file: Path, texts: Sequence[str], value: str) -> Any:
    """The columns that a task reads of a file: texts, and what is known of them."""
    table = _read(file)
    for column in (*texts, value):
        if column not in table.column_names:
            raise EvaluationError(
                f"{file} has the columns {', '.join(table.column_names)}, and another file beside it has {column!r} as well. "
                "Give all of them the same columns."
            )
        if table.data.column(column).null_count:
            raise EvaluationError(f"{file}: a row has no {column!r}. Fill it in, or take the row out.")
    for column in texts:
        if table.features[column] not in TEXT:
            raise EvaluationError(f"{file}: {column!r} holds {table.features[column]}, and texts are expected.")
    if not isinstance(table.features[value], datasets.Value | datasets.ClassLabel):
        raise EvaluationError(f"{file}: a {value} is {table[value][0]!r}. Give one word or number a row.")
    return table.select_columns([*texts, value])


def _scores(files: dict[str, Path], splits: Sequence[str]) -> Any:
    tables = {}
    for split in splits:
        table = _table(files[split], ("sentence1", "sentence2"), "score")
        try:
            tables[split] = table.cast_column("score", datasets.Value("float64"))
        except ValueError as error:
            raise EvaluationError(f"{files[split]}: a score is no number: {error}.") from error
        found = set(tables[split]["score"])
        if not all(map(math.isfinite, found)):
            raise EvaluationError(f"{files[split]}: a score is NaN or infinite. Give a number, or take the row out.")
        if len(found) < 2:
            raise EvaluationError(f"{files[split]}: all scores are the same, so no order can be right. Give others.")
    return datasets.DatasetDict(tables)


def _labels(files: dict[str, Path], splits: Sequence[str]) -> Any:
    """Texts with labels, which become numbers in the order of their names."""
    tables = {split: _table(files[split], ("text",), "label") for split in splits}
    names = {split: {str(v) for v in table["label"]} for split, table in tables.items()}
    known = sorted(set().union(*names.values()))
    unseen = sorted(set(known) - names.get("train", set(known)))
    if unseen:
        raise EvaluationError(f"{files['train']} has no example of the label {unseen[0]!r}, which another split has.")
    for split in ["train"] if "train" in names else splits:
        if len(names[split]) < 2:
            raise EvaluationError(
                f"{files[split]} has one label alone, so there is nothing to tell apart. Give two or more."
            )
    number = {name: i for i, name in enumerate(known)}
    for split, table in tables.items():
        column = [number[str(v)] for v in table["label"]]
        tables[split] = table.remove_columns("label").add_column("label", column)
    return datasets.DatasetDict(tables)


def _pairs(files: dict[str, Path], splits: Sequence[str]) -> Any:
    tables = {split: _table(files[split], ("sentence1", "sentence2"), "label") for split in splits}
    for split, table in tables.items():
        values = set(table["label"])
        if values != {0, 1}:
            shown = ", ".join(sorted(map(str, values))[:5])
            raise EvaluationError(
                f"{files[split]}: label has the values {shown}; pairs need both 0 and 1 and nothing else."
            )
    return datasets.DatasetDict(tables)


def content_hash(folder: Path) -> str:
    """A hash of the files in a folder that a task reads, by name and content: the revision of local data."""
    search = [folder / f"{name}.jsonl" for name in ("corpus", "queries", "top_ranked")]
    read = [*search, *(folder / "qrels").glob("*.tsv")] if is_beir(folder) else _split_files(folder).values()
    digest = hashlib.sha256()
    for file in sorted(f for f in read if f.is_file()):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
