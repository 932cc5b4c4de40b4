"""The picture of held-out tasks: a chart a type, ours and the base by width."""

import itertools
from xml.etree import ElementTree

import pytest

from gecko_hf.hub.task_chart import draw_tasks, task_charts

TYPES = {"find": "Retrieval", "sort": "Reranking", "alike": "STS"}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def scores():
    values = {("base", 32): 0.5, ("base", 8): 0.4, ("gecko", 32): 0.6, ("gecko", 8): 0.55}
    return [
        {"role": role, "dim": dim, "task": task, "type": kind, "value": value + (0.2 if task == "sort" else 0.0)}
        for (role, dim), value in values.items()
        for task, kind in TYPES.items()
    ]


def test_there_is_a_chart_for_each_type_and_one_for_their_mean(scores):
    retrieval, sts, mean = task_charts(scores)
    assert [chart.labels[1] for chart in (retrieval, sts, mean)] == ["Retrieval", "STS", "mean over types"]
    assert "untouched base 50.0 at 8, 60.0 at 32; Gecko 65.0 at 8, 70.0 at 32." in retrieval.text
    assert "Gecko 60.0 at 8, 65.0 at 32." in mean.text


def test_a_better_score_stands_higher(scores):
    for chart in task_charts(scores):
        base, gecko = chart.lines
        assert all(ours[1] < theirs[1] for ours, theirs in zip(gecko["markers"], base["markers"], strict=True))


def test_the_file_is_one_svg_with_a_panel_a_chart_that_do_not_cover_each_other(scores, tmp_path):
    charts = draw_tasks(scores, tmp_path / "tasks.svg")
    root = ElementTree.parse(tmp_path / "tasks.svg").getroot()
    panels = [(float(p.get("x")), float(p.get("y"))) for p in root.findall(f"{SVG}svg")]
    assert len(panels) == len(charts) == 3
    size = charts[0]
    for (x, y), (u, v) in itertools.combinations(panels, 2):
        assert abs(x - u) >= size.width or abs(y - v) >= size.height
    assert all(
        x + chart.width <= float(root.get("width")) and y + chart.height <= float(root.get("height"))
        for (x, y), chart in zip(panels, charts, strict=True)
    )


def test_without_tasks_nothing_is_drawn(tmp_path):
    assert draw_tasks([], tmp_path / "tasks.svg") == []
    assert list(tmp_path.iterdir()) == []
