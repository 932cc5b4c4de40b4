"""How the rows of a data set become training rows, one function for each form in which such data comes.

The paper names its human-labelled sets (section 3.3: Natural Questions, HotpotQA, FEVER, MedMCQA, SNLI, MNLI, several
classification sets; MIRACL for the multilingual model) but not how their rows are built; what is ours is marked.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gecko_hf.errors import RecipeError
from gecko_hf.prompts import CLASSIFICATION, FACT_CHECKING, QUESTION_ANSWERING, SEARCH_RESULT, SEMANTIC_SIMILARITY

Row = Mapping[str, Any]
ID_FORM = "id: {} | "  # a unique id, in front of the text: the end of a long one is cut off, and the id with it


class Text(NamedTuple):
    """A document, or the other side of a symmetric task."""

    text: str
    title: str = ""


@dataclass(frozen=True)
class Example:
    """A query with what answers it and what does not.

    Attributes:
        query: The query.
        positive: What answers it.
        negatives: What does not, the hardest first.
        task: Where the row itself names one.
        scores: A teacher's, of the positive and then of each negative.
        mark: Stands in front of all texts of the row, so that they are told apart from those of other rows.
        label: Number of the label that query and positive share.
    """

    query: str
    positive: Text
    negatives: list[Text] = field(default_factory=list)
    task: str | None = None
    scores: list[float] | None = None
    mark: str = ""
    label: int | None = None


Converter = Callable[[Iterable[Row], random.Random], Iterator[Example | str]]
"""Yields an example, or in its place the reason why a row is set aside."""


class Kind(NamedTuple):
    """A form of data.

    Attributes:
        convert: Makes examples of its rows.
        columns: What it reads of a row.
        also: What it reads as well, where a row has it.
        task: What stands after `task:`.
        hard: How many hard negatives a row has.
        symmetric: Whether both sides are queries.
        grouped: Whether an example is made of several rows, so that a cap is of examples and not of rows.
    """

    convert: Converter
    columns: tuple[str, ...]
    task: str
    hard: int = 1
    symmetric: bool = False
    grouped: bool = False
    also: tuple[str, ...] = ()


def fret(rows: Iterable[Row], draw: random.Random) -> Iterator[Example | str]:
    """FRet's own rows: the LLM wrote the task."""
    for row in rows:
        negatives = [Text(row["negative"], row["negative_title"] or "")] if row["negative"] else []
        yield Example(row["query"], Text(row["positive"], row["positive_title"] or ""), negatives, row["task"])


def pairs(rows: Iterable[Row], draw: random.Random) -> Iterator[Example | str]:
    """Any query and what answers it: community question answering, title and body; title, negative, scores if there are."""
    for row in rows:
        if not filled(row["query"]) or not filled(row["positive"]):
            yield "empty text"
            continue
        given = [] if row.get("negative") is None else [Text(row["negative"])]
        negatives, scores = _filled_ones(given, row.get("scores"))
        yield Example(row["query"], Text(row["positive"], row.get("title") or ""), negatives, scores=scores)


def passages(rows: Iterable[Row], draw: random.Random) -> Iterator[Example | str]:
    """A query with lists of positive and negative passages: Natural Questions and MIRACL as they are published.

    The first positive and the first negatives are taken, which are the best-ranked (ours).
    """
    for row in rows:
        positives, _ = _filled_ones(_texts(row, "positive_passages"))
        negatives, scores = _filled_ones(_texts(row, "negative_passages"), row.get("scores"))
        if positives:
            yield Example(row["query"], positives[0], negatives, scores=scores)
        else:
            yield "no positive passage"


def hotpotqa(rows: Iterable[Row], draw: random.Random) -> Iterator[Example | str]:
    """A question, the paragraphs that support the answer, and distractors, which are the hard negatives (ours).

    A question needs two paragraphs; one of them is drawn (ours).
    """
    for row in rows:
        titles = set(row["supporting_facts"]["title"])
        context = row["context"]
        texts = [Text("".join(s).strip(), t) for t, s in zip(context["title"], context["sentences"], strict=True)]
        gold = [t for t in texts if t.title in titles and t.text]
        others = [t for t in texts if t.title not in titles and t.text]
        yield Example(row["question"], draw.choice(gold), others) if gold else "no supporting paragraph"


def fever(rows: Iterable[Row], draw: random.Random) -> Iterator[Example | str]:
    """A claim and its evidence, whether that supports or refutes it: both let one check the claim (ours)."""
    for row in rows:
        if str(row["label"]).upper().startswith("NOT ENOUGH"):
            yield "not enough information"
            continue
        evidence = row["evidence"]
        text = " ".join(_plain(e) for e in evidence) if isinstance(evidence, list) else evidence
        known, _ = _filled_ones(_texts(row, "negative_passages"))
        yield Example(row["claim"], Text(text, row["title"] or ""), known) if filled(text) else "no evidence"


def medmcqa(rows: Iterable[Row], draw: random.Random) -> Iterator[Example | str]:
    """A question, the right option, and the wrong ones in drawn order (ours)."""
    for row in rows:
        options = [row[key] for key in ("opa", "opb", "opc", "opd")]
        right: str = (options.pop(row["cop"]) if row["cop"] in range(4) else None) or ""
        draw.shuffle(options)
        if not right.strip():
            yield "no right option"
        elif "above" in right.lower().split():  # an option about the options answers no question
            yield "the answer is all or none of the above"
        else:
            yield Example(row["question"], Text(right), [Text(o) for o in options if filled(o)])


def nli(rows: Iterable[Row], draw: random.Random) -> Iterator[Example | str]:
    """A premise with an entailed and a contradicting hypothesis (as in SimCSE, Gao et al. 2021).

    Labels are 0 entailment, 1 neutral, 2 contradiction, or these words.
    """
    entailed: dict[str, list[str]] = defaultdict(list)
    contradicted: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        label = {0: "entailment", 2: "contradiction"}.get(row["label"], row["label"])
        if not (filled(row["premise"]) and filled(row["hypothesis"])):
            yield "empty text"
        elif label == "entailment":
            entailed[row["premise"]].append(row["hypothesis"])
        elif label == "contradiction":
            contradicted[row["premise"]].append(row["hypothesis"])
        else:
            yield "neutral or without a label"
    for premise, hypotheses in entailed.items():
        for hypothesis in hypotheses:
            yield Example(premise, Text(hypothesis), [Text(h) for h in contradicted.get(premise, ())])
    for premise in contradicted.keys() - entailed.keys():
        yield from ["no entailed hypothesis"] * len(contradicted[premise])


def labels(rows: Iterable[Row], draw: random.Random) -> Iterator[Example | str]:
    """A text, another of its label, and one of any other label (paper, section 3.3).

    The mark is a unique id, so that only the row's own negative is hard: other rows' texts, which may have the same label, are
    told apart by it. Its form and its place are ours.
    """
    texts, classes = [], []
    for row in rows:
        if not filled(row["text"]):
            yield "empty text"
            continue
        if row["label"] is None:
            yield "no label"
            continue
        if isinstance(row["label"], list | dict):
            yield "several labels"
            continue
        texts.append(row["text"])
        classes.append(row["label"])
    members: dict[Any, list[int]] = defaultdict(list)
    for i, label in enumerate(classes):
        members[label].append(i)
    number = {label: n for n, label in enumerate(members)}
    for i, label in enumerate(classes):
        same, others = members[label], len(texts) - len(members[label])
        if len(same) < 2 or not others:
            yield "no other text of this label" if others else "no text of another label"
            continue
        twin = same[draw.randrange(len(same) - 1)]
        twin = same[-1] if twin == i else twin
        foe = draw.randrange(len(texts))
        while classes[foe] == label:
            foe = draw.randrange(len(texts))
        mark = ID_FORM.format(hashlib.sha256(f"{i}:{texts[i]}".encode()).hexdigest()[:10])
        yield Example(texts[i], Text(texts[twin]), [Text(texts[foe])], mark=mark, label=number[label])


KINDS: dict[str, Kind] = {
    "fret": Kind(fret, ("task", "query", "positive_title", "positive", "negative_title", "negative"), SEARCH_RESULT),
    "pairs": Kind(pairs, ("query", "positive"), QUESTION_ANSWERING, hard=0, also=("title", "negative", "scores")),
    "passages": Kind(
        passages, ("query", "positive_passages", "negative_passages"), QUESTION_ANSWERING, also=("scores",)
    ),
    "hotpotqa": Kind(hotpotqa, ("question", "supporting_facts", "context"), SEARCH_RESULT),
    "fever": Kind(fever, ("claim", "label", "title", "evidence"), FACT_CHECKING, hard=0, also=("negative_passages",)),
    "medmcqa": Kind(medmcqa, ("question", "opa", "opb", "opc", "opd", "cop"), QUESTION_ANSWERING),
    "nli": Kind(nli, ("premise", "hypothesis", "label"), SEMANTIC_SIMILARITY, symmetric=True, grouped=True),
    "labels": Kind(labels, ("text", "label"), CLASSIFICATION, symmetric=True),
}


def filled(text: Any) -> bool:
    """Whether a value is a text that says something."""
    return isinstance(text, str) and bool(text.strip())


def _plain(passage: Any) -> str:
    return passage if isinstance(passage, str) else str(passage["text"])


def _texts(row: Row, column: str) -> list[Text]:
    """Passages as strings or as `{"title": ..., "text": ...}`.

    Raises:
        RecipeError: If the column holds a text, whose letters would be taken for passages.
    """
    found = row.get(column)
    if isinstance(found, str):
        raise RecipeError(
            f"{column} holds the text {found[:40]!r}, and `kind: passages` reads lists of texts there. For one passage a row "
            "use `kind: pairs`, whose columns are query, positive and negative."
        )
    found = found or ()
    return [Text(p) if isinstance(p, str) else Text(p["text"], p.get("title") or "") for p in found]


def _filled_ones(texts: list[Text], scores: list[float] | None = None) -> tuple[list[Text], list[float] | None]:
    """The texts that are not empty, and the scores without those of empty ones.

    Args:
        texts: The negatives of a row, as they are given.
        scores: Of its positive and then of each negative; any other number of them says of no text which one is its own,
            and none is returned.
    """
    kept = [i for i, text in enumerate(texts) if filled(text.text)]
    fits = scores is not None and len(scores) == 1 + len(texts)
    return [texts[i] for i in kept], [scores[i] for i in (0, *(k + 1 for k in kept))] if scores and fits else None
