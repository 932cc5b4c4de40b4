"""The `prefinetune` and `finetune` blocks of a recipe."""

from __future__ import annotations

from dataclasses import dataclass, field

from gecko_hf.schema import number
from gecko_hf.training.options import LossOptions


@dataclass(frozen=True)
class StageRecipe:
    """One training stage."""

    rows: int = number(6000, low=0)
    epochs: int = number(1, low=1)
    batch_size: int = number(64, low=2)
    learning_rate: float = number(5e-5, low=0.0, high=1.0)
    temperature: float = number(0.05, low=1e-4, high=10.0)
    warmup_ratio: float = number(0.1, low=0.0, high=1.0)
    same_tower: bool = True
    mini_batch_size: int | None = None  # texts that are embedded at once (GradCache); None embeds a batch whole
    gather_across_devices: bool = True  # whether texts of other processes are negatives too
    loss: LossOptions = field(default_factory=LossOptions)


@dataclass(frozen=True)
class PrefinetuneRecipe(StageRecipe):
    """Pre-finetuning on (lead, body) pairs."""

    max_lead_words: int = number(64, low=4)  # passages that open with a longer sentence give no pair


@dataclass(frozen=True)
class FineTuneRecipe(StageRecipe):
    """Fine-tuning on FRet."""

    rows: int = number(1_000_000, low=1)
    cut_source: float = number(0.5, low=0.0, high=1.0)  # share of extractive queries whose sentence leaves the positive
    merge_base: float = number(0.0, low=0.0, high=1.0)  # share of the base's weights in the finished model (WiSE-FT)
