"""Who else trains: what torchrun and accelerate tell each process, read without importing torch."""

from __future__ import annotations

import os


def processes() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def sharded() -> bool:
    """Whether FSDP spreads the weights over the processes."""
    return os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("1", "true")


def is_main() -> bool:
    """Whether this is the process that writes."""
    return os.environ.get("RANK", "0") == "0"
