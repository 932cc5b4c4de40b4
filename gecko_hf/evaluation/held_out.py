"""Data sets that a recipe keeps out of training, written as the folders that `--local` reads.

retrieval        query, text, and title if there is one: find the text that the query belongs to among all texts
reranking        query, positives, negatives (lists of texts): put the positives before the negatives
sts              sentence1, sentence2, score; with `values` the score is a label's number
pairs            sentence1, sentence2, label: 1 belongs together, 0 does not
same_label       text, label: does a text belong to another of its label, or to a like one of another label?
classification   text, label: mteb draws what trains its classifier from half of the texts
clustering       text, label
"""

from __future__ import annotations

import itertools
import json
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets

from gecko_hf.errors import EvaluationError
from gecko_hf.evaluation.task_recipe import ALSO, ROLES, TaskKind, TaskRecipe
from gecko_hf.source import TEXT, by_role, pinned, read_source
from gecko_hf.text import words

Row = Mapping[str, Any]
NO_TEXT = ("positives", "negatives", "score", "label")  # roles of columns that hold something else
FOES = (
    30  # times that a label is drawn and a text of it, to take the likest; those of the text's own do not count (ours)
)


def write_held_out(tasks: Mapping[str, TaskRecipe], folder: Path, seed: int) -> dict[str, TaskRecipe]:
    """Write each task into a folder of its name.

    Args:
        tasks: Name -> block.
        folder: Where.
        seed: Seeds what is drawn.

    Returns:
        The blocks, with the commits that were read.

    Raises:
        RecipeError: If a source does not load, or lacks a column.
        EvaluationError: If no row of a source can be used, or a value is not what its kind reads.
    """
    read = {}
    for name, recipe in tasks.items():
        source = str(recipe.source)
        recipe = read[name] = pinned(recipe, source, name)
        rows = by_role(read_source(recipe, source, name, recipe.kind, ROLES[recipe.kind]), recipe.columns)
        _require_texts(rows, recipe, name)
        draw = random.Random(seed)  # not security: seeded sampling
        if not WRITERS[recipe.kind](rows.shuffle(seed=seed), recipe, folder / name, draw):
            raise EvaluationError(f"{name}: no row of {source} can be used for {recipe.kind}. Check kind and columns.")
    return read


def _require_texts(rows: datasets.Dataset, recipe: TaskRecipe, name: str) -> None:
    for role in (*ROLES[recipe.kind], *ALSO.get(recipe.kind, ())):
        found = rows.features.get(role)
        if role not in NO_TEXT and found not in (None, datasets.Value("null"), *TEXT):
            raise EvaluationError(
                f"{name}: the column for {role} holds {found}, and {recipe.kind} reads texts there. Name another column."
            )


def _retrieval(rows: Iterable[Row], recipe: TaskRecipe, folder: Path, draw: random.Random) -> int:
    ids: dict[tuple[str, str], str] = {}
    asked: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        text = row["text"], row.get("title") or ""
        if not row["query"] or not row["text"]:
            continue
        wanted = recipe.rows is None or len(asked) < recipe.rows
        if wanted or text in ids or len(ids) < recipe.documents:
            ids.setdefault(text, f"d{len(ids)}")
        if (wanted or row["query"] in asked) and text in ids:
            asked[row["query"]].add(ids[text])
    _jsonl(({"_id": key, "title": title, "text": text} for (text, title), key in ids.items()), folder / "corpus.jsonl")
    _jsonl(({"_id": f"q{i}", "text": query} for i, query in enumerate(asked)), folder / "queries.jsonl")
    lines = [f"q{i}\t{key}\t1" for i, found in enumerate(asked.values()) for key in sorted(found)]
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(lines) + "\n", "utf-8")
    return len(asked)


def _reranking(rows: Iterable[Row], recipe: TaskRecipe, folder: Path, draw: random.Random) -> int:
    return _jsonl(itertools.islice(_ranked(rows, recipe), recipe.rows), folder / "test.jsonl")


def _ranked(rows: Iterable[Row], recipe: TaskRecipe) -> Iterator[Row]:
    for row in rows:
        positive = _texts(row["positives"], recipe)
        negative = [text for text in _texts(row["negatives"], recipe) if text not in positive]
        if row["query"] and positive and negative:
            yield {"query": row["query"], "positive": positive, "negative": negative}


def _sts(rows: Iterable[Row], recipe: TaskRecipe, folder: Path, draw: random.Random) -> int:
    return _jsonl(itertools.islice(_scored(rows, recipe, "score"), recipe.rows), folder / "test.jsonl")


def _pairs(rows: Iterable[Row], recipe: TaskRecipe, folder: Path, draw: random.Random) -> int:
    made = (row | {"label": _zero_or_one(row["label"], recipe)} for row in _scored(rows, recipe, "label"))
    return _jsonl(itertools.islice(made, recipe.rows), folder / "test.jsonl")


def _zero_or_one(label: float, recipe: TaskRecipe) -> int:
    if label not in (0, 1):
        raise EvaluationError(
            f"{recipe.source}: the label {label:g} is neither 0 nor 1. Say what it stands for: values: {{{label:g}: 1.0}}."
        )
    return int(label)


def _scored(rows: Iterable[Row], recipe: TaskRecipe, column: str) -> Iterator[dict[str, Any]]:
    for row in rows:
        value = recipe.values.get(str(row[column])) if recipe.values else row[column]
        if value is None or not row["sentence1"] or not row["sentence2"]:
            continue
        try:
            number = float(value)
        except (ValueError, TypeError) as error:
            raise EvaluationError(
                f"{recipe.source}: the {column} {value!r} is no number. Say what it stands for: values: {{{value}: 1.0}}."
            ) from error
        if not math.isnan(number):
            yield {"sentence1": row["sentence1"], "sentence2": row["sentence2"], column: number}


def _same_label(rows: Iterable[Row], recipe: TaskRecipe, folder: Path, draw: random.Random) -> int:
    found = [(row["text"], row["label"]) for row in _labelled(rows)]
    members: dict[str, list[str]] = defaultdict(list)
    for text, label in found:
        members[label].append(text)
    labels = sorted(members)
    made = []
    for text, label in found[: recipe.rows]:
        twins = [other for other in members[label] if other != text]
        if not twins or len(labels) < 2:
            continue
        foes = [draw.choice(members[other]) for other in draw.choices(labels, k=FOES) if other != label]
        if foes:
            likest = max(foes, key=lambda foe: _overlap(text, foe))
            made += [_pair(text, draw.choice(twins), 1), _pair(text, likest, 0)]
    return _jsonl(made, folder / "test.jsonl")


def _overlap(a: str, b: str) -> float:
    """The Jaccard similarity of the words of two texts."""
    one, other = set(words(a)), set(words(b))
    return len(one & other) / max(1, len(one | other))


def _pair(first: str, second: str, label: int) -> dict[str, Any]:
    return {"sentence1": first, "sentence2": second, "label": label}


def _classification(rows: Iterable[Row], recipe: TaskRecipe, folder: Path, draw: random.Random) -> int:
    """Every other text of each label trains, so that each label is in both halves."""
    made = itertools.islice(_labelled(rows), recipe.rows)
    seen: dict[str, int] = defaultdict(int)
    halves: tuple[list[Row], list[Row]] = ([], [])
    for row in made:
        halves[seen[row["label"]] % 2].append(row)
        seen[row["label"]] += 1
    _jsonl(halves[0], folder / "train.jsonl")
    return _jsonl(halves[1], folder / "test.jsonl")


def _clustering(rows: Iterable[Row], recipe: TaskRecipe, folder: Path, draw: random.Random) -> int:
    return _jsonl(itertools.islice(_labelled(rows), recipe.rows), folder / "test.jsonl")


def _labelled(rows: Iterable[Row]) -> Iterator[dict[str, str]]:
    return (
        {"text": row["text"], "label": str(row["label"])} for row in rows if row["text"] and row["label"] is not None
    )


def _texts(found: Any, recipe: TaskRecipe) -> list[str]:
    """Strings, or `{"title": ..., "text": ...}` in one string, as mteb hands a document over; empty ones are left out."""
    texts = found or []
    # Of a text in the place of a list, each character would be a document.
    if not isinstance(texts, list) or not all(isinstance(f, str | dict | None) for f in texts):
        raise EvaluationError(
            f"{recipe.source}: a row has {str(found)[:60]!r} as positives or negatives; reranking reads lists of texts: [TEXT]."
        )
    joined = (f if isinstance(f, str) else _joined(f) for f in texts if f)
    return list(dict.fromkeys(text for text in joined if text.strip()))


def _joined(document: Row) -> str:
    return f"{document.get('title') or ''} {document['text']}".strip() if document.get("text") else ""


def _jsonl(rows: Iterable[Row], file: Path) -> int:
    """Write rows as JSON lines; returns how many."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(lines), encoding="utf-8")
    return len(lines)


Writer = Callable[[Iterable[Row], TaskRecipe, Path, random.Random], int]
WRITERS: dict[TaskKind, Writer] = {
    "retrieval": _retrieval,
    "reranking": _reranking,
    "sts": _sts,
    "pairs": _pairs,
    "same_label": _same_label,
    "classification": _classification,
    "clustering": _clustering,
}
