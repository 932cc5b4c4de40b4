"""Where the steps of one build put their parts: a folder on this machine, or on any storage that fsspec knows."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import fsspec
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]


def json_lines(text: str) -> list[dict[str, Any]]:
    """The rows of a JSON Lines text."""
    # Not `splitlines`, which would also cut at U+2028 and its like: they stand in a row as they are.
    return [json.loads(line) for line in text.split("\n") if line]


@dataclass(frozen=True)
class WorkFolder:
    """Files that are written whole or not at all, so that one that is there is done.

    Attributes:
        url: A path, or a URL such as `hf://buckets/USER/NAME/run` or `s3://bucket/run`.
    """

    url: str

    def _open(self, name: str) -> tuple[fsspec.AbstractFileSystem, str]:
        fs, path = fsspec.url_to_fs(f"{self.url}/{name}")
        return fs, str(path)

    def exists(self, name: str) -> bool:
        """Whether a file is there."""
        fs, path = self._open(name)
        return bool(fs.exists(path))

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        fs, path = self._open(name)
        return bytes(fs.cat_file(path))

    def write(self, name: str, data: bytes) -> None:
        """Write a file; whoever looks sees all of it or nothing."""
        fs, path = self._open(name)
        fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        if "file" not in fs.protocol:
            fs.pipe_file(path, data)  # object stores put a file at once
            return
        partial = f"{path}.{os.getpid()}.partial"  # another process may be writing the same bytes
        fs.pipe_file(partial, data)
        os.replace(partial, path)  # noqa: PTH105  (fsspec gives paths as text)

    def read_lines(self, name: str) -> list[dict[str, Any]]:
        """The rows of a JSON Lines file."""
        return json_lines(self.read(name).decode())

    def write_lines(self, name: str, rows: Iterable[dict[str, Any]]) -> None:
        """Write a JSON Lines file."""
        self.write(name, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode())

    def read_table(self, name: str) -> pa.Table:
        """A parquet file."""
        return pq.read_table(io.BytesIO(self.read(name)))
