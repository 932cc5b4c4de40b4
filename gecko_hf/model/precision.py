"""What an encoder computes in: bfloat16 by autocast where the processor has it, over weights that stay float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]


def precision_of(choice: Literal["auto", "float32", "bfloat16"]) -> Precision:
    """`auto` takes bfloat16 where the processor computes in it, float32 elsewhere; other choices stand."""
    if choice != "auto":
        return choice
    if torch.cuda.is_available():
        # Older GPUs (T4, V100) emulate it, slower than float32.
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if torch.cpu._is_avx512_bf16_supported() else "float32"


def computing_in(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Autocast to bfloat16 on a device, or nothing at all for `float32`."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()
