"""Whether a file is still what it was: told by what is in it, so that a copy of the data does not begin a run anew."""

from __future__ import annotations

import hashlib
from pathlib import Path

READ = 2**28  # ours: bytes; to read more than these 256 MiB of each file before every run would take too long


def file_state(file: Path) -> list[int | str]:
    """Size and a hash of the bytes; of a file larger than `READ`, size and the time of its last change in nanoseconds."""
    found = file.stat()
    if found.st_size > READ:
        return [found.st_size, found.st_mtime_ns]
    with file.open("rb") as stream:
        return [found.st_size, f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"]
