"""What the encoder is trained on: rows of formatted text, one column a role.

Every row leaves here as the model reads it (`prompts.py`), in the columns anchor, positive and, where there is one,
negative. Nothing else may stand in a training set: sentence-transformers would train on it as one more negative.
"""

from __future__ import annotations

import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np

from gecko_hf.corpus.passages import Passage
from gecko_hf.prompts import SEARCH_RESULT, format_document, format_query, title_and_text
from gecko_hf.text import hash64, lead, sentences, without, word_count, words

if TYPE_CHECKING:
    from gecko_hf.fret.decontaminate import TestSets

MIN_BODY_WORDS = 5


def document_writer(title_in_text: float, seed: int) -> Callable[[str, str], str]:
    """Writes (text, title) as the model reads it, with the title in its place or, for a share, in the text.

    mteb, and everybody who has one string, hands title and text over together, behind `title: none`. An encoder that was
    trained on titles in their place alone reads its yardstick in a form that it has not seen.

    Args:
        title_in_text: That share of the documents with a title.
        seed: Seeds the choice, which is one for all documents of a title: a document that stands in two rows is the same
            text in both, so that a batch does not take it for two.
    """

    def write(text: str, title: str = "") -> str:
        drawn = zlib.crc32(f"{seed} {title}".encode()) / 2**32
        return (
            format_document(title_and_text(title, text))
            if title and drawn < title_in_text
            else format_document(text, title)
        )

    return write


def lead_body_pairs(
    passages: Sequence[Passage],
    exclude: set[str],
    count: int,
    seed: int,
    max_lead_words: int = 64,
    title_in_text: float = 0.0,
    tests: TestSets | None = None,
    aside: Counter[str] | None = None,
) -> datasets.Dataset:
    """Pre-finetuning pairs: what a passage begins by saying, and the rest of it (the paper's title-body pairs, section 3.1).

    Args:
        passages: The corpus.
        exclude: Ids that are kept for the yardstick.
        count: How many pairs to draw, at most.
        seed: Seeds the draw.
        max_lead_words: Passages that open with a longer sentence give no pair (ours: queries are short, and one long
            opening pads a whole batch of them).
        title_in_text: See `document_writer`.
        tests: Test sets that neither side of a pair may overlap.
        aside: Counts what they left out, under the names of what it overlaps with.
    """
    write = document_writer(title_in_text, seed)
    order = list(range(len(passages)))
    random.Random(seed).shuffle(order)  # not security: seeded sampling
    pairs: list[tuple[str, str]] = []
    for row in order:
        if len(pairs) >= count:
            break
        passage = passages[row]
        opening = lead(passage.text)
        body = without(passage.text, opening) if opening else ""
        fits = word_count(opening.split()) <= max_lead_words and word_count(body.split()) >= MIN_BODY_WORDS
        if passage.id in exclude or not fits:
            continue
        if tests and (match := tests.match(opening) or tests.match(body)):
            if aside is not None:
                aside[f"test text: {match}"] += 1
            continue
        pairs.append((format_query(SEARCH_RESULT, opening), write(body, passage.title)))
    return datasets.Dataset.from_dict({"anchor": [a for a, _ in pairs], "positive": [p for _, p in pairs]})


def fret_rows(
    rows: Sequence[Mapping[str, Any]], cut_source: float, seed: int, title_in_text: float = 0.0
) -> datasets.Dataset:
    """FRet rows as training columns.

    A query that was taken word for word from a sentence of its positive teaches only that equal words match. From a share
    of these positives the sentence is cut out, as in the inverse cloze task (Lee et al. 2019), which kept it for 10 %. A
    positive of several rows stays whole: it must be one string in all of them, or a batch takes two of them for two texts.

    Args:
        rows: The `default` config of FRet.
        cut_source: The share of extractive queries whose sentence leaves the positive.
        seed: Seeds the choice of that share.
        title_in_text: See `document_writer`.
    """
    write = document_writer(title_in_text, seed)
    draw = random.Random(seed)  # not security: seeded sampling
    shared = repeated(row["positive"] for row in rows)
    columns: dict[str, list[str]] = {"anchor": [], "positive": []}
    if any(row["negative"] is not None for row in rows):
        columns["negative"] = []
    for row in rows:
        positive = row["positive"]
        if draw.random() < cut_source and hash64(positive) not in shared:
            positive = without_source(row["query"], positive)
        columns["anchor"].append(format_query(row["task"], row["query"]))
        columns["positive"].append(write(positive, row["positive_title"] or ""))
        if "negative" in columns:
            columns["negative"].append(write(row["negative"], row["negative_title"] or ""))
    return datasets.Dataset.from_dict(columns)


def repeated(texts: Iterable[str]) -> frozenset[int]:
    """The hashes of the texts that come more than once; 8 bytes a text are held at once."""
    hashes, counts = np.unique(np.fromiter(map(hash64, texts), dtype=np.uint64), return_counts=True)
    return frozenset(hashes[counts > 1].tolist())


def without_source(query: str, passage: str) -> str:
    """A passage without the sentence that holds every word of a query; unchanged where there is none or little else."""
    asked = set(words(query))
    source = next((s for s in sentences(passage) if asked <= set(words(s))), None)
    rest = without(passage, source) if source else passage
    return rest if word_count(rest.split()) >= MIN_BODY_WORDS else passage
