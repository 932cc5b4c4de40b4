"""Before any work: does an endpoint give log-probabilities, of the right tokens, and the same ones alone and under load?

Servers exist that give none, that give those of other tokens, and that give wrong ones when several requests run at once
(TGI issue 2502). A run that labels with such numbers ends in noise, so it ends here instead, and shows them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gecko_hf.errors import LLMError
from gecko_hf.llm.base import LanguageModel, Sampling, SpanScore

if TYPE_CHECKING:
    from gecko_hf.llm.endpoints.model import EndpointModel

# Passage and query; some of their characters are two, three or four bytes and several tokens.
PROBES = (
    ("The ferry to the island leaves at nine and takes forty minutes.", "when does the island ferry leave"),
    ("Zürich liegt am Ausfluss des gleichnamigen Sees, 408 m ü. M.", "Zürich über dem Meer: wie hoch?"),
    ("東京の寿司は魚が新鮮で、朝の市場で買えます。", "東京で新鮮な寿司 🍣"),
    ("A list is sorted in place by its method sort().", "sort a list without a copy"),
    ("Здравствуйте! Музей закрыт по понедельникам.", "когда музей закрыт?"),
    ("Prices rose by 3.5 % — more than forecast — to €1,249.", "inflation “higher than expected”"),
)
LABEL = " again"
EXACT = 1e-3  # ours: nats; sums of the same numbers in another order


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a probe measured: tokens compared, and the largest differences in nats a token."""

    tokens: int
    concurrent: int
    under_load: float
    to_reference: float | None


async def probe_writing(model: LanguageModel) -> None:
    """Ask for a completion.

    Raises:
        LLMError: If none comes back.
    """
    await model.generate("The ferry leaves at", Sampling(temperature=0.0, max_tokens=8))


async def calibrate(
    model: EndpointModel, *, concurrency: int, tolerance: float, reference: LanguageModel | None = None
) -> Calibration:
    """Ask for the scores of known texts alone, then all at once, and compare.

    Args:
        model: The language model, opened.
        concurrency: Requests at once under load, no more than the model's own.
        tolerance: Largest difference, in nats a token, that a span's mean may show.
        reference: The same model in this process, opened, to compare with.

    Raises:
        LLMError: If anything disagrees; with the numbers.
    """
    alone = [await _score(model, i) for i in range(len(PROBES))]
    for i, score in enumerate(alone):
        _check_parts(model, PROBES[i][1], await _parts(model, i), score)
    crowd = [i % len(PROBES) for i in range(max(concurrency, 2 * len(PROBES)))]
    with model.transport.at_full_concurrency():  # else the limit, which starts low, gets there too late
        loaded = await asyncio.gather(*(_score(model, i) for i in crowd))
    under_load = _agree(
        [(PROBES[i][1], alone[i], score) for i, score in zip(crowd, loaded, strict=True)],
        tolerance,
        f"{model.id} gives other log-probabilities when {concurrency} requests are sent at once than for one alone",
        ("alone", "at once"),
        "Such numbers would label with noise. Lower llm.concurrency, take another version of the server, or, if the "
        "difference is that of its number format (bfloat16), raise llm.tolerance.",
    )
    to_reference = None
    if reference is not None:
        to_reference = _agree(
            [(PROBES[i][1], await _score(reference, i), score) for i, score in enumerate(alone)],
            tolerance,
            f"{model.id} and llm.reference {reference.id} give different log-probabilities",
            ("reference", "server"),
            "Look whether both are the same model and revision, and whether the server quantises it; else raise llm.tolerance.",
        )
    return Calibration(sum(len(s.logprobs) for s in alone), concurrency, under_load, to_reference)


def _texts(i: int) -> tuple[str, str]:
    passage, query = PROBES[i]
    return f"Passage: {passage}\nQuery:", f" {query}"


async def _score(model: LanguageModel, i: int) -> SpanScore:
    prefix, query = _texts(i)
    return (await model.score(prefix + query, [(len(prefix), len(prefix + query))])).spans[0]


async def _parts(model: LanguageModel, i: int) -> tuple[SpanScore, ...]:
    """The query alone, and the query and a word after it, as three spans of one longer text."""
    prefix, query = _texts(i)
    start, middle = len(prefix), len(prefix + query)
    text = prefix + query + LABEL
    return (await model.score(text, [(start, middle), (middle, len(text)), (start, len(text))])).spans


def _check_parts(model: LanguageModel, query: str, parts: Sequence[SpanScore], score: SpanScore) -> None:
    """Boundaries are exact: a query keeps its tokens whatever follows, and two neighbouring spans make up both."""
    first, second, both = parts
    if len(first.logprobs) != len(score.logprobs) or abs(first.total + second.total - both.total) > EXACT:
        raise LLMError(
            f"{model.id} does not keep token boundaries: the query {query!r} has {len(score.logprobs)} tokens alone "
            f"and {len(first.logprobs)} before {LABEL!r}; its log-likelihood {first.total:.4f} and that of the rest "
            f"{second.total:.4f} make {first.total + second.total:.4f}, both together {both.total:.4f}. "
            "Name the served model's tokenizer: llm.tokenizer=FOLDER_OR_HUB_ID"
        )


def _agree(
    rows: Sequence[tuple[str, SpanScore, SpanScore]], tolerance: float, what: str, names: tuple[str, str], advice: str
) -> float:
    """The largest difference of two scores' means.

    Raises:
        LLMError: If one is above the tolerance; the worst texts are shown.
    """
    found = sorted(((abs(a.mean - b.mean), text, a, b) for text, a, b in rows), key=lambda row: -row[0])
    if found[0][0] > tolerance:
        table = "; ".join(
            f"{text!r} {names[0]} {a.mean:.4f}, {names[1]} {b.mean:.4f}, difference {gap:.4f}"
            for gap, text, a, b in found[:3]
        )
        raise LLMError(f"{what}: {table} nats a token (llm.tolerance {tolerance:g}). {advice}")
    return found[0][0]
