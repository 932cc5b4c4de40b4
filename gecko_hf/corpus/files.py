"""A corpus from files and folders, or from a data set on the Hub.

Text (.md .rst .txt .html .htm) is split into passages with titles; a row (.jsonl .parquet .csv, the Hub) is a passage, or
several if it is long. What cannot be used is set aside with its place and the reason, unless nothing can be used.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import itertools
import json
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa  # type: ignore[import-untyped]
from bs4.exceptions import ParserRejectedMarkup
from huggingface_hub import HfApi, errors
from pyarrow import parquet

from gecko_hf.corpus.passages import Passage, SetAside
from gecko_hf.corpus.recipe import CorpusRecipe
from gecko_hf.corpus.split import Item, split_document, split_row
from gecko_hf.errors import CorpusError
from gecko_hf.hub_id import may_be_hub_id
from gecko_hf.source import UNREACHED

HUB_SECONDS = 10.0  # to wait for the Hub's first answer
SHOWN = 5  # of what was set aside, in an error
_BATCH = 1024  # rows of a table in memory at a time, and between two reports

Report = Callable[[int, int | None], None]


def read_files(recipe: CorpusRecipe, progress: Report | None = None) -> Iterator[Item]:
    """Read the passages of a file, a folder, or a data set on the Hub, in the order of the paths.

    Args:
        recipe: What to read and how.
        progress: Called with (files done, files in all); for a data set on the Hub with rows.

    Yields:
        Passages and what was set aside, as they are read. Hidden files and folders are neither.

    Raises:
        CorpusError: If there is no such input, it may not be read, a table lacks the text column, or nothing in it can be
            used.
    """
    report = progress or (lambda done, total: None)
    root = local_path(recipe)
    passages = 0
    first_aside: list[SetAside] = []
    for item in hub_items(recipe, report) if root is None else _local_items(root, recipe, report):
        yield item
        if isinstance(item, Passage):
            passages += 1
            if root is not None and passages == recipe.rows:
                break
        elif len(first_aside) < SHOWN:
            first_aside.append(item)
    if not passages:
        why = "".join(f"\n  {aside.where}: {aside.reason}" for aside in first_aside)
        raise CorpusError(
            f"{recipe.path} holds no text that can be used. Give a corpus with text. Set aside were:{why}"
        )


def local_path(recipe: CorpusRecipe) -> Path | None:
    """The file or folder that a recipe names, or None where there is none and the name can be the Hub's.

    Raises:
        CorpusError: If there is none and the name has not the form of a Hub id, or if it may not be read.
    """
    if not recipe.path:
        raise CorpusError("corpus.path is empty. Name a file, a folder or a Hub data set: corpus.path=PATH")
    try:
        path = Path(recipe.path).expanduser()
        path.stat()
        if path.is_dir():
            os.scandir(path).close()
        elif path.is_file():  # to open a pipe would wait for its other end
            path.open("rb").close()
    except PermissionError as error:
        raise CorpusError(f"{recipe.path} may not be read ({error.strerror}). Change its permissions.") from error
    except (OSError, ValueError, RuntimeError) as error:  # ValueError: a null character; RuntimeError: an unknown ~user
        if is_hub_id(recipe.path):
            return None
        raise CorpusError(
            f"There is no file or folder {recipe.path!r}. Give one that exists, or a Hub data set id such as org/name."
        ) from error
    plain = CorpusRecipe()
    for key in ("config", "revision", "split"):
        if getattr(recipe, key) != getattr(plain, key):
            raise CorpusError(
                f"{recipe.path} is on this machine; corpus.{key} belongs to a data set on the Hub. Leave it out."
            )
    return path


def is_hub_id(name: str) -> bool:
    """Whether a name has the form org/name and is not plainly a path."""
    return may_be_hub_id(name) and name.count("/") == 1 and suffix_of(Path(name)) not in READERS


def suffix_of(path: Path) -> str:
    """The suffix that says how a file is read: the last one, or `.jsonl.gz`."""
    return ".jsonl.gz" if path.name.lower().endswith(".jsonl.gz") else path.suffix.lower()


def find_files(root: Path) -> tuple[dict[str, Path], list[SetAside]]:
    """Files that can be read by their names under the root, and what else is there, both in the order of the names.

    Raises:
        CorpusError: If there is no file of a supported format.
    """
    files: dict[str, Path] = {}
    others: list[SetAside] = []
    base = root if root.is_dir() else root.parent
    for path, fault in _entries(root) if root.is_dir() else [(root, _fault_of_entry(root))]:
        # A name that is not UTF-8 could not be written as an id.
        name = path.relative_to(base).as_posix().encode("utf-8", "backslashreplace").decode()
        if fault:
            others.append(SetAside(name, fault))
        else:
            files[name] = path
    if not files:
        found = "; ".join(f"{n} x {fault}" for fault, n in sorted(Counter(other.reason for other in others).items()))
        raise CorpusError(
            f"No file to read in {root}; found {found or 'nothing'}. Supported: {' '.join(sorted(READERS))}."
        )
    return dict(sorted(files.items())), sorted(others, key=lambda other: other.where)


def _entries(root: Path) -> Iterator[tuple[Path, str]]:
    """Everything in a folder that is not hidden, each with why it cannot be read, or nothing."""
    unread: list[OSError] = []
    for folder, folders, names in os.walk(root, onerror=unread.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        runs = [name for name in folders if _is_run(Path(folder, name))]
        folders[:] = [name for name in folders if name not in runs]
        yield from ((Path(folder, name), "folder of a run, which is made of text and is none") for name in runs)
        links = [path for path in (Path(folder, name) for name in folders) if path.is_symlink()]
        yield from ((path, "link to a folder, which is not followed") for path in links)
        paths = [Path(folder, name) for name in names if not name.startswith(".")]
        yield from ((path, _fault_of_entry(path)) for path in paths)
    yield from ((Path(error.filename), f"cannot be read: {error.strerror}") for error in unread)


def _is_run(folder: Path) -> bool:
    """Whether a folder is that of a run: with `corpus.path=.` it would else read what it has written."""
    return os.path.isfile(folder / "recipe.yaml") and os.path.isdir(folder / "logs")  # noqa: PTH112, PTH113  (they never raise)


def _fault_of_entry(path: Path) -> str:
    if suffix_of(path) not in READERS:
        return f"unsupported format: {path.suffix.lower() or 'no suffix'}"
    return "" if os.path.isfile(path) else "broken link, or no plain file"  # noqa: PTH113  (it never raises)


def _local_items(root: Path, recipe: CorpusRecipe, report: Report) -> Iterator[Item]:
    files, others = find_files(root)
    yield from others
    for done, (name, path) in enumerate(files.items()):
        report(done, len(files))
        fault = "holds no text"
        try:
            for item in _items_of_file(path, name, recipe):
                fault = ""
                yield item
        except (OSError, EOFError, zlib.error, csv.Error) as error:  # EOFError: a .gz that was cut off
            fault = f"cannot be read: {error}"
        if fault:
            yield SetAside(name, fault)
    report(len(files), len(files))


def _items_of_file(path: Path, name: str, recipe: CorpusRecipe) -> Iterator[Item]:
    with path.open("rb") as file:
        head = file.read(2**16)
    suffix = suffix_of(path)
    if suffix not in (".parquet", ".jsonl.gz") and b"\0" in head:
        return iter([SetAside(name, "is binary, or not UTF-8")])
    return READERS[suffix](path, name, recipe) if head else iter(())


def _read_document(path: Path, name: str, recipe: CorpusRecipe) -> Iterator[Item]:
    """Passages of a text file, with ids "NAME#0000", "NAME#0001" and so on."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        passages = split_document(text, path.suffix.lower(), path.stem, recipe.max_words)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        yield SetAside(f"{name}:{line}", "is not UTF-8; the whole file is left out")
    except ParserRejectedMarkup:
        yield SetAside(name, "holds HTML that cannot be parsed")
    else:
        yield from (Passage(f"{name}#{i:04d}", title, body) for i, (title, body) in enumerate(passages))


def _read_jsonl(path: Path, name: str, recipe: CorpusRecipe) -> Iterator[Item]:
    """Passages of a file with one JSON object a line; objects without an id are numbered by their lines."""
    columns: dict[str, None] = {}
    # Bytes that are not UTF-8 become lone surrogates, which spoil their row and not the file.
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.rstrip())
                fault = "" if isinstance(row, dict) else f"is a JSON {type(row).__name__}, not an object"
            except json.JSONDecodeError as error:
                fault = f"is not JSON: {error.msg} at column {error.colno}"
            except (ValueError, RecursionError):  # a number too long, brackets too deep
                fault = "is not JSON that can be read"
            if fault:
                yield SetAside(f"{name}:{number}", fault)
                continue
            columns.update(dict.fromkeys(row))
            yield from split_row(row, f"{name}:{number}", f"{name}#{number}", recipe)
    if columns:
        require_text_column(list(columns), name, recipe)


def _read_csv(path: Path, name: str, recipe: CorpusRecipe) -> Iterator[Item]:
    """Passages of a comma-separated file with a header; rows without an id are numbered from 1."""
    csv.field_size_limit(2**30)  # its own limit, 131,072 characters, is less than a long document
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        reader = csv.DictReader(lines, strict=True)
        reader.fieldnames = [column.strip() for column in reader.fieldnames or ()]
        require_text_column(reader.fieldnames, name, recipe)
        for number in itertools.count(1):
            where = f"{name}:{reader.line_num + 1}"
            try:
                row = next(reader, None)
            except csv.Error as error:
                yield SetAside(where, f"is not CSV: {error}")
                continue
            if row is None:
                return
            if None in row or None in row.values():
                yield SetAside(where, "has more or fewer cells than the header")
            else:
                yield from split_row(row, where, f"{name}#{number}", recipe)


def _read_parquet(path: Path, name: str, recipe: CorpusRecipe) -> Iterator[Item]:
    """Passages of a parquet file; rows without an id are numbered from 1."""
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            columns = require_text_column(file.schema_arrow.names, name, recipe)
            batches = file.iter_batches(batch_size=_BATCH, columns=columns)
            for number, row in enumerate((row for batch in batches for row in batch.to_pylist()), 1):
                yield from split_row(row, f"{name}:{number}", f"{name}#{number}", recipe)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        yield SetAside(f"{name}:{number + 1}", f"is not parquet that can be read from here on: {error}")


def hub_items(recipe: CorpusRecipe, report: Report) -> Iterator[Item]:
    """Passages of a data set on the Hub; rows without an id are numbered from 1.

    Raises:
        CorpusError: If the data set cannot be had, or lacks the text column.
    """
    name = str(recipe.path)
    try:
        dataset = _open(name, recipe)
        there = dataset.column_names or list(next(iter(dataset), {}))
    except UNREACHED as error:
        raise _not_had(recipe, error) from error
    columns = require_text_column(there, name, recipe)
    total = recipe.rows if isinstance(dataset, datasets.IterableDataset) else len(dataset)
    number = 0
    for number, row in enumerate(_rows_of(dataset.select_columns(columns), recipe), 1):
        yield from split_row(row, f"{name}:{number}", f"{name}#{number}", recipe)
        if number % _BATCH == 0:
            report(number, total)
    report(number, total)


def _rows_of(dataset: Iterable[dict[str, Any]], recipe: CorpusRecipe) -> Iterator[dict[str, Any]]:
    """The rows; of a stream some are still on the Hub."""
    try:
        yield from dataset
    except UNREACHED as error:
        raise _not_had(recipe, error) from error


def at_commit(recipe: CorpusRecipe) -> CorpusRecipe:
    """The block with the commit that its branch or tag of a Hub data set stands at now; as it is for files, and offline.

    Raises:
        CorpusError: If there is no such data set.
    """
    if local_path(recipe) is not None:
        return recipe
    try:
        commit = HfApi().dataset_info(str(recipe.path), revision=recipe.revision, timeout=HUB_SECONDS).sha
    except errors.OfflineModeIsEnabled:  # what was loaded before is in the cache
        return recipe
    except UNREACHED as error:
        raise _not_had(recipe, error) from error
    return replace(recipe, revision=commit)


def _not_had(recipe: CorpusRecipe, error: Exception) -> CorpusError:
    return CorpusError(
        f"There is no file or folder {recipe.path!r}, and no split {recipe.split!r} "
        f"{f'of config {recipe.config!r} ' if recipe.config else ''}of a Hub data set of that name came: "
        f"{' '.join(str(error).split())} ({type(error).__name__}). Give a path that exists or a data set that you can "
        "reach; with HF_HUB_OFFLINE=1 one that was loaded before is used."
    )


def _open(name: str, recipe: CorpusRecipe) -> datasets.Dataset | datasets.IterableDataset:
    """The data set, whole; with `rows`, a stream of so many, of which no more is downloaded than is read."""
    how = {"name": recipe.config, "split": recipe.split, "revision": recipe.revision}
    if recipe.rows is None:
        return datasets.load_dataset(name, **how)
    return datasets.load_dataset(name, **how, streaming=True).take(recipe.rows)


def require_text_column(columns: Sequence[str], where: str, recipe: CorpusRecipe) -> list[str]:
    """The columns that are needed, of those that are there.

    Raises:
        CorpusError: If the one with the text, or another that the recipe names, is not there (names the nearest) or is there
            twice.
    """
    plain = CorpusRecipe()
    for key in ("text_column", "title_column", "id_column"):
        name = getattr(recipe, key)
        if columns.count(name) > 1:
            raise CorpusError(f"{where} has {columns.count(name)} columns {name!r}. Rename all but one.")
        # Where nothing is said, a table may be without titles and ids.
        if name in columns or (key != "text_column" and name in ("", getattr(plain, key))):
            continue
        near = difflib.get_close_matches(name, columns, n=1, cutoff=0.45) or ["COLUMN"]
        raise CorpusError(
            f"{where} has no column {name!r}; it has {', '.join(map(repr, columns)) or 'none'}. Name the one that holds the "
            f"{key.removesuffix('_column')}, for example corpus.{key}={near[0]}, or leave that file out."
        )
    return [column for column in columns if column in (recipe.id_column, recipe.title_column, recipe.text_column)]


READERS: dict[str, Callable[[Path, str, CorpusRecipe], Iterator[Item]]] = {
    **dict.fromkeys((".htm", ".html", ".md", ".rst", ".txt"), _read_document),
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".jsonl.gz": _read_jsonl,
    ".parquet": _read_parquet,
}
