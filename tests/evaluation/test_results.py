"""A folder of results as rows: what counts in a score, and what is left out."""

import json

import made_up
import pytest
from typer.testing import CliRunner

from gecko_hf.cli.main import app
from gecko_hf.evaluation.results import read_results


def test_a_subset_that_mteb_added_to_a_file_is_not_in_the_score_of_its_record(tmp_path):
    file = made_up.write(tmp_path, "STS17", 0.8, splits={"test": ["en-en"]})
    tree = json.loads(file.read_text())
    other = tree["scores"]["test"][0] | {"hf_subset": "es-es", "main_score": 0.2}
    tree["scores"] = {"test": [*tree["scores"]["test"], other], "validation": [other]}
    file.write_text(json.dumps(tree))
    (score,) = read_results(tmp_path)
    assert (score.value, score.splits) == (0.8, {"test": ["en-en"]})
    next((tmp_path / "records").rglob("STS17.json")).unlink()
    (score,) = read_results(tmp_path)
    assert score.value == pytest.approx(0.4)
    assert score.splits == {"test": ["en-en", "es-es"], "validation": ["es-es"]}


def test_a_file_without_anything_that_its_record_names_is_left_out_and_named(tmp_path):
    other = {"main_score": 0.2, "hf_subset": "es-es", "languages": ["spa-Latn"]}
    file = made_up.write(tmp_path, "STS17", 0.8, splits={"test": ["en-en"]}, scores={"test": [other]})
    made_up.write(tmp_path, "SciFact", 0.6)
    told = []
    assert [s.task for s in read_results(tmp_path, told.append)] == ["SciFact"]
    assert [line.partition(" is left out")[0] for line in told] == [str(file)]


@pytest.mark.parametrize("content", [{"task_name": "OfAnotherVersion"}, {"notes": "mine"}])
def test_a_file_of_something_else_is_left_out_and_named(tmp_path, content):
    file = made_up.write(tmp_path, "SciFact", 0.6)
    other = file.with_name("Other.json")
    other.write_text(json.dumps(json.loads(file.read_text()) | content if "task_name" in content else content))
    told = []
    assert [s.task for s in read_results(tmp_path, told.append)] == ["SciFact"]
    assert [line.partition(" is left out")[0] for line in told] == [str(other)]
    command = ["compare", "mine", "--paper", "--results", str(tmp_path)]
    shown = CliRunner().invoke(app, command, catch_exceptions=False).output
    assert f"{other} is left out" in shown
    assert "60.00" in shown
