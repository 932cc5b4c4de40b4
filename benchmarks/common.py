"""What the benchmarks share: turns (A B A B ...), clocks, medians, ratios with their spread, and a line in results.jsonl."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results.jsonl"
LIBRARIES = ("gecko-hf", "sentence-transformers", "transformers", "torch", "datasets", "mteb", "faiss-cpu", "numpy")


class Clock:
    """Seconds that passed, and that this process's processor worked, while it ran."""

    seconds: float = 0.0
    processor: float | None = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let it run for a block."""
        start, used = time.perf_counter(), time.process_time()
        yield
        self.seconds, self.processor = time.perf_counter() - start, time.process_time() - used


def in_turns(work: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each piece of work in every round, one after the other, after a round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for round_ in range(rounds + 1):
        for name, do in work.items():
            start = time.perf_counter()
            do()
            if round_:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def each_alone(file: str, names: Iterable[str], options: Sequence[str], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """What `file OPTIONS --child NAME` prints last, for each name in turns, in processes of their own (peak memory is theirs)."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, rows in found.items():
            command = [sys.executable, file, *options, "--child", name]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
    return found


def ratio(a: list[float], b: list[float]) -> tuple[float, float, float]:
    """The median of a / b over the rounds, with the least and the most."""
    found = [x / y for x, y in zip(a, b, strict=True)]
    return statistics.median(found), min(found), max(found)


def record(benchmark: str, *, peers: Iterable[str] = (), **values: Any) -> None:
    """Append a measurement to results.jsonl, with commit, versions (those of `peers` too), machine and day."""
    row = {
        "benchmark": benchmark,
        **values,
        "day": time.strftime("%Y-%m-%d"),
        "commit": _commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in (*LIBRARIES, *peers)},
    }
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _commit() -> str | None:
    """The commit that is measured, marked where files of the package or the benchmarks differ from it."""
    git = ["git", "-C", str(RESULTS.parents[1])]
    at = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--", "gecko_hf", "benchmarks/*.py"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{at.stdout.strip()}{'-changed' if changed.stdout.strip() else ''}" if at.returncode == 0 else None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def say(text: str, end: str = "\n") -> None:
    """Print at once."""
    sys.stdout.write(text + end)
    sys.stdout.flush()
