import subprocess
import sys

import pytest
import torch
import yaml

from gecko_hf.errors import OutputError
from gecko_hf.hub.facts import energy
from gecko_hf.recipe import load_recipe, load_run_recipe
from gecko_hf.run_folder import (
    Paths,
    differences,
    environment,
    hash_of,
    open_run_folder,
    read_record,
    working_in,
    write_json,
    write_record,
)


@pytest.fixture
def recipe(tmp_path):
    file = tmp_path / "in" / "recipe.yaml"
    file.parent.mkdir()
    file.write_text("corpus: {path: docs}\n")

    def load(*overrides):
        return load_recipe(file, [f"output={tmp_path / 'run'}", *overrides])

    return load


def test_a_run_folder_records_the_recipe_versions_and_machine(recipe, tmp_path):
    open_run_folder(recipe(), redo=False)
    tree = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    assert load_run_recipe(tmp_path / "run") == recipe()
    assert tree["environment"]["versions"]["sentence-transformers"].startswith("6.")
    assert "cores" in tree["environment"]["machine"]


def test_what_a_run_was_made_with_is_not_rewritten_by_looking_again(recipe, tmp_path):
    open_run_folder(recipe(), redo=False)
    file = tmp_path / "run" / "recipe.yaml"
    file.write_text(file.read_text().replace("6.", "5.9."))
    open_run_folder(recipe(), redo=False)
    assert "5.9." in file.read_text()


def test_a_folder_with_finished_stages_belongs_to_its_recipe(recipe):
    write_record(open_run_folder(recipe(), redo=False), "corpus", "key", 1.0, {})
    with pytest.raises(OutputError, match=r"differs in fret\.rows, seed"):
        open_run_folder(recipe("fret.rows=3", "seed=1"), redo=False)
    open_run_folder(recipe("fret.rows=3", "seed=1"), redo=True)


def test_how_a_model_is_reached_and_what_it_may_cost_can_change_and_workers_read_the_change(recipe, tmp_path):
    write_record(open_run_folder(recipe("llm.backend=tgi", "llm.url=http://a:1"), redo=False), "corpus", "key", 1.0, {})
    changed = recipe("llm.backend=tgi", "llm.url=http://b:2", "llm.give_up=9", "budget.max_requests=5")
    file = tmp_path / "run" / "recipe.yaml"
    file.write_text(file.read_text().replace("6.", "5.9."))
    open_run_folder(changed, redo=False)
    assert load_run_recipe(tmp_path / "run") == changed
    assert "5.9." in file.read_text()


def test_a_folder_in_which_nothing_was_finished_can_be_taken_over(recipe, tmp_path):
    paths = open_run_folder(recipe("corpus.path=typo"), redo=False)
    write_json({"base": "org/base", "commit": "c"}, paths.logs / "base.json")  # what a base on the Hub leaves
    write_json([{"step": 1}], paths.logs / "prefinetune_curve.json")
    open_run_folder(recipe(), redo=False)
    assert load_run_recipe(tmp_path / "run") == recipe()


@pytest.mark.parametrize("text", ["corpus: {path: mine}", "a: [", "- 1"])
def test_a_recipe_that_a_person_wrote_is_never_written_over(recipe, tmp_path, text):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text(text)
    with pytest.raises(OutputError, match="is no run folder"):
        open_run_folder(recipe(), redo=True)
    assert (tmp_path / "run" / "recipe.yaml").read_text() == text


def test_where_a_run_is_put_is_no_difference():
    assert differences({"output": "a", "x": {"y": 1}}, {"output": "b", "x": {"y": 2}}) == ["x.y"]


def test_a_record_is_there_whole_or_not_at_all(tmp_path):
    paths = Paths(tmp_path)
    assert read_record(paths, "fret") is None
    write_record(paths, "fret", "key", 1.26, {"rows": 3})
    record = read_record(paths, "fret")
    assert (record["key"], record["seconds"], record["counts"]) == ("key", 1.3, {"rows": 3})
    assert not list(paths.logs.glob(".*"))


def test_a_record_names_the_machine_and_the_versions_that_its_stage_was_made_with(tmp_path):
    paths = Paths(tmp_path)
    write_record(paths, "fret", "key", 1.0, {})
    assert read_record(paths, "fret")["environment"] == environment()
    write_record(paths, "fret", "key", 1.0, {}, {"machine": "another"})
    assert read_record(paths, "fret")["environment"] == {"machine": "another"}


def test_hashes_do_not_depend_on_the_order_of_keys():
    assert hash_of({"a": 1, "b": [2]}) == hash_of({"b": [2], "a": 1}) != hash_of({"a": 1, "b": [3]})


def test_json_is_replaced_whole(tmp_path):
    write_json({"a": 1}, tmp_path / "x" / "f.json")
    write_json({"b": "ü"}, tmp_path / "x" / "f.json")
    assert (tmp_path / "x" / "f.json").read_text(encoding="utf-8") == '{\n  "b": "ü"\n}\n'


def test_one_process_works_in_a_folder_and_leaves_it_to_the_next(recipe):
    script = (
        "import sys\nfrom gecko_hf.recipe import load_recipe\nfrom gecko_hf.run_folder import working_in\n"
        "with working_in(load_recipe(sys.argv[1]), redo=True): pass"
    )
    with working_in(recipe(), redo=False) as paths:
        command = [sys.executable, "-c", script, str(paths.root)]
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        assert f"OutputError: Another gecko-hf works in {paths.root}. Wait until it ends" in child.stderr
    assert subprocess.run(command, check=False).returncode == 0


def test_a_folder_that_is_no_run_folder_gets_no_lock(recipe, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.doc").write_text("x")
    with pytest.raises(OutputError, match="is no run folder"), working_in(recipe(), redo=False):
        pass
    assert [f.name for f in (tmp_path / "run").iterdir()] == ["thesis.doc"]


@pytest.mark.parametrize("name", ["[v2]", "a*", "why?"])
def test_a_folder_that_datasets_would_take_for_a_pattern_is_refused_before_work(recipe, tmp_path, name):
    with pytest.raises(OutputError, match=r"takes these for patterns\. Give another folder: output=PATH"):
        open_run_folder(recipe(f"output={tmp_path}/{name}/r"), redo=False)


def test_a_machine_is_recorded_with_its_accelerators_and_then_no_energy_of_cores_is_told(monkeypatch):
    monkeypatch.setattr("torch.accelerator.is_available", lambda: True)
    monkeypatch.setattr("torch.accelerator.device_count", lambda: 2)
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda: torch.device("mps"))
    machine = environment()["machine"]
    assert machine.endswith("cores, 2 x GPU mps")
    assert energy({"machine": machine, "seconds_total": 3600}) is None
