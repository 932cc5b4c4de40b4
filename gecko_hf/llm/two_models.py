"""One model writes and another judges: for a server that gives no log-probabilities of prompts, and for a cheaper judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gecko_hf.llm.base import Annotator, Capability, Judgement, PassagePrompt, Told


class WriterAndJudge:
    """An annotator made of two; the paper has one model do both.

    Args:
        writer: Who writes tasks and queries.
        judge: Who scores the candidates.
    """

    def __init__(self, writer: Annotator, judge: Annotator) -> None:
        self.writer = writer
        self.judging = judge

    @property
    def id(self) -> str:
        """Both models, and what each does."""
        return f"{self.writer.id} (queries), {self.judging.id} (scores)"

    @property
    def revision(self) -> str:
        """Both revisions, in the same order."""
        return f"{self.writer.revision} (queries), {self.judging.revision} (scores)"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the two can do together."""
        return self.writer.capabilities | self.judging.capabilities

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of each."""
        return {"queries": self.writer.settings, "scores": self.judging.settings}

    def generate(self, prompts: Sequence[PassagePrompt], *, told: Told | None = None) -> list[str]:
        """P_QG, by the writer."""
        return self.writer.generate(prompts, told=told)

    def judge(
        self,
        prompts: Sequence[PassagePrompt],
        labels: Sequence[str],
        *,
        one_pass: bool = False,
        told: Told | None = None,
    ) -> list[Judgement]:
        """P_QL and P_RC, by the judge.

        Raises:
            LLMError: If `one_pass` is asked of a judge without such a prompt.
        """
        return self.judging.judge(prompts, labels, one_pass=one_pass, told=told)
