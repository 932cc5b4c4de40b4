"""`gecko-hf doctor`: does a model give the same vector on every route that people take to it?

Routes: plain sentence-transformers with the prompt's name, the prefix written by hand in front of the text, and mteb's own
wrapper. They differ when prompts are lost, when pooling leaves the prompt's tokens out, or when a key is missing.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import datasets
import numpy as np
from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper
from mteb.types import PromptType
from torch.utils.data import DataLoader

from gecko_hf.evaluation.prompt_report import PromptRow, any_task, prompt_warnings
from gecko_hf.evaluation.quiet import quiet
from gecko_hf.model.vectors import Vectors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

TEXTS = ("Where is the harbour?", "The anchor of a ship holds it against wind and current while the crew is ashore.")
TOLERANCE = 1e-5  # between routes that must be equal; float32 batches of another shape differ in the seventh digit


@dataclass(frozen=True)
class Parity:
    """The largest difference between routes for one side of one task type.

    Attributes:
        row: The prompt that was resolved for it.
        by_hand: Prompt by name against the prefix in front of the text.
        mteb: The resolved prefix against mteb's wrapper.
    """

    row: PromptRow
    by_hand: float
    mteb: float

    @property
    def equal(self) -> bool:
        """Whether all routes agree."""
        return max(self.by_hand, self.mteb) <= TOLERANCE


def check_parity(model: SentenceTransformer, rows: Sequence[PromptRow], texts: Sequence[str] = TEXTS) -> list[Parity]:
    """Encode a few texts on all three routes for every row of a prompt report.

    Args:
        model: The model.
        rows: What `type_rows` or `task_rows` returned.
        texts: What to encode.
    """
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mteb warns of its own deprecated arguments
        wrapper = SentenceTransformerEncoderWrapper(model)
        return [_check(model, wrapper, row, list(texts)) for row in rows]


def _check(
    model: SentenceTransformer, wrapper: SentenceTransformerEncoderWrapper, row: PromptRow, texts: list[str]
) -> Parity:
    plain = _encode(model, texts, row.name)
    by_hand = model.encode([row.prefix + text for text in texts], prompt="", show_progress_bar=False)
    side = None if row.side == "both" else PromptType(row.side)
    task = any_task(row.type).model_copy(update={"name": row.task if row.task != row.type else ""})
    through_mteb = wrapper.encode(
        DataLoader(datasets.Dataset.from_dict({"text": texts}), batch_size=len(texts)),
        task_metadata=task,
        hf_split="test",
        hf_subset="default",
        prompt_type=side,
        show_progress_bar=False,
    )
    return Parity(row, _distance(plain, by_hand), _distance(plain, np.asarray(through_mteb)))


def _encode(model: SentenceTransformer, texts: list[str], name: str | None) -> Vectors:
    """By the prompt's name; no name is no prompt, whatever the model's default is."""
    if name is None:
        return np.asarray(model.encode(texts, prompt="", show_progress_bar=False))
    return np.asarray(model.encode(texts, prompt_name=name, show_progress_bar=False))


def _distance(a: Vectors, b: Vectors) -> float:
    return float(np.abs(np.asarray(a, dtype=np.float32) - np.asarray(b, dtype=np.float32)).max())


def findings(model: SentenceTransformer, checks: Sequence[Parity]) -> list[str]:
    """Everything that a person should mend before publishing scores of this model."""
    found = prompt_warnings(model, [check.row for check in checks])
    for check in checks:
        if check.by_hand > TOLERANCE:
            found.append(
                f"{check.row.task} ({check.row.side}): the prefix written by hand gives other vectors than the prompt's name "
                f"(largest difference {check.by_hand:.1e}). Pooling leaves the prompt's tokens out (include_prompt)."
            )
        if check.mteb > TOLERANCE:
            found.append(
                f"{check.row.task} ({check.row.side}): mteb's wrapper gives other vectors than {check.row.prefix!r} "
                f"(largest difference {check.mteb:.1e})."
            )
    return found
