"""A revision for a checkpoint that has none: a folder on this machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

SAMPLE = 65_536  # bytes read at each end of a file; training changes all of a weight file


def weights_revision(folder: Path) -> str:
    """A hash over name, size and both ends of every file in a folder; `unknown` where there is no such folder."""
    if not folder.is_dir():
        return "unknown"
    digest = hashlib.sha256()
    for file in sorted(f for f in folder.iterdir() if f.is_file()):
        size = file.stat().st_size
        digest.update(f"{file.name}\0{size}\0".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(SAMPLE))
            stream.seek(max(0, size - SAMPLE))
            digest.update(stream.read(SAMPLE))
    return f"sha256:{digest.hexdigest()[:16]}"
