"""Rows of a data set with columns: a local file or folder, or a data set on the Hub at one commit."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import datasets
from datasets.exceptions import DatasetsError
from huggingface_hub import HfApi, errors

from gecko_hf.errors import RecipeError
from gecko_hf.file_state import file_state
from gecko_hf.home import expanded
from gecko_hf.hub_id import may_be_hub_id
from gecko_hf.source_recipe import SourceRecipe

FORMATS = {".jsonl": "json", ".json": "json", ".gz": "json", ".parquet": "parquet", ".csv": "csv"}
TEXT = (datasets.Value("string"), datasets.Value("large_string"))  # what a column of text is
# Of pandas, which takes words such as `null` and `None` for nothing: only an empty cell is.
CSV_WORDS = {"keep_default_na": False, "na_values": [""]}
# What a change is looked for in: these, what else `datasets` reads rows of text from, and the judgements of a test set.
HASHED = (*FORMATS, ".ndjson", ".arrow", ".txt", ".zip", ".zst", ".bz2", ".xz", ".tsv")
BESIDE_ROWS = ("dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json")
FILE_SPLIT = re.compile(r"train(\[|$)")  # a file is one split, of which a part may be named
COMMIT = re.compile("[0-9a-f]{40}")
_HTTP_ERROR: type[Exception] = errors.HTTPError  # type: ignore[attr-defined]  # of the Hub's HTTP client, whichever it is
# What asking the Hub raises, and loading from it.
UNREACHED = (_HTTP_ERROR, OSError, ValueError, RuntimeError, DatasetsError)

Entry = TypeVar("Entry", bound=SourceRecipe)


def pinned(recipe: Entry, source: str, name: str) -> Entry:
    """The block with the commit that its branch or tag of a Hub data set stands at now.

    Raises:
        RecipeError: If the Hub does not tell it, or the rows are on this machine and something is said of the Hub's.
    """
    if expanded(source).exists():
        _refuse_hub_keys(recipe, source, name)
        return recipe
    if not may_be_hub_id(source) or Path(source).suffix in FORMATS:
        raise RecipeError(
            f"{name}: there is no file or folder {source!r}, and it is no Hub data set id. Give a .jsonl, .parquet or .csv "
            "file, a folder of such, or an id."
        )
    if COMMIT.fullmatch(recipe.revision or ""):
        return recipe
    try:
        commit = HfApi().dataset_info(source, revision=recipe.revision).sha
    except UNREACHED as error:
        why = " ".join(str(error).split())
        raise RecipeError(
            f"{name}: no data set loads from {source!r}: {why} Give a .jsonl, .parquet or .csv file, a folder of such, or "
            "a Hub data set id; without a connection also the commit, as revision."
        ) from error
    return replace(recipe, revision=commit)


def _refuse_hub_keys(recipe: SourceRecipe, source: str, name: str) -> None:
    for key in ("revision", "config"):
        own = key == "config" and expanded(source).is_dir()  # a folder can have configurations
        if (value := getattr(recipe, key)) is not None and not own:
            raise RecipeError(
                f"{name}.{key} is {value!r}, and {source} is on this machine: a {key} is of a data set on the Hub. Leave it out."
            )


def read_source(recipe: SourceRecipe, source: str, name: str, kind: str, needs: Sequence[str]) -> datasets.Dataset:
    """The rows, with the columns under their own names.

    Args:
        recipe: What to read.
        source: From where.
        name: As in the recipe, for messages.
        kind: What reads the rows, for messages.
        needs: The roles that it reads.

    Raises:
        RecipeError: If nothing loads from there, or a role has no column.
    """
    path = expanded(source)
    if path.is_file() and not FILE_SPLIT.match(recipe.split):
        raise RecipeError(
            f"{name}.split is {recipe.split!r}, and {source} is one file, all of whose rows are the split train. Leave split "
            "out, or take a part of them, for example train[:1000]."
        )
    forms = _forms(path, name) if path.is_dir() else set()
    try:
        options = CSV_WORDS if forms == {"csv"} or path.suffix == ".csv" else {}
        if path.is_dir():
            found: Any = datasets.load_dataset(
                str(path), recipe.config, split=recipe.split, cache_dir=_cache_of(path), **options
            )
        elif path.is_file():
            found = datasets.load_dataset(FORMATS[path.suffix], data_files=str(path), split=recipe.split, **options)
        else:
            found = datasets.load_dataset(source, recipe.config, split=recipe.split, revision=recipe.revision)
    except (*UNREACHED, KeyError, StopIteration) as error:  # StopIteration: a file without a row
        why = " ".join(str(error).split()) or "it holds no row"
        raise RecipeError(
            f"{name}: no data set loads from {source!r}: {why}. Give a .jsonl, .parquet or .csv file, a folder of such, "
            "or a Hub data set id."
        ) from error
    have = {**{c: c for c in found.column_names}, **recipe.columns}
    missing = [role for role in needs if have.get(role) not in found.column_names]
    if missing:
        raise RecipeError(
            f"{name}: {source} has the columns {', '.join(found.column_names)}, and {kind} reads {', '.join(needs)}. "
            f"Say where {missing[0]} is: columns: {{{missing[0]}: COLUMN}}."
        )
    for role, column in recipe.columns.items():
        if column not in found.column_names:
            raise RecipeError(
                f"{name}.columns: {source} has no column {column!r} for {role}, only {', '.join(found.column_names)}. Name one "
                "of them, or leave it out."
            )
    for column, value in recipe.where.items():
        if column not in found.column_names:
            raise RecipeError(f"{name}.where: {source} has no column {column!r}, only {', '.join(found.column_names)}.")
        found = found.filter(lambda cell, value=value: str(cell) == value, input_columns=[column])
    return _half(found, recipe.half, have.get("label"), name) if recipe.half else found


def _cache_of(folder: Path) -> str:
    """Where `datasets` keeps the rows that it has read of a folder: a place for each folder and state of it.

    By itself it knows a folder that has a card by its last name and by the card, so that those of two runs could be one.
    """
    key = hashlib.sha256(repr([str(folder.resolve()), state(str(folder))]).encode()).hexdigest()[:16]
    return str(Path(datasets.config.HF_DATASETS_CACHE) / "folders" / key)


def _forms(folder: Path, name: str) -> set[str]:
    """The formats of a folder's files; what `datasets` and the Hub write beside the rows does not count.

    Raises:
        RecipeError: If there are several and no card that says what is read: `datasets` would read the commonest alone.
    """
    files = [f for f in folder.rglob("*") if f.suffix in FORMATS and f.name not in BESIDE_ROWS]
    found = {FORMATS[f.suffix]: f for f in files}
    if len(found) > 1 and not (folder / "README.md").is_file():
        shown = ", ".join(str(file.relative_to(folder)) for file in found.values())
        raise RecipeError(
            f"{name}: {folder} holds files of {len(found)} formats ({shown}), of which one would be read. Keep one format in a "
            "folder."
        )
    return set(found)


def _half(rows: datasets.Dataset, half: str, column: str | None, name: str) -> datasets.Dataset:
    if column not in rows.column_names:
        raise RecipeError(
            f"{name}.half deals labels, and there are none. Say where they are: columns: {{label: COLUMN}}."
        )
    odd = half == "second"
    return rows.filter(lambda label: zlib.crc32(str(label).encode()) % 2 == odd, input_columns=[column])


def by_role(rows: datasets.Dataset, columns: dict[str, str]) -> datasets.Dataset:
    """The rows with the columns under the names of their roles; a column that had such a name is dropped."""
    back = {column: role for role, column in columns.items() if column != role and column in rows.column_names}
    rows = rows.remove_columns([role for role in back.values() if role in rows.column_names and role not in back])
    return rows.rename_columns(back) if back else rows


def state(source: str) -> list[Any]:
    """What changes when rows on this machine do: the files of data, and the head of a card, which says what is read of them."""
    folder = expanded(source)
    found = [[f.name, *file_state(f)] for f in _files(folder) if f == folder or f.suffix in HASHED]
    card = folder / "README.md"
    return [*found, _head(card)] if card.is_file() else found


def model_state(source: str) -> list[Any]:
    """What changes when a model on this machine does: its files without its card and what was exported of them to ONNX."""
    folder = expanded(source)
    return [
        [f.name, *file_state(f)]
        for f in _files(folder)
        if f.relative_to(folder).as_posix().partition("/")[0] not in ("README.md", "onnx")
    ]


def _files(path: Path) -> list[Path]:
    """The file, or what lies in the folder and is not hidden, in the order of the names."""
    if not path.is_dir():
        return [path] if path.is_file() else []
    found = (f for f in path.rglob("*") if not any(part.startswith(".") for part in f.relative_to(path).parts))
    return sorted(f for f in found if f.is_file())


def _head(card: Path) -> str:
    """The YAML between the first two lines of three dashes; nothing where the card does not begin with one."""
    lines = card.read_text(encoding="utf-8", errors="replace").splitlines()
    ends = [i for i, line in enumerate(lines) if line.rstrip() == "---"]
    return "\n".join(lines[: ends[1]]) if len(ends) > 1 and ends[0] == 0 else ""
