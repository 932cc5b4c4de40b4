"""Data sets that a recipe keeps out of training, written as the folders that `--local` reads.

retrieval        query, text, and title if there is one: find the text that the query belongs to among all texts
reranking        query, positives, negatives (lists of texts): put the positives before the negatives
sts              sentence1, sentence2, score; with `values` the score is a label's number
pairs            sentence1, sentence2, label: 1 belongs together, 0 does not
same_label       text, label: does a text belong to another of its label, or to a like one of another label?
classification   text, label: half of the texts train mteb's classifier
clustering       text, label
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from gecko_hf.errors import EvaluationError
from gecko_hf.evaluation.task_recipe import TaskRecipe
from gecko_hf.source import by_role, pinned, read_source
from gecko_hf.text import words

Row = Mapping[str, Any]
FOES = 30  # texts of other labels among which the likest is taken (ours)


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
        EvaluationError: If no row of a source can be used.
    """
    read = {}
    for name, recipe in tasks.items():
        source = str(recipe.source)
        recipe = read[name] = pinned(recipe, source, name)
        write, needs = WRITERS[recipe.kind]
        rows = by_role(read_source(recipe, source, name, recipe.kind, needs), recipe.columns)
        written = write(rows.shuffle(seed=seed), recipe, folder / name, random.Random(seed))  # not security
        if not written:
            raise EvaluationError(f"{name}: no row of {source} can be used for {recipe.kind}. Check kind and columns.")
    return read


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
    made = []
    for row in rows:
        positive = _texts(row["positives"])
        negative = [text for text in _texts(row["negatives"]) if text not in positive]
        if positive and negative:
            made.append({"query": row["query"], "positive": positive, "negative": negative})
    return _jsonl(made[: recipe.rows], folder / "test.jsonl")


def _sts(rows: Iterable[Row], recipe: TaskRecipe, folder: Path, draw: random.Random) -> int:
    return _jsonl(_scored(rows, recipe, "score")[: recipe.rows], folder / "test.jsonl")


def _pairs(rows: Iterable[Row], recipe: TaskRecipe, folder: Path, draw: random.Random) -> int:
    made = [row | {"label": int(row["label"])} for row in _scored(rows, recipe, "label")]
    return _jsonl(made[: recipe.rows], folder / "test.jsonl")


def _scored(rows: Iterable[Row], recipe: TaskRecipe, column: str) -> list[dict[str, Any]]:
    made = []
    for row in rows:
        value = recipe.values.get(str(row[column])) if recipe.values else row[column]
        if value is None or not row["sentence1"] or not row["sentence2"]:
            continue
        try:
            made.append({"sentence1": row["sentence1"], "sentence2": row["sentence2"], column: float(value)})
        except ValueError as error:
            raise EvaluationError(
                f"{recipe.source}: the {column} {value!r} is no number. Say what it stands for: values: {{{value}: 1.0}}."
            ) from error
    return made


def _same_label(rows: Iterable[Row], recipe: TaskRecipe, folder: Path, draw: random.Random) -> int:
    found = [(row["text"], str(row["label"])) for row in rows if row["text"]]
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
    made = _labelled(rows)[: recipe.rows]
    seen: dict[str, int] = defaultdict(int)
    halves: tuple[list[Row], list[Row]] = ([], [])
    for row in made:
        halves[seen[row["label"]] % 2].append(row)
        seen[row["label"]] += 1
    _jsonl(halves[0], folder / "train.jsonl")
    return _jsonl(halves[1], folder / "test.jsonl")


def _clustering(rows: Iterable[Row], recipe: TaskRecipe, folder: Path, draw: random.Random) -> int:
    return _jsonl(_labelled(rows)[: recipe.rows], folder / "test.jsonl")


def _labelled(rows: Iterable[Row]) -> list[dict[str, str]]:
    return [
        {"text": row["text"], "label": str(row["label"])} for row in rows if row["text"] and row["label"] is not None
    ]


def _texts(found: Iterable[Any]) -> list[str]:
    """Strings, or `{"title": ..., "text": ...}` in one string, as mteb hands a document over."""
    texts = (f if isinstance(f, str) else f"{f.get('title') or ''} {f['text']}".strip() for f in found)
    return list(dict.fromkeys(text for text in texts if text.strip()))


def _jsonl(rows: Iterable[Row], file: Path) -> int:
    """Write rows as JSON lines; returns how many."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(lines), encoding="utf-8")
    return len(lines)


Writer = Callable[[Iterable[Row], TaskRecipe, Path, random.Random], int]
WRITERS: dict[str, tuple[Writer, tuple[str, ...]]] = {
    "retrieval": (_retrieval, ("query", "text")),
    "reranking": (_reranking, ("query", "positives", "negatives")),
    "sts": (_sts, ("sentence1", "sentence2", "score")),
    "pairs": (_pairs, ("sentence1", "sentence2", "label")),
    "same_label": (_same_label, ("text", "label")),
    "classification": (_classification, ("text", "label")),
    "clustering": (_clustering, ("text", "label")),
}
