"""docs/scaling.md and recipes/fret/README.md say what the `plan` commands say, to 1 %."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from gecko_hf.fret.plan import FRetPlan
from gecko_hf.llm.budget import MILLION
from gecko_hf.plan import plan_run
from gecko_hf.recipe import load_recipe

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "fret"
SCALING = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
README = (RECIPE / "README.md").read_text(encoding="utf-8")
SPEEDS = {"8B": (55_200, 3_450), "27B": (16_000, 1_000)}


def cells(page: str, *labels: str) -> list[str]:
    """The cells behind those that a table's row begins with."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]
    found = [row[len(labels) :] for row in rows if row[: len(labels)] == list(labels)]
    assert len(found) == 1, (labels, found)
    return found[0]


def number(cell: str) -> float:
    """`1,569`, `48.3 G`, `6.6 M`, `59.1 GB each` or `30`."""
    value, unit = re.match(r"([\d,.]+) ?([MG]?)", cell).groups()
    return float(value.replace(",", "")) * {"": 1.0, "M": 1e6, "G": 1e9}[unit]


def close(value: float):
    return pytest.approx(value, rel=0.01)


def fret_plan(tmp_path: Path, one_pass: bool, model: str = "8B") -> tuple[FRetPlan, str]:
    reads, writes = SPEEDS[model]
    overrides = [
        f"corpus.path={RECIPE / 'sample.jsonl'}", f"output={tmp_path / 'run'}", "llm.tokenizer=null", f"fret.one_pass={one_pass}",
        f"budget.prompt_tokens_per_second={reads}", f"budget.completion_tokens_per_second={writes}",
    ]  # fmt: skip
    screen = io.StringIO()
    recipe = load_recipe(RECIPE, overrides)
    console = Console(file=screen, width=200)
    return plan_run(recipe, console, rows=6_600_000, passages=100_000_000, redo=True), screen.getvalue()


@pytest.mark.parametrize("one_pass", [False, True])
def test_requests_and_tokens_of_fret_at_the_papers_size(tmp_path, one_pass):
    planned, _ = fret_plan(tmp_path, one_pass)
    total, shared = planned.total, sum(step.shared for step in planned.steps)
    row = cells(README, "all, `fret.one_pass=true`" if one_pass else "all")
    found = (total.requests, total.prompt_tokens, shared, total.completion_tokens)
    assert found == tuple(close(number(cell)) for cell in row)
    if not one_pass:
        for step in planned.steps:
            asked = (step.usage.requests, step.usage.prompt_tokens, step.shared)
            assert asked == tuple(close(number(cell)) for cell in cells(README, step.name)[:3])
    without, reuse = ("one pass (`fret.one_pass=true`), no prefix cache", "one pass, prefix cache") if one_pass else (
        "QL and RC, no prefix cache", "QL and RC, prefix cache that serves all it can"
    )  # fmt: skip
    assert total.prompt_tokens == close(number(cells(SCALING, without)[0]))
    assert total.prompt_tokens - shared == close(number(cells(SCALING, reuse)[0]))


@pytest.mark.parametrize("model", SPEEDS)
def test_hours_and_disk_of_fret_at_the_papers_size(tmp_path, model):
    column = 1 + list(SPEEDS).index(model)
    for one_pass, rows in (
        (False, ("QL and RC, no prefix cache", "QL and RC, prefix cache that serves all it can")),
        (True, ("one pass (`fret.one_pass=true`), no prefix cache", "one pass, prefix cache")),
    ):
        planned, said = fret_plan(tmp_path, one_pass, model)
        hours = [number(h) for h in re.findall(r"([\d,.]+) hours, ", said)]
        assert hours == [close(number(cells(SCALING, row)[column])) for row in rows]
        if not one_pass:
            assert planned.disk / 1000 / MILLION == close(number(cells(SCALING, "answers and labels")[0].split(" ")[0]))
            disk = [float(n) for n in re.findall(r"([\d.]+) GB of (?:text|vectors|index)", said)]
            labels = ("text of 100 million", "their vectors", "the IVF-PQ index")
            lines = [next(line for line in SCALING.splitlines() if line.startswith(f"| {label}")) for label in labels]
            assert disk == [close(float(re.search(r"\| ([\d.]+) GB", line).group(1))) for line in lines]


TRAINING = re.findall(r"^\| `(gecko-\w+)` \| ([\d. ]+) \| (\d+ [^|]+) \|(.+)\|$", SCALING, re.MULTILINE)


@pytest.mark.parametrize(("recipe", "size", "gpus", "rest"), TRAINING, ids=[f"{r}, {g}" for r, _, g, _ in TRAINING])
def test_negatives_hours_and_memory_of_training(recipe, size, gpus, rest):
    *negatives, before, after, memory = [cell.strip() for cell in rest.split("|")]
    parameters, embeddings, layers, hidden = size.split()
    count, gpu = gpus.split()
    given = ["--gpu", gpu, "--gpus", count, "--parameters", parameters, "--embeddings", embeddings, "--layers", layers]
    asked = ["train", "plan", str(ROOT / "recipes" / recipe), *given]
    asked += ["--hidden", hidden]
    command = [sys.executable, "-m", "gecko_hf", *asked]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"COLUMNS": "160"}, check=True)
    rows = [line.split("│")[1:-1] for line in result.stdout.splitlines() if re.match("│ (pre|fine)", line)]
    assert [row[3].strip() for row in rows] == negatives
    assert [float(row[-2]) for row in rows] == [pytest.approx(float(hours), abs=0.0051) for hours in (before, after)]
    assert max(float(row[-1].split()[0]) for row in rows) == close(float(memory.split()[0]))
