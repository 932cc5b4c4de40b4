"""How long a killed run takes to go on: `python benchmarks/resume.py` kills one at work and times the same command again.

The recipe is `domain`'s on passages that are made here, cut into small parts. Timed is from the start of the process to the
next part of FRet on disk, and to the next checkpoint of the fine-tuning, which is one batch of 8 and the writing of the weights.
Each time the process is killed there, and the next one goes on.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from common import record, say
from fret_growth import passages

PASSAGES, PART, EVERY = 400, 20, 0.005  # seeds of a part; seconds between two looks
STAGES = {
    "the next rows of FRet": "fret-work/*/labels/*.parquet",
    "the next batch of fine-tuning": "checkpoints/finetune-*/checkpoint-*/trainer_state.json",
}


def main() -> None:
    """Kill, time and print a row each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    say("| from the start of the process to | seconds | least | most |\n|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.jsonl"
        lines = (json.dumps({"id": p.id, "title": p.title, "text": p.text}) for p in passages(PASSAGES))
        text.write_text("\n".join(lines), encoding="utf-8")
        run = Path(folder) / "run"
        command = [
            *(sys.executable, "-m", "gecko_hf", "run", "recipes/domain", f"corpus.path={text}", f"output={run}"),
            *("prefinetune.rows=0", f"fret.part={PART}", "finetune.batch_size=8", "finetune.checkpoint_every=1"),
        ]
        for name, files in STAGES.items():
            went = goes_on(command, run, files)
            next(went)  # this one was not killed before it began
            found = [next(went) for _ in range(options.rounds)]
            say(f"| {name} | {statistics.median(found):.1f} | {min(found):.1f} | {max(found):.1f} |")
            record("resume", what=name, seconds=[round(seconds, 2) for seconds in found])


def goes_on(command: list[str], run: Path, files: str) -> Iterator[float]:
    """The seconds until there is one file more, and the process is killed; again and again."""
    while True:
        before = set(run.glob(files))
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            while not set(run.glob(files)) - before:
                if process.poll() is not None:
                    assert process.stderr
                    raise SystemExit(f"The run ended before it made another file: {process.stderr.read().decode()}")
                time.sleep(EVERY)
            seconds = time.perf_counter() - start
            process.send_signal(signal.SIGKILL)
        yield seconds


if __name__ == "__main__":
    main()
