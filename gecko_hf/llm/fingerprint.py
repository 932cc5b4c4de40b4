"""A revision for a checkpoint that has none: a folder or a file on this machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

SAMPLE = 65_536  # bytes read at each end of a file; training changes all of a weight file


def weights_revision(path: Path) -> str:
    """A hash over name, size and both ends of a file, or of every file in a folder; `unknown` where there is none."""
    files = [path] if path.is_file() else sorted(f for f in path.iterdir() if f.is_file()) if path.is_dir() else []
    if not files:
        return "unknown"
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name}\0{size}\0".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(SAMPLE))
            stream.seek(max(0, size - SAMPLE))
            digest.update(stream.read(SAMPLE))
    return f"sha256:{digest.hexdigest()[:16]}"
