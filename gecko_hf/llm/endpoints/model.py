"""What all endpoint backends share: sessions, exact spans, and the retry of answers that do not add up."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from gecko_hf.errors import LLMError
from gecko_hf.llm.base import Capability, Completion, Sampling, Scores, Span, SpanScore
from gecko_hf.llm.endpoints.http import Connections, verdict
from gecko_hf.llm.endpoints.secret import Secret
from gecko_hf.llm.endpoints.tokens import Tokens, load_tokenizer
from gecko_hf.llm.endpoints.transport import Failure, Transport
from gecko_hf.llm.endpoints.turns import Turns
from gecko_hf.llm.spans import boundaries, check_prefix

READY = 2  # ours: texts whose tokens are counted or whose answers are awaited, in multiples of the requests that may be in flight


class EndpointModel(ABC):
    """A language model behind one or several equal endpoints.

    Args:
        urls: Base URLs.
        model: The model's name: what the server calls it, and what provenance says; None where `identify` finds it.
        revision: Its version, for provenance.
        secret: The API key.
        concurrency: Most requests in flight at one endpoint.
        timeout: Seconds that one request may take.
        give_up: Seconds without any success after which the run ends.
        tokenizer: Folder or Hub id of the model's tokenizer; without it the server is asked for the tokens of each text.
    """

    capabilities: frozenset[Capability] = frozenset()  # set by whoever has probed it

    def __init__(
        self,
        urls: Sequence[str],
        *,
        model: str | None,
        revision: str | None = None,
        secret: Secret | None = None,
        concurrency: int = 64,
        timeout: float = 120.0,
        give_up: float = 300.0,
        tokenizer: str | None = None,
    ) -> None:
        self.id = model or "unknown"
        self.revision = revision or "unknown"
        self.secret = secret or Secret(None)
        self.concurrency = concurrency
        self.timeout = timeout
        self.transport = Transport([u.rstrip("/") for u in urls], concurrency=concurrency, give_up=give_up)
        self._turns = Turns(lambda: READY * self.transport.limit)
        self.tokens = Tokens(load_tokenizer(tokenizer) if tokenizer else None, self._ask_tokens)
        self._connections: Connections | None = None

    @property
    def connections(self) -> Connections:
        """The session's connections."""
        if self._connections is None:
            raise RuntimeError("A language model is used inside `async with`.")
        return self._connections

    async def __aenter__(self) -> Self:
        self._connections = Connections(self.secret, self.timeout)
        self.transport.start_session()
        self._turns.start_session()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.tokens.end_session()
        await self.connections.close()
        self._connections = None

    async def identify(self) -> None:
        """Take the model's id and revision from the server, where it tells them and nobody else did.

        Raises:
            LLMError: If there is no name.
        """
        if self.id == "unknown":
            raise LLMError("This server does not tell what it serves. Name the model: llm.model=NAME")

    async def generate(self, prompt: str, sampling: Sampling) -> Completion:
        """Continue a prompt."""
        return await self.transport.call(lambda url: self._checked(url, self._generate(url, prompt, sampling)))

    async def score(self, text: str, spans: Sequence[Span]) -> Scores:
        """Log-probabilities of spans of a text in one pass.

        Raises:
            BoundaryError: If a span does not begin and end on token boundaries.
            LLMError: If the server gives no log-probabilities of prompts.
        """
        async with self._turns.turn():
            return await self._score(text, spans)

    async def _score(self, text: str, spans: Sequence[Span]) -> Scores:
        """`score`, in one's turn."""
        positions = boundaries(text, spans)
        ids = await self.tokens.of(text)
        at = {0: 0, len(text): len(ids)}
        for position in positions:
            at[position] = check_prefix(ids, await self.tokens.of_prefix(text[:position]), text, position)
        ranges = [(at[start], at[end]) for start, end in spans]
        logprobs = await self.transport.call(lambda url: self._checked(url, self._prompt_logprobs(url, text, ids)))
        rows = [logprobs[first:last] for first, last in ranges]
        if any(value is None for row in rows for value in row):
            raise LLMError("A span begins where nothing comes before it, so its first token has no probability.")
        return Scores(tuple(SpanScore(tuple(v for v in row if v is not None)) for row in rows), len(ids))

    @abstractmethod
    async def _generate(self, url: str, prompt: str, sampling: Sampling) -> Completion:
        """One completion from one endpoint."""

    @abstractmethod
    async def _prompt_logprobs(self, url: str, text: str, ids: list[int]) -> list[float | None]:
        """Log-probability of each of a text's tokens, the first None; `Failure` where their number is not that of `ids`."""

    @abstractmethod
    async def _tokenize(self, url: str, text: str) -> list[int]:
        """Tokens of a text as the server reads it, special tokens in front included."""

    async def _ask_tokens(self, text: str) -> list[int]:
        answer: list[int] = await self.transport.call(lambda url: self._checked(url, self._tokenize(url, text)))
        return answer

    async def _post(self, url: str, body: dict[str, Any]) -> Any:
        return await self.connections.json("POST", url, body)

    async def _checked(self, url: str, request: Any) -> Any:
        try:
            return await request
        except Exception as error:
            raise verdict(error, url, self.secret) from None


def no_logprobs(url: str, how: str) -> LLMError:
    """The refusal of a server that can write but not judge.

    Args:
        url: The server.
        how: What to switch on.
    """
    return LLMError(
        f"{url} gives no log-probabilities of prompts. {how} Or let it write only and name another model that judges: "
        "judge.backend=local judge.model=FOLDER_OR_HUB_ID"
    )


def whole(logprobs: Sequence[float | None], ids: Sequence[int]) -> list[float | None]:
    """Log-probabilities of a text's tokens, if there is one for each and none is impossible.

    Raises:
        Failure: If their number or their values do not add up.
    """
    if len(logprobs) != len(ids):
        raise Failure(
            f"log-probabilities of {len(logprobs)} tokens for a text of {len(ids)}; is llm.tokenizer the served model's?"
        )
    given = [float(v) for v in logprobs if v is not None]
    hidden = len(logprobs) - len(given)  # of the first token, which nothing comes before
    if (
        hidden > 1
        or (hidden and logprobs[0] is not None)
        or not all(map(math.isfinite, given))
        or max(given, default=0.0) > 1e-6
    ):
        raise Failure("log-probabilities that are missing, positive or not finite.")
    return [*[None] * hidden, *given]
