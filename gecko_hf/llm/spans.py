"""Where the tokens of a span begin and end, exactly or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gecko_hf.errors import BoundaryError, LLMError
from gecko_hf.llm.base import LanguageModel, Scores, Span


def boundaries(text: str, spans: Sequence[Span]) -> list[int]:
    """The character positions inside a text at which its tokens must split for these spans, in order.

    Raises:
        LLMError: If a span is empty, reversed, or outside the text.
    """
    for start, end in spans:
        if not 0 <= start < end <= len(text):
            raise LLMError(f"The span ({start}, {end}) is not a part of a text of {len(text)} characters.")
    return sorted({at for span in spans for at in span if 0 < at < len(text)})


def check_prefix(ids: Sequence[int], prefix: Sequence[int], text: str, at: int) -> int:
    """The number of tokens before a position: its prefix's own tokens, if the whole text starts with them.

    Offsets of a tokenizer cannot answer this: many trim the space that a token begins with, and one character may be
    several tokens.

    Args:
        ids: Tokens of the whole text.
        prefix: Tokens of `text[:at]`, taken alone.
        text: The text.
        at: The position.

    Raises:
        BoundaryError: If a token reaches over the position.
    """
    if list(ids[: len(prefix)]) != list(prefix):
        raise BoundaryError(
            f"A token reaches over the position between {text[max(0, at - 12) : at]!r} and {text[at : at + 12]!r}: the "
            "tokens of the prefix are not the first tokens of the whole. End the prefix on a word or sign and begin the "
            "continuation with a space."
        )
    return len(prefix)


async def score_all(model: LanguageModel, texts: Sequence[str], spans: Sequence[Sequence[Span]]) -> list[Scores]:
    """Score texts side by side. Where one fails the others end first, so that no answer that is paid for is lost."""
    asked = (model.score(text, own) for text, own in zip(texts, spans, strict=True))
    scored = await asyncio.gather(*asked, return_exceptions=True)
    for found in scored:
        if isinstance(found, BaseException):
            raise found
    return [found for found in scored if isinstance(found, Scores)]
