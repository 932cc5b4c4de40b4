"""How long until something happens: `python benchmarks/startup.py` times the commands' own overhead, each in a new process."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

from common import in_turns, record, say

COMMANDS = {
    "gecko-hf --help": ["-m", "gecko_hf", "--help"],
    "gecko-hf run --help": ["-m", "gecko_hf", "run", "--help"],
    "a mistake in a recipe": ["-m", "gecko_hf", "run", "recipes/quickstart", "fret.row=3"],
    "import gecko_hf": ["-c", "import gecko_hf"],
    "import sentence_transformers": ["-c", "import sentence_transformers"],
}


def main() -> None:
    """Measure and print a row for each command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    work = {
        name: lambda c=command: subprocess.run([sys.executable, *c], capture_output=True, check=False)
        for name, command in COMMANDS.items()
    }
    times = in_turns(work, options.rounds)
    say("| command | seconds | least | most |\n|---|---:|---:|---:|")
    for name, found in times.items():
        say(f"| {name} | {statistics.median(found):.2f} | {min(found):.2f} | {max(found):.2f} |")
        record("startup", command=name, seconds=round(statistics.median(found), 3))


if __name__ == "__main__":
    main()
