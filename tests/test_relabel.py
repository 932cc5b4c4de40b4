"""`gecko-hf fret relabel`: other labels for a finished run, and a run that goes on from them."""

import json
import shutil

import pytest
from rich.console import Console

from gecko_hf import pipeline
from gecko_hf.corpus.fingerprint import input_state
from gecko_hf.errors import OutputError, RecipeError
from gecko_hf.fret.build import labels_of, rows_of
from gecko_hf.hub.summary import outdated, read_summary
from gecko_hf.progress import View
from gecko_hf.recipe import load_recipe
from gecko_hf.relabel import relabel_run
from gecko_hf.run_folder import Paths, open_run_folder, read_record, write_record
from gecko_hf.stages.run import Run


@pytest.fixture(scope="module")
def label_run(tiny_model_path, library_folder):
    """Makes a run folder whose corpus and fret stages are done."""

    def label_run(folder, held_out_tasks=""):
        (folder / "recipe.yaml").write_text(
            f"corpus: {{path: '{library_folder}'}}\nencoder: {{base: '{tiny_model_path}', max_seq_length: 48, dims: [8]}}\n"
            f"fret: {{rows: 20, candidates: 6}}\nevaluation: {{held_out: 0.2, tasks: {{{held_out_tasks}}}}}\n"
            f"output: '{folder / 'run'}'"
        )
        recipe = load_recipe(folder)
        paths = open_run_folder(recipe, redo=False)
        job = Run(recipe, paths, View(Console(quiet=True)))
        for step in pipeline.plan(recipe, paths, input_state(recipe.corpus)):
            if step.stage.name in ("corpus", "fret"):
                write_record(paths, step.stage.name, step.key, 0, step.stage.run(job))
        return folder / "run"

    return label_run


@pytest.fixture(scope="module")
def labelled(tmp_path_factory, label_run):
    return label_run(tmp_path_factory.mktemp("relabel"))


@pytest.fixture
def run_folder(labelled, tmp_path):
    return shutil.copytree(labelled, tmp_path / "run")


def test_relabelling_a_run_changes_its_rows_and_its_recipe_and_leaves_fret_done(run_folder):
    console = Console(record=True, width=200)
    relabel_run(run_folder, ["positive=seed", "fret.negative=random"], console)
    assert all(row["positive_id"] == row["seed_id"] for row in labels_of(run_folder / "fret"))
    recipe = load_recipe(run_folder)
    assert (recipe.fret.positive, recipe.fret.negative) == ("seed", "random")
    steps = pipeline.plan(recipe, Paths(run_folder), input_state(recipe.corpus))
    assert [s.stage.name for s in steps if s.record] == ["corpus", "fret"]
    assert "rows 20" in console.export_text()


def test_relabelling_keeps_the_count_of_held_out_queries_that_it_leaves_as_they_are(run_folder):
    before = read_record(Paths(run_folder), "fret")["counts"]
    relabel_run(run_folder, ["positive=seed"], Console(quiet=True))
    after = read_record(Paths(run_folder), "fret")["counts"]
    assert after == before | {"relabelled": 0}
    assert after["held_out_set_aside"] == 0


def test_relabelling_back_gives_the_same_bytes(run_folder):
    file = run_folder / "fret" / "default" / "train.parquet"
    before = file.read_bytes()
    relabel_run(run_folder, ["negative=random"], Console(quiet=True))
    assert file.read_bytes() != before
    relabel_run(run_folder, ["negative=last"], Console(quiet=True))
    assert file.read_bytes() == before


def test_relabelling_keeps_the_passages_of_held_out_tasks_out_of_the_rows(label_run, passages, tmp_path):
    asked = [{"query": f"what of {p.title}", "positive": p.text} for p in passages if p.title.startswith("chess")]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    folder = label_run(
        tmp_path, f"asked: {{kind: retrieval, source: '{tmp_path}/asked.jsonl', columns: {{text: positive}}}}"
    )
    relabel_run(folder, ["positive=seed"], Console(quiet=True))
    held_out = {row["positive"] for row in asked}
    assert not [row for row in rows_of(folder / "fret") if row["positive"] in held_out]
    refused = [label for label in rows_of(folder / "fret", "labels") if label["set_aside"]]
    assert {label["set_aside"] for label in refused} == {"test passage: 13 words in a row of asked"}


@pytest.mark.parametrize("overrides", [["rows=3"], ["llm.backend=unigram"], []])
def test_only_label_choices_can_be_changed(run_folder, overrides):
    with pytest.raises(RecipeError, match=r"relabel changes fret\.positive, .*Example: fret\.negative=random"):
        relabel_run(run_folder, overrides, Console(quiet=True))


def test_a_folder_without_a_finished_fret_is_refused(run_folder, tmp_path):
    with pytest.raises(RecipeError, match="is no run folder"):
        relabel_run(tmp_path, ["positive=seed"], Console(quiet=True))
    (run_folder / "logs" / "fret.json").unlink()
    with pytest.raises(OutputError, match="has no finished FRet"):
        relabel_run(run_folder, ["positive=seed"], Console(quiet=True))


def test_the_card_tells_of_the_new_labels_and_the_report_of_the_old_is_not_trusted(run_folder):
    paths = Paths(run_folder)
    write_record(paths, "report", "key", 0, {})
    relabel_run(run_folder, ["positive=seed"], Console(quiet=True))
    assert "The positive is the seed itself;" in (paths.fret / "README.md").read_text(encoding="utf-8")
    assert read_record(paths, "report") is None
    assert outdated(read_summary(paths), paths, ("corpus", "fret")) == []


@pytest.mark.parametrize("name", ["007", "a #1", "b: c"])
def test_a_folder_whose_name_yaml_would_read_otherwise_is_the_one_that_is_changed(run_folder, name):
    folder = run_folder.rename(run_folder.parent / name)
    said = Console(record=True, width=400)
    relabel_run(folder, ["positive=seed"], said)
    assert load_recipe(folder).folder == folder
    assert f"`gecko-hf run {folder}` trains on the new rows" in said.export_text()


def test_relabelling_adds_to_the_time_that_the_scores_took_on_their_machine(run_folder):
    paths = Paths(run_folder)
    record = read_record(paths, "fret")
    there = record["environment"] | {"machine": "another"}
    write_record(paths, "fret", record["key"], 3600.0, record["counts"], there)
    relabel_run(run_folder, ["positive=seed"], Console(quiet=True))
    assert read_record(paths, "fret")["seconds"] >= 3600
    assert read_record(paths, "fret")["environment"] == there
