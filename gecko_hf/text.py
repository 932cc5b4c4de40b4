"""Words and sentences: the little text handling that several stages share."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import xxhash

_PARAGRAPH = re.compile(r"\n\s*\n")
# Chinese and Japanese put no space behind the sign that ends a sentence, nor between words, nor Thai between these.
_SENTENCE_END = re.compile(
    r"""(?:(?<=[.!?。！？])|(?<=[.!?]["')\]]))\s+(?=[^\sa-z])|(?<=[。！？])(?=[^\s。！？」』）》】”’"')\]])"""
)
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]+")
_SPACE = re.compile(r"[\s\u3001-\u303f\uff01-\uff0f\uff1a-\uff20]+")  # and the signs that stand for one there
_JOINERS = "\u200c\u200d"  # inside of words of Persian and Hindi
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


def word_count(tokens: Iterable[str]) -> int:
    """How many words tokens stand for: two characters of a script without spaces count as one (ours)."""
    return sum((len(token) + 1) // 2 if _UNSPACED.search(token) else 1 for token in tokens)


def is_prose(sentence: str) -> bool:
    """Whether a sentence has at least four words and reads like language, of any script, rather than like code or a table."""
    tokens = [token for token in _SPACE.split(sentence) if token]
    plain = sum(_is_word(t.strip(".,;:!?()\"'`*।॥،؛؟")) for t in tokens)
    return word_count(tokens) >= 4 and plain >= 0.6 * len(tokens) and not _SIGNATURE.match(sentence)


def _is_word(token: str) -> bool:
    """Whether it has letters and their marks alone: vowel signs of Hindi, accents that stand beside their letter."""
    return bool(token) and all(c in _JOINERS or unicodedata.category(c)[0] in "LM" for c in token)


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
