"""Decontamination: no query and no positive may repeat the text of a test set.

A text is refused if it shares a run of 13 words with a test text (the rule of GPT-3, Brown et al. 2020, appendix C), or is
nearly identical to one, which catches texts that are shorter than that. What matched is named.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from gecko_hf.corpus.near import NearIndex
from gecko_hf.corpus.passages import normalise
from gecko_hf.errors import RecipeError
from gecko_hf.fret.recipe import QualityRecipe
from gecko_hf.home import expanded
from gecko_hf.source import UNREACHED
from gecko_hf.text import hash64


class TestSets:
    """The texts of test sets, ready to be looked up.

    Args:
        texts: (name of the test set, text) pairs.
        ngram: Words in a row that may not be shared.
        near: Least similarity of two near-identical texts.
    """

    __test__ = False  # not a test case of pytest

    def __init__(self, texts: Iterable[tuple[str, str]], *, ngram: int = 13, near: float = 0.9) -> None:
        self.ngram = ngram
        self.names: list[str] = []
        self._near = NearIndex(near)
        digest = hashlib.sha256(f"{ngram} {near}".encode())
        hashes: list[int] = []
        owners: list[int] = []
        for i, (name, text) in enumerate(texts):
            if name not in self.names:
                self.names.append(name)
            self._near.add(f"{i:09d} {name}", text)
            digest.update(f"\0{name}\0{text}".encode("utf-8", "surrogatepass"))
            found = _hashes(normalise(text).split(), ngram)
            hashes += found
            owners += [self.names.index(name)] * len(found)
        order = np.argsort(np.array(hashes, dtype=np.uint64), kind="stable")
        self._hashes = np.array(hashes, dtype=np.uint64)[order]  # 8 bytes an n-gram
        self._owners = np.array(owners, dtype=np.int32)[order]
        self.fingerprint = digest.hexdigest()

    def match(self, text: str) -> str | None:
        """What a text overlaps with: `13 words in a row of SciFact`, `nearly identical to a text of SciFact`; or None."""
        grams = np.array(_hashes(normalise(text).split(), self.ngram), dtype=np.uint64)
        if len(grams) and len(self._hashes):
            place = np.minimum(np.searchsorted(self._hashes, grams), len(self._hashes) - 1)
            hits = place[self._hashes[place] == grams]
            if len(hits):
                return f"{self.ngram} words in a row of {self.names[self._owners[hits[0]]]}"
        twin = self._near.find(text)
        return f"nearly identical to a text of {twin.partition(' ')[2]}" if twin else None


def _hashes(words: list[str], ngram: int) -> list[int]:
    runs = (" ".join(words[i : i + ngram]) for i in range(len(words) - ngram + 1))
    return [hash64(run) for run in runs]


def load_test_sets(recipe: QualityRecipe, held_out: Sequence[Path] = ()) -> TestSets | None:
    """The test sets of a recipe; None where it names none.

    Args:
        recipe: Names test sets and says what an overlap is.
        held_out: Folders of the run's own tasks.

    Raises:
        RecipeError: If a name is neither a folder nor a task of mteb, or a folder holds no text.
    """
    names = [*recipe.test_sets, *map(str, held_out)]
    if not names:
        return None
    texts = [pair for name in names for pair in _texts(name)]
    return TestSets(texts, ngram=recipe.test_ngram, near=recipe.test_near_identical)


def check_test_sets(recipe: QualityRecipe) -> None:
    """Refuse test sets of a recipe that cannot be read: hours of other work should not end at them.

    Of a task of mteb the name is looked up; its data are loaded when they are needed.

    Raises:
        RecipeError: As `load_test_sets`.
    """
    for name in recipe.test_sets:
        if expanded(name).exists():
            _texts(name)
        else:
            _mteb_task(name)


def _texts(name: str) -> list[tuple[str, str]]:
    folder = expanded(name)
    if not folder.exists():
        return [(name, text) for text in _mteb_texts(name)]
    read = _beir_texts if (folder / "queries.jsonl").is_file() else _file_texts
    texts = [(folder.name, text) for text in read(folder)]
    if not texts:
        raise RecipeError(f"fret.quality.test_sets: {name} holds no .jsonl or .parquet file with a column of text.")
    return texts


def _file_texts(folder: Path) -> Iterator[str]:
    """Every text column of every jsonl and parquet file (or of the one file)."""
    files = [folder] if folder.is_file() else sorted(f for f in folder.rglob("*") if f.suffix in (".jsonl", ".parquet"))
    for file in files:
        yield from _column_texts(_rows(file))


def _beir_texts(folder: Path) -> Iterator[str]:
    """The queries, and the documents that `qrels/` calls relevant (all documents where there are no qrels)."""
    yield from _rows(folder / "queries.jsonl", "text")["text"]
    relevant = set()
    for file in sorted((folder / "qrels").glob("*.tsv")):
        with file.open(encoding="utf-8") as lines:
            relevant |= {
                row[1] for row in csv.reader(lines, delimiter="\t") if len(row) > 2 and row[2] not in ("0", "score")
            }
    for row in _rows(folder / "corpus.jsonl", "_id", "text"):
        if not relevant or row["_id"] in relevant:
            yield row["text"]


def _rows(file: Path, *needs: str) -> datasets.Dataset:
    """The rows of a file, which has the columns that are needed."""
    readers = {".jsonl": datasets.Dataset.from_json, ".parquet": datasets.Dataset.from_parquet}
    try:
        if file.suffix not in readers:
            raise ValueError("it is neither .jsonl nor .parquet.")
        rows = readers[file.suffix](str(file), keep_in_memory=True)
        if missing := [column for column in needs if column not in rows.column_names]:
            raise ValueError(f"it has no column {missing[0]!r}, only {', '.join(rows.column_names)}.")
    except (*UNREACHED, StopIteration) as error:  # StopIteration: a file without a row
        why = " ".join(str(error).split()) or "it holds no row."
        raise RecipeError(
            f"fret.quality.test_sets: {file} cannot be read: {why} Give .jsonl or .parquet files with a row of text each, or a "
            "folder of BEIR's form: queries.jsonl and corpus.jsonl with _id and text, and qrels/."
        ) from error
    return rows


def _mteb_task(name: str) -> Any:
    import mteb

    try:
        return mteb.get_task(name)
    except KeyError as error:
        raise RecipeError(
            f"fret.quality.test_sets: {name!r} is neither a folder nor a task of mteb. Name one, for example SciFact."
        ) from error


def _mteb_texts(name: str) -> list[str]:
    task = _mteb_task(name)
    task.load_data()
    texts = list(task_texts(task))
    if not texts:
        raise RecipeError(
            f"fret.quality.test_sets: the task {name} of mteb has no text in its splits {', '.join(task.eval_splits)}. Give "
            "its texts as a folder of .jsonl files."
        )
    return texts


def task_texts(task: Any) -> Iterator[str]:
    """Queries and relevant documents of the test splits of a loaded retrieval task; every text column of another task."""
    splits = task.eval_splits
    subsets = [task.dataset] if set(splits) & task.dataset.keys() else task.dataset.values()
    for data in (subset[split] for subset in subsets for split in splits if split in subset):
        if isinstance(data, datasets.Dataset):
            yield from _column_texts(data)
        else:
            relevant = {doc for docs in data["relevant_docs"].values() for doc, grade in docs.items() if grade > 0}
            yield from data["queries"]["text"]
            yield from (row["text"] for row in data["corpus"] if row["id"] in relevant)


def _column_texts(rows: datasets.Dataset) -> Iterator[str]:
    for name, feature in rows.features.items():
        depth = 0  # of lists: a clustering task's sentences, a reranking task's passages
        while isinstance(feature, datasets.List | datasets.LargeList):
            feature, depth = feature.feature, depth + 1
        if feature in (datasets.Value("string"), datasets.Value("large_string")):
            cells: Iterable[Any] = rows[name]
            for _ in range(depth):
                cells = itertools.chain.from_iterable(cell for cell in cells if cell)
            yield from (text for text in cells if text)
