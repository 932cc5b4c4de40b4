"""`gecko-hf fret relabel`: other labels for a finished run, and a run that goes on from them."""

import shutil

import pytest
from rich.console import Console

from gecko_hf import pipeline
from gecko_hf.corpus.fingerprint import input_state
from gecko_hf.errors import OutputError, RecipeError
from gecko_hf.fret.build import read_labels
from gecko_hf.progress import View
from gecko_hf.recipe import load_recipe
from gecko_hf.relabel import relabel_run
from gecko_hf.run_folder import Paths, open_run_folder, write_record
from gecko_hf.stages.run import Run


@pytest.fixture(scope="module")
def labelled(tmp_path_factory, tiny_model_path, library_folder):
    """A run folder whose corpus and fret stages are done."""
    folder = tmp_path_factory.mktemp("relabel")
    (folder / "recipe.yaml").write_text(
        f"corpus: {{path: '{library_folder}'}}\nencoder: {{base: '{tiny_model_path}', max_seq_length: 48, dims: [8]}}\n"
        f"fret: {{rows: 20, candidates: 6}}\nevaluation: {{held_out: 0.2}}\noutput: '{folder / 'run'}'"
    )
    recipe = load_recipe(folder)
    paths = open_run_folder(recipe, redo=False)
    job = Run(recipe, paths, View(Console(quiet=True)))
    for step in pipeline.plan(recipe, paths, input_state(recipe.corpus)):
        if step.stage.name in ("corpus", "fret"):
            write_record(paths, step.stage.name, step.key, 0, step.stage.run(job))
    return folder / "run"


@pytest.fixture
def run_folder(labelled, tmp_path):
    return shutil.copytree(labelled, tmp_path / "run")


def test_relabelling_a_run_changes_its_rows_and_its_recipe_and_leaves_fret_done(run_folder):
    console = Console(record=True, width=200)
    relabel_run(run_folder, ["positive=seed", "fret.negative=random"], console)
    assert all(row["positive_id"] == row["seed_id"] for row in read_labels(run_folder / "fret"))
    recipe = load_recipe(run_folder)
    assert (recipe.fret.positive, recipe.fret.negative) == ("seed", "random")
    steps = pipeline.plan(recipe, Paths(run_folder), input_state(recipe.corpus))
    assert [s.stage.name for s in steps if s.record] == ["corpus", "fret"]
    assert "rows 20" in console.export_text()


def test_relabelling_back_gives_the_same_bytes(run_folder):
    file = run_folder / "fret" / "default" / "train.parquet"
    before = file.read_bytes()
    relabel_run(run_folder, ["negative=random"], Console(quiet=True))
    assert file.read_bytes() != before
    relabel_run(run_folder, ["negative=last"], Console(quiet=True))
    assert file.read_bytes() == before


@pytest.mark.parametrize("overrides", [["rows=3"], ["llm.backend=unigram"], []])
def test_only_label_choices_can_be_changed(run_folder, overrides):
    with pytest.raises(RecipeError, match=r"relabel changes fret\.positive, .*Example: fret\.negative=random"):
        relabel_run(run_folder, overrides, Console(quiet=True))


def test_a_folder_without_a_finished_fret_is_refused(run_folder, tmp_path):
    with pytest.raises(OutputError, match="is no run folder"):
        relabel_run(tmp_path, ["positive=seed"], Console(quiet=True))
    (run_folder / "logs" / "fret.json").unlink()
    with pytest.raises(OutputError, match="has no finished FRet"):
        relabel_run(run_folder, ["positive=seed"], Console(quiet=True))
