"""Scores on held-out data sets: by task, by type, and the mean over types, beside the base's full width."""

import io

import pytest
from rich.console import Console

from gecko_hf.hub.task_scores import task_lines, task_markdown, task_table

TASKS = {"Local-find": "Retrieval", "Local-sort": "Reranking", "Local-alike": "STS", "Local-topics": "Clustering"}


def row(role, dim, task, value):
    return {"role": role, "dim": dim, "task": task, "type": TASKS[task], "metric": "m", "model": "x", "value": value}


@pytest.fixture
def scored(summary):
    values = {"Local-find": 0.5, "Local-sort": 0.7, "Local-alike": 0.8, "Local-topics": 0.2}
    scores = [row("base", 32, task, value) for task, value in values.items()]
    scores += [row("base", 8, task, value - 0.2) for task, value in values.items()]
    scores += [row("gecko", 32, task, value + 0.02) for task, value in values.items()]
    scores += [row("gecko", 8, task, value - 0.01) for task, value in values.items()]
    return summary | {"task_scores": scores}


def test_a_line_has_the_base_at_full_width_and_gecko_at_each_with_the_difference(scored):
    head, *lines = task_lines(scored)
    assert head == ("task", "type", "metric", "base 32", "Gecko 32", "points", "Gecko 8", "points")
    assert ("alike", "STS", "m", "80.0", "82.0", "+2.0", "79.0", "-1.0") in lines


def test_reranking_counts_as_retrieval_and_each_type_counts_once(scored):
    lines = {line[0]: line[3:] for line in task_lines(scored)}
    assert lines["mean of Retrieval"][:2] == ("60.0", "62.0")
    assert lines["mean over types"][:3] == ("53.3", "55.3", "+2.0")  # of 60, 80 and 20


def test_without_tasks_there_is_no_table(summary):
    assert (task_lines(summary), task_table(summary), task_markdown(summary)) == ([], None, "")


def test_the_markdown_has_a_row_a_line(scored):
    text = task_markdown(scored).splitlines()
    assert len(text) == 1 + len(task_lines(scored))
    assert text[1] == "|---|---|---|---:|---:|---:|---:|---:|"


def test_the_terminal_shows_every_line(scored):
    table = task_table(scored)
    assert table is not None
    assert table.row_count == len(task_lines(scored)) - 1
    screen = io.StringIO()
    Console(file=screen, width=80).print(table)
    assert "…" not in screen.getvalue()
    assert "mean of Clustering" in screen.getvalue()
    assert "the base with its own prompts, if any" in " ".join(screen.getvalue().split())
