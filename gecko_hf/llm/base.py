"""The LLM protocol: the three things that FRet asks of a language model.

A backend writes a reply for a prompt, and gives log-likelihoods of given texts. What it cannot do it does not list in
`capabilities`, and a recipe that needs it is refused before any work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

# RC labels, worst first (graded relevance after Zhuang et al. 2023, "RG-3L"; the paper does not name its labels).
RELEVANCE_LABELS = ("Not Relevant", "Somewhat Relevant", "Highly Relevant")


class Capability(StrEnum):
    """What a backend can do."""

    GENERATE = "generate"
    LOG_LIKELIHOOD = "log-likelihood"
    LABELS = "label log-likelihoods"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A passage to ask about. `key` seeds sampling; `task` steers P_QG; `query` is set for P_RC."""

    key: str
    title: str
    text: str
    task: str | None = None
    query: str | None = None


class LLM(Protocol):
    """A language model as FRet sees it."""

    id: str
    revision: str
    capabilities: frozenset[Capability]

    @property
    def settings(self) -> dict[str, Any]:
        """Sampling and scoring settings, for the provenance of what it wrote."""

    def generate(self, prompts: Sequence[Prompt]) -> list[str]:
        """P_QG: for each passage a reply of the form `Task: ...` and `Query: ...` on two lines."""

    def log_likelihood(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[float]:
        """P_QL: mean log-likelihood, in nats a token, of each continuation (a query) given its passage."""

    def label_log_likelihoods(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[list[float]]:
        """P_RC: log-likelihood of each label for each (query, passage); shape (prompts, labels)."""
