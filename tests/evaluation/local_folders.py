"""Small data sets on disk, one of each form that `--local` reads."""

import json
from pathlib import Path

TOPICS = {
    "bread": ("oven", "flour", "yeast", "dough", "crust", "loaf"),
    "sailing": ("mast", "harbour", "rudder", "wind", "anchor", "sail"),
    "chess": ("knight", "bishop", "castle", "gambit", "board", "pawn"),
    "bees": ("hive", "honey", "queen", "swarm", "nectar", "wax"),
}
VERBS = ("needs", "changes", "protects", "follows", "carries", "shapes", "meets")


def texts(count: int = 40) -> list[tuple[str, str]]:
    """(topic, sentence) pairs."""
    made = []
    for i in range(count):
        topic = list(TOPICS)[i % len(TOPICS)]
        a, b, c = (TOPICS[topic][(i * step + step) % 6] for step in (1, 5, 7))
        other = list(TOPICS.values())[(i // 4) % 4][i % 6]  # a word of another topic, so that nothing is too easy
        made.append((topic, f"The {a} {VERBS[i % 7]} the {b} and the {other} before {c} number {i} is ready."))
    return made


def jsonl(rows: list[dict], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def beir(folder: Path) -> Path:
    documents = [{"_id": f"d{i}", "title": topic, "text": text} for i, (topic, text) in enumerate(texts(64))]
    jsonl(documents, folder / "corpus.jsonl")
    jsonl(
        [{"_id": f"q{i}", "text": f"{d['title']} {d['text'][10:60]}"} for i, d in enumerate(documents)],
        folder / "queries.jsonl",
    )
    lines = [f"q{i}\td{(i + i % 3) % 64}\t{1 + i % 2}" for i in range(24)]
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(lines) + "\n")
    return folder


def pairs(folder: Path, column: str) -> Path:
    sentences = texts(60)
    rows = []
    for i in range(30):
        (topic, first), (other, second) = sentences[i], sentences[(i * 7 + i % 5) % 60]
        value = (4.0 if topic == other else 1.0) + i % 5 / 5 if column == "score" else int(topic == other)
        rows.append({"sentence1": first, "sentence2": second, column: value})
    jsonl(rows, folder / "test.jsonl")
    return folder


def labelled(folder: Path, *, train: bool) -> Path:
    rows = [{"text": text, "label": topic} for topic, text in texts(64)]
    jsonl(rows, folder / "test.jsonl")
    if train:
        jsonl([{"text": f"{text} again", "label": topic} for topic, text in texts(80)], folder / "train.jsonl")
    return folder


def candidates(folder: Path) -> Path:
    sentences = texts(64)
    rows = []
    for i in range(16):
        topic, text = sentences[i]
        positive = [t for other, t in sentences[16:40] if other == topic][:2]
        negative = [t for other, t in sentences[16:40] if other != topic][:6]
        rows.append({"query": text, "positive": positive, "negative": negative})
    jsonl(rows, folder / "test.jsonl")
    return folder


def every_form(root: Path) -> Path:
    beir(root / "search")
    pairs(root / "similarity", "score")
    pairs(root / "paraphrase", "label")
    labelled(root / "topics", train=True)
    labelled(root / "groups", train=False)
    candidates(root / "answers")
    return root
