"""Parquet shards of a bounded size, the same bytes for the same rows."""

from __future__ import annotations

from pathlib import Path

SHARD_BYTES = 500_000_000  # as `datasets` cuts: small enough to send again, large enough to read in one go


def shards(config: str, folder: Path, work: Path, limit: int = SHARD_BYTES) -> dict[str, Path]:
    """The parquet files of one config under the names that they have on the Hub.

    Files that are small enough are taken as they lie; larger ones are cut by rows.

    Args:
        config: Name of the config, and its folder on the Hub.
        folder: Where its parquet files are.
        work: Where cut shards are written.
        limit: Bytes of a file above which it is cut.

    Returns:
        `config/train-00000-of-00002.parquet` -> file.
    """
    files = sorted((folder / config).glob("*.parquet"))
    if any(file.stat().st_size > limit for file in files):
        files = _cut(files, work / config, limit)
    return {f"{config}/train-{i:05d}-of-{len(files):05d}.parquet": file for i, file in enumerate(files)}


def _cut(files: list[Path], work: Path, limit: int) -> list[Path]:
    import datasets

    work.mkdir(parents=True, exist_ok=True)
    rows = datasets.Dataset.from_parquet([str(file) for file in files], cache_dir=str(work / "cache"))
    count = min(len(rows), sum(-(-file.stat().st_size // limit) for file in files))
    made = []
    for i in range(count):
        file = work / f"{i:05d}-of-{count:05d}.parquet"
        rows.shard(count, i, contiguous=True).to_parquet(file)
        made.append(file)
    return made
