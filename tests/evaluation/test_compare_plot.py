"""`compare --plot`: what stands where in the picture, what is left out, and that every program can draw it."""

from xml.etree import ElementTree

import made_up
import pytest
from typer.testing import CliRunner

from gecko_hf.cli.main import app
from gecko_hf.errors import EvaluationError

SVG = "{http://www.w3.org/2000/svg}"
SCORES = {"local/base": {32: 0.60, 16: 0.55, 8: 0.45}, "local/mine": {32: 0.70, 16: 0.69, 8: 0.64}}


def write(folder, scores=None, *, tasks=("SciFact", "STS12"), **facts):
    for i, (model, by_width) in enumerate((scores or SCORES).items()):
        for dim, value in by_width.items():
            for task in tasks:
                given = {name: values[i] for name, values in facts.items()}
                made_up.write(folder, task, value, model=model, dim=dim, width=max(by_width), **given)
    return folder


def plot(folder, *models):
    """What the command said, and the picture."""
    command = ["compare", *models, "--results", str(folder), "--plot", str(folder / "plot.svg")]
    said = " ".join(CliRunner().invoke(app, command, catch_exceptions=False).output.split())
    return said, ElementTree.fromstring((folder / "plot.svg").read_text(encoding="utf-8"))


def texts(element, css=None):
    return ["".join(t.itertext()) for t in element.iter(f"{SVG}text") if css in (None, t.get("class"))]


def charts(picture):
    """Each chart of the picture: its label -> what its marks say."""
    found = {}
    for chart in picture.iter(f"{SVG}svg"):
        if chart.get("aria-label", "").startswith("Score by"):
            found[chart.get("aria-label")] = [title.text for title in chart.iter(f"{SVG}title")]
    return found


def test_every_width_of_both_models_and_their_size_and_speed_are_drawn(tmp_path):
    write(tmp_path, speed=(200.0, 50.0), parameters=(20_000_000, 110_000_000))
    said, picture = plot(tmp_path, "base", "mine:16")
    assert "left out" not in said
    assert charts(picture) == {
        "Score by dimensions": [f"{m} at {d}: {100 * SCORES[m][d]:.2f}" for m in SCORES for d in (8, 16, 32)],
        "Score by parameters (millions)": ["base:32: 60.00, 20.0 M parameters", "mine:16: 69.00, 110.0 M parameters"],
        "Score by speed (texts/s)": ["base:32: 60.00, 200.0 texts/s", "mine:16: 69.00, 50.0 texts/s"],
    }
    assert {"base:32", "mine:16", "Mean main score of 2 tasks"} <= set(texts(picture))
    assert texts(picture, "axis")[:2] == ["dimensions, log scale", "score (0 to 100)"]
    assert texts(picture, "note") == ["Speed on a machine, 2 cores; cpu"]


def test_a_better_score_stands_higher_and_a_wider_vector_further_right(tmp_path):
    _, picture = plot(write(tmp_path), "base", "mine")
    chart = next(e for e in picture.iter(f"{SVG}svg") if e.get("aria-label") == "Score by dimensions")
    places = {}
    for mark in chart.iter(f"{SVG}g"):
        if mark.get("class") == "marker":
            x, y = mark.get("transform").removeprefix("translate(").removesuffix(")").split()
            places[mark.get("data-tip")] = float(x), float(y)
    narrow, wide, mine = (
        places[t] for t in ("local/base at 8: 45.00", "local/base at 32: 60.00", "local/mine at 32: 70.00")
    )
    assert narrow[0] < wide[0] == mine[0]
    assert narrow[1] > wide[1] > mine[1]


def test_a_width_with_other_tasks_than_the_rest_is_left_out_and_said(tmp_path):
    write(tmp_path)
    next(tmp_path.glob("results/local__mine/*/experiments/embed_dim_8/STS12.json")).unlink()
    said, picture = plot(tmp_path, "base", "mine")
    assert "local/mine at 8 is left out: 1 of 2 tasks are measured there on the data" in said
    assert not [title for title in charts(picture)["Score by dimensions"] if title.startswith("local/mine at 8")]


@pytest.mark.parametrize("other", [{"splits": {"test": ["en-en"]}}, {"dataset_revision": "an earlier one"}])
def test_a_width_that_was_measured_on_other_subsets_or_other_data_is_left_out(tmp_path, other):
    write(tmp_path, tasks=("STS17",))
    made_up.write(tmp_path, "STS17", 0.9, model="local/mine", dim=8, **other)
    said, _ = plot(tmp_path, "base", "mine")
    assert "local/mine at 8 is left out: 0 of 1 tasks are measured there on the data that is compared." in said


def test_speeds_of_different_machines_are_not_laid_side_by_side(tmp_path):
    write(tmp_path, speed=(200.0, 50.0), machine=("one", "another"))
    said, picture = plot(tmp_path, "base", "mine")
    assert "Speed is left out: it was measured on different machines (another; cpu / one; cpu)." in said
    assert charts(picture).keys() == {"Score by dimensions", "Score by parameters (millions)"}


def test_results_of_another_tool_have_neither_size_nor_speed(tmp_path):
    write(tmp_path)
    for record in (tmp_path / "records").rglob("*.json"):
        record.unlink()
    said, picture = plot(tmp_path, "base", "mine")
    assert "Speed is left out: no task has it on record for all models." in said
    assert charts(picture) == {}  # mteb's own files here do not tell the width either
    assert texts(picture)[0] == "Mean main score of 2 tasks"


def test_labels_of_many_near_widths_do_not_cover_each_other(tmp_path):
    near = dict.fromkeys(range(250, 261), 0.5) | {128: 0.4}
    _, picture = plot(write(tmp_path, {"local/a": near, "local/b": near}, tasks=("STS12",)), "a", "b")
    chart = next(e for e in picture.iter(f"{SVG}svg") if e.get("aria-label") == "Score by dimensions")
    middle = sorted(float(t.get("x")) for t in chart.iter(f"{SVG}text") if t.get("text-anchor") == "middle")
    assert len(middle) == 2
    assert middle[1] - middle[0] > 30


def test_the_picture_needs_nothing_but_itself_and_no_css_variables(tmp_path):
    write(tmp_path, {"local/<b>&": {32: 0.5}, "local/mine": {32: 0.5}})
    _, picture = plot(tmp_path, "<b>&", "mine")
    source = (tmp_path / "plot.svg").read_text()
    assert not [word for word in ("var(", "url(", "href", "@import", "prefers-color-scheme") if word in source]
    assert "<b>&:32" in texts(picture)


@pytest.mark.parametrize("option", ["--plot", "--markdown"])
def test_a_folder_that_is_not_there_is_named_before_anything_is_read(tmp_path, option):
    command = ["compare", "a", "b", option, str(tmp_path / "none" / "p.svg")]
    with pytest.raises(EvaluationError, match=r"There is no folder .*none to write p\.svg into"):
        CliRunner().invoke(app, command, catch_exceptions=False)


def test_another_format_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(EvaluationError, match=r"--plot writes SVG, not \.png: name a file\.svg"):
        CliRunner().invoke(app, ["compare", "a", "b", "--plot", str(tmp_path / "p.png")], catch_exceptions=False)
