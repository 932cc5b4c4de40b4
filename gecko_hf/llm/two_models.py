"""One model writes and another judges: for a server that gives no log-probabilities of prompts, and for a cheaper judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gecko_hf.errors import LLMError
from gecko_hf.llm.base import Annotator, Capability, OnePassJudge, PassagePrompt


class WriterAndJudge:
    """An annotator made of two; the paper has one model do both.

    Args:
        writer: Who writes tasks and queries.
        judge: Who scores the candidates.
    """

    def __init__(self, writer: Annotator, judge: Annotator) -> None:
        self.writer = writer
        self.judge = judge

    @property
    def id(self) -> str:
        """Both models, and what each does."""
        return f"{self.writer.id} (queries), {self.judge.id} (scores)"

    @property
    def revision(self) -> str:
        """Both revisions, in the same order."""
        return f"{self.writer.revision} (queries), {self.judge.revision} (scores)"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the two can do together."""
        return self.writer.capabilities | self.judge.capabilities

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of each."""
        return {"queries": self.writer.settings, "scores": self.judge.settings}

    def generate(self, prompts: Sequence[PassagePrompt]) -> list[str]:
        """P_QG, by the writer."""
        return self.writer.generate(prompts)

    def log_likelihood(self, prompts: Sequence[PassagePrompt], continuations: Sequence[str]) -> list[float]:
        """P_QL, by the judge."""
        return self.judge.log_likelihood(prompts, continuations)

    def label_log_likelihoods(self, prompts: Sequence[PassagePrompt], labels: Sequence[str]) -> list[list[float]]:
        """P_RC, by the judge; shape (prompts, labels)."""
        return self.judge.label_log_likelihoods(prompts, labels)

    def judge_in_one_pass(
        self, prompts: Sequence[PassagePrompt], labels: Sequence[str]
    ) -> list[tuple[float, list[float]]]:
        """QL and labels from one prompt, by the judge.

        Raises:
            LLMError: If the judge has no such prompt.
        """
        if not isinstance(self.judge, OnePassJudge):
            raise LLMError(f"{self.judge.id} has no prompt that QL and RC could share; leave fret.one_pass out.")
        return self.judge.judge_in_one_pass(prompts, labels)
