"""Every answer of a language model, kept once under the hash of what produced it.

A restart asks only for what is not there: at most what was in flight when the process ended is asked for twice. The store is
one SQLite file in write-ahead mode, so several processes share it and a kill leaves it whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gecko_hf.errors import OutputError
from gecko_hf.llm.base import Capability, Completion, LanguageModel, Sampling, Scores, Span, SpanScore
from gecko_hf.llm.budget import Budget, BudgetRecipe, Usage

BUSY_SECONDS = 60  # how long one process waits for another's write


class Answers:
    """A store of JSON-able answers in one file.

    Args:
        file: The SQLite file; made where there is none.

    Raises:
        OutputError: If the file cannot be opened.
    """

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.file = file
        until = time.monotonic() + BUSY_SECONDS
        with self._told("opened"):
            self._db = sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            try:
                while not self._made():
                    if time.monotonic() > until:
                        raise sqlite3.OperationalError(f"it has been locked for {BUSY_SECONDS} seconds")
                    time.sleep(0.05)
            except sqlite3.Error:
                self._db.close()
                raise

    def _made(self) -> bool:
        """Make the tables where there are none; not done where another process is at it.

        The switch to write-ahead mode fails at once where another connection writes, whatever the time-out.
        """
        try:
            self._make()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            return False
        return True

    def _make(self) -> None:
        # WAL without a sync a write: what was written survives the process, not a power cut of the last moments.
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS usage (id INTEGER PRIMARY KEY CHECK (id = 1), requests INTEGER, "
            "prompt_tokens INTEGER, completion_tokens INTEGER)"
        )
        self._db.execute("INSERT OR IGNORE INTO usage VALUES (1, 0, 0, 0)")

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise OutputError(
                f"{self.file} cannot be {what}: {error}. Make room, or let no other process hold it; the same command goes on."
            ) from error

    def get(self, key: str) -> Any | None:
        """The answer under a key, or None.

        Raises:
            OutputError: If the file cannot be read.
        """
        with self._told("read"):
            row = self._db.execute("SELECT value FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, key: str, value: Any, *, prompt_tokens: int = 0, completion_tokens: int = 0) -> Any:
        """Keep an answer and what it cost.

        Returns:
            The answer that stands under the key: the first one stays, so that all readers see the same.

        Raises:
            OutputError: If the file cannot be written.
        """
        row = (key, json.dumps(value))  # in ASCII: a lone surrogate, which a model may write, is no text for SQLite
        with self._told("written"):
            try:
                self._db.execute("BEGIN IMMEDIATE")
                first = self._db.execute("INSERT OR IGNORE INTO answers VALUES (?, ?)", row).rowcount == 1
                self._db.execute(
                    "UPDATE usage SET requests = requests + 1, prompt_tokens = prompt_tokens + ?, "
                    "completion_tokens = completion_tokens + ?",
                    (prompt_tokens, completion_tokens),
                )
                self._db.execute("COMMIT")
            except sqlite3.Error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        return value if first else self.get(key)

    def spent(self) -> Usage:
        """What all answers cost, over every process and every start.

        Raises:
            OutputError: If the file cannot be read.
        """
        with self._told("read"):
            requests, prompt, completion = self._db.execute(
                "SELECT requests, prompt_tokens, completion_tokens FROM usage"
            ).fetchone()
        return Usage(requests, 0, prompt, completion)

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM answers").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class StoredModel:
    """A language model whose answers are kept and never asked for again, within a budget.

    Args:
        model: The language model.
        answers: The store.
        budget: Refuses a request that could pass a limit.
    """

    def __init__(self, model: LanguageModel, answers: Answers, budget: Budget | None = None) -> None:
        self.model = model
        self.answers = answers
        self.budget = budget or Budget(BudgetRecipe())
        self.usage = Usage()  # what this process paid for
        self.answered = Usage()  # all that it was told, from the store too
        self._in_flight = 0
        self._asked: dict[str, asyncio.Event] = {}

    @property
    def id(self) -> str:
        """The model's id."""
        return self.model.id

    @property
    def revision(self) -> str:
        """The model's revision."""
        return self.model.revision

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the model can do."""
        return self.model.capabilities

    async def __aenter__(self) -> Self:
        await self.model.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.model.__aexit__(kind, error, trace)

    async def generate(self, prompt: str, sampling: Sampling) -> Completion:
        """Continue a prompt, or say what it was continued with before."""
        key = self._key("generate", prompt, asdict(sampling))

        async def ask() -> tuple[Any, int, int]:
            done = await self.model.generate(prompt, sampling)
            return asdict(done), done.prompt_tokens, done.completion_tokens

        done = Completion(**await self._answer(key, ask))
        _add(self.answered, done.prompt_tokens, done.completion_tokens)
        return done

    async def score(self, text: str, spans: Sequence[Span]) -> Scores:
        """Log-probabilities of spans of a text, asked for or remembered."""
        key = self._key("score", text, [list(span) for span in spans])

        async def ask() -> tuple[Any, int, int]:
            scores = await self.model.score(text, spans)
            value = {"spans": [s.logprobs for s in scores.spans], "tokens": scores.prompt_tokens}
            return value, scores.prompt_tokens, 0

        found = await self._answer(key, ask)
        _add(self.answered, found["tokens"], 0)
        return Scores(tuple(SpanScore(tuple(row)) for row in found["spans"]), found["tokens"])

    def _key(self, kind: str, text: str, how: Any) -> str:
        asked = [kind, self.model.id, self.model.revision, text, how]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    async def _answer(self, key: str, ask: Callable[[], Awaitable[tuple[Any, int, int]]]) -> Any:
        """What the store holds under a key, or what `ask` returns: the answer, its prompt and its completion tokens."""
        while (before := self._before(key)) is not None:
            await before.wait()
        found = self.answers.get(key)
        if found is not None:
            self.usage.reused += 1
            return found
        self.budget.check(self.answers.spent(), self._in_flight)
        self._in_flight += 1
        self._asked[key] = asyncio.Event()
        try:
            value, prompt_tokens, completion_tokens = await ask()
            value = self.answers.put(key, value, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)
        finally:
            self._in_flight -= 1
            self._asked.pop(key).set()
        _add(self.usage, prompt_tokens, completion_tokens)
        return value

    def _before(self, key: str) -> asyncio.Event | None:
        """What a question waits for: the same one under way, which is asked again should it fail, or the first of all.

        The first answer tells what one costs; without it any number of requests would pass `max_cost`.
        """
        if key in self._asked:
            return self._asked[key]
        if self._asked and self.budget.recipe.max_cost is not None and not self.answers.spent().requests:
            return next(iter(self._asked.values()))
        return None


def _add(usage: Usage, prompt_tokens: int, completion_tokens: int) -> None:
    usage.requests += 1
    usage.prompt_tokens += prompt_tokens
    usage.completion_tokens += completion_tokens
