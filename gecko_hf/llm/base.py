"""Two protocols: what a language model can be asked, and what FRet asks of whoever writes and judges.

A `LanguageModel` is text in, text or log-probabilities out: an endpoint, or a model in this process. `capabilities` lists what
it was found to do (`probe.py`); a recipe that needs more is refused before any work. An `Annotator` works on passages: it writes
(task, query) for one, and scores queries against them. `unigram` is an annotator by itself; every language model becomes one
through FRet's prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Protocol, Self

# RC labels, worst first (graded relevance after Zhuang et al. 2023, "RG-3L"; the paper does not name its labels).
RELEVANCE_LABELS = ("Not Relevant", "Somewhat Relevant", "Highly Relevant")

Span = tuple[int, int]  # character offsets into a text, end exclusive
Told = Callable[[int], None]  # is told how many of the prompts have been answered, now and then


class Capability(StrEnum):
    """What a backend can do."""

    GENERATE = "generate"
    LOG_LIKELIHOOD = "log-likelihood"
    LABELS = "label log-likelihoods"


WRITING = frozenset({Capability.GENERATE})
JUDGING = frozenset({Capability.LOG_LIKELIHOOD, Capability.LABELS})


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a completion is drawn. `temperature` 0 is greedy; `stop` strings are not part of the text that comes back."""

    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 128
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """A generated text, why it ended (`stop`, `length`), and the tokens that were read and written."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class SpanScore:
    """Log-probability, in nats, of each token of one span given everything before it."""

    logprobs: tuple[float, ...]

    @property
    def total(self) -> float:
        """Log-likelihood of the span."""
        return sum(self.logprobs)

    @property
    def mean(self) -> float:
        """Log-likelihood a token."""
        return self.total / len(self.logprobs)


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of a text's spans, and how many tokens were read for them."""

    spans: tuple[SpanScore, ...]
    prompt_tokens: int


class LanguageModel(Protocol):
    """A causal language model, used inside `async with`, which holds its connections for that time.

    Every method may be awaited many times at once; the model bounds what is in flight.
    """

    @property
    def id(self) -> str:
        """The model, as a person would name it."""

    @property
    def revision(self) -> str:
        """Its version: a commit, or a hash of its weights."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do."""

    async def __aenter__(self) -> Self:
        """Open what is needed to ask."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""

    async def generate(self, prompt: str, sampling: Sampling) -> Completion:
        """Continue a prompt."""

    async def score(self, text: str, spans: Sequence[Span]) -> Scores:
        """Log-probabilities of spans of a text in one pass.

        `log p(continuation | prefix)` is `score(prefix + continuation, [(len(prefix), len(prefix + continuation))])`; more spans
        give several likelihoods for one prefill. A span must begin and end on token boundaries, else it is refused.
        """


@dataclass(frozen=True, slots=True)
class PassagePrompt:
    """A passage to ask about. `key` seeds sampling; `task` steers P_QG; `query` is set for P_QL and P_RC."""

    key: str
    title: str
    text: str
    task: str | None = None
    query: str | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judge's scores of one candidate: QL in nats a token, and the log-likelihood of each relevance label, worst first."""

    ql: float
    grades: tuple[float, ...]


class Annotator(Protocol):
    """Who writes FRet's queries and judges its candidates."""

    @property
    def id(self) -> str:
        """The model, as a person would name it."""

    @property
    def revision(self) -> str:
        """Its version: a commit, or a hash of its weights."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do."""

    @property
    def settings(self) -> dict[str, Any]:
        """Sampling and scoring settings, for the provenance of what it wrote."""

    def generate(self, prompts: Sequence[PassagePrompt], *, told: Told | None = None) -> list[str]:
        """P_QG: for each passage a reply of the form `Task: ...` and `Query: ...` on two lines."""

    def judge(
        self,
        prompts: Sequence[PassagePrompt],
        labels: Sequence[str],
        *,
        one_pass: bool = False,
        told: Told | None = None,
    ) -> list[Judgement]:
        """P_QL and P_RC: the scores of each (query, passage).

        Args:
            prompts: Passages, each with its query.
            labels: Relevance labels, worst first.
            one_pass: Whether both are read from one prompt.
            told: Is told how far this is.

        Raises:
            LLMError: If this judge has no such prompt.
            ValueError: If a prompt has no query.
        """
