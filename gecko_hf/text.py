"""Words and sentences: the little text handling that several stages share."""

from __future__ import annotations

import re

import xxhash

_PARAGRAPH = re.compile(r"\n\s*\n")
_SENTENCE_END = re.compile(r"""(?:(?<=[.!?。！？])|(?<=[.!?]["')\]]))\s+(?=[^\sa-z])""")
_SIGNATURE = re.compile(r"^[\w.]+\(.*\)?(\s*->.*)?$")
_WORD = re.compile(r"[^\W_]+")

# The words that say least in English prose, for choosing content words; other languages simply have none removed.
STOP_WORDS = frozenset(
    "a about after all also an and any are as at be been but by can could did do does each else for from had has have "
    "how i if in into is it its may more most no not of on one only or other our over same should so some such than that "
    "the their them then there these they this to under up use used using was we were what when where which while who "
    "why will with would you your".split()
)


def words(text: str) -> list[str]:
    """Lower-cased runs of letters and digits; identifiers fall apart at underscores and dots."""
    return [w.lower() for w in _WORD.findall(text)]


def paragraphs(text: str) -> list[str]:
    """Blocks of text between empty lines."""
    return [p.strip() for p in _PARAGRAPH.split(text) if p.strip()]


def sentences(text: str) -> list[str]:
    """Sentences in order, white space folded; a paragraph always ends one, whether or not it ends in a full stop."""
    return [s.strip() for p in paragraphs(text) for s in _SENTENCE_END.split(" ".join(p.split())) if s.strip()]


def is_prose(sentence: str) -> bool:
    """Whether a sentence has at least four words and reads like language rather than like code or a table."""
    tokens = sentence.split()
    plain = sum(t.strip(".,;:!?()\"'`*").isalpha() for t in tokens)
    return len(tokens) >= 4 and plain >= 0.6 * len(tokens) and not _SIGNATURE.match(sentence)


def lead(text: str) -> str:
    """The first sentence of prose: what a passage begins by saying. Empty where there is none."""
    return next((s for s in sentences(text) if is_prose(s)), "")


def without(text: str, sentence: str) -> str:
    """The text, white space folded, with the first occurrence of a sentence cut out."""
    flat = " ".join(text.split())
    return " ".join(flat.replace(sentence, " ", 1).split())


def hash64(text: str) -> int:
    """A 64-bit hash of a text."""
    return xxhash.xxh3_64_intdigest(text.encode())
