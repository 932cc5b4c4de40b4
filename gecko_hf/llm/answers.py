"""Every answer of a language model, kept once under the hash of what produced it.

A restart asks only for what is not there: at most what was in flight when the process ended is asked for twice. The store is
one SQLite file in write-ahead mode, so several processes share it and a kill leaves it whole.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gecko_hf.llm.base import Capability, Completion, LanguageModel, Sampling, Scores, Span, SpanScore
from gecko_hf.llm.spans import labels_by_score

BUSY_SECONDS = 60  # how long one process waits for another's write


@dataclass
class Usage:
    """What was asked of a model, and what was found in the store instead."""

    requests: int = 0
    reused: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Answers:
    """A store of JSON-able answers in one file.

    Args:
        file: The SQLite file; made where there is none.
    """

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.file = file
        self._db = sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        # WAL without a sync a write: what was written survives the process, not a power cut of the last moments.
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")

    def get(self, key: str) -> Any | None:
        """The answer under a key, or None."""
        row = self._db.execute("SELECT value FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, key: str, value: Any) -> None:
        """Keep an answer; the first one under a key stays, so that all readers see the same."""
        self._db.execute("INSERT OR IGNORE INTO answers VALUES (?, ?)", (key, json.dumps(value, ensure_ascii=False)))

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM answers").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class StoredModel:
    """A language model whose answers are kept and never asked for again.

    Args:
        model: The language model.
        answers: The store.
    """

    def __init__(self, model: LanguageModel, answers: Answers) -> None:
        self.model = model
        self.answers = answers
        self.usage = Usage()

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
        found = self._found(key)
        if found is None:
            done = await self.model.generate(prompt, sampling)
            self._count(done.prompt_tokens, done.completion_tokens)
            found = self._keep(key, asdict(done))
        return Completion(**found)

    async def score(self, text: str, spans: Sequence[Span]) -> Scores:
        """Log-probabilities of spans of a text, asked for or remembered."""
        key = self._key("score", text, [list(span) for span in spans])
        found = self._found(key)
        if found is None:
            scores = await self.model.score(text, spans)
            self._count(scores.prompt_tokens, 0)
            found = self._keep(key, {"spans": [s.logprobs for s in scores.spans], "tokens": scores.prompt_tokens})
        return Scores(tuple(SpanScore(tuple(row)) for row in found["spans"]), found["tokens"])

    async def label_log_likelihoods(self, prefix: str, labels: Sequence[str]) -> list[float]:
        """Log-likelihood of each label, each remembered as the score that it is."""
        return await labels_by_score(self, prefix, labels)

    def _key(self, kind: str, text: str, how: Any) -> str:
        asked = [kind, self.model.id, self.model.revision, text, how]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def _found(self, key: str) -> Any | None:
        found = self.answers.get(key)
        self.usage.reused += found is not None
        return found

    def _keep(self, key: str, value: Any) -> Any:
        self.answers.put(key, value)
        return value

    def _count(self, prompt_tokens: int, completion_tokens: int) -> None:
        self.usage.requests += 1
        self.usage.prompt_tokens += prompt_tokens
        self.usage.completion_tokens += completion_tokens
