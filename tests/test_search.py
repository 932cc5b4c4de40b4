"""`gecko-hf search`: the base beside the model, each as the run has measured it."""

import os
from pathlib import Path

import pytest
from rich.console import Console

from gecko_hf import pipeline
from gecko_hf.corpus.store import read_corpus
from gecko_hf.progress import View
from gecko_hf.recipe import load_recipe, load_run_recipe
from gecko_hf.run_folder import Paths
from gecko_hf.search import search_table
from gecko_hf.stages.run import Run


def finished(folder: Path, library: Path, encoder: str) -> Paths:
    """A run of one epoch over the library."""
    (folder / "recipe.yaml").write_text(
        f"corpus: {{path: '{library}'}}\nencoder: {{{encoder}}}\n"
        "prefinetune: {rows: 40, batch_size: 8}\nfret: {rows: 20, candidates: 6}\nfinetune: {batch_size: 8}\n"
        "evaluation: {held_out: 0.2, bm25: false, prefinetuned: false}\n",
        encoding="utf-8",
    )
    with Path(os.devnull).open("w") as sink:
        return Paths(pipeline.run(load_recipe(folder, [f"output={folder / 'run'}"]), Console(file=sink)))


@pytest.fixture(scope="module")
def widened(tmp_path_factory, tiny_model_path, library_folder) -> Paths:
    """A run from a bare checkpoint of width 32 whose encoder has 16 dimensions."""
    base = tiny_model_path.parent / "bert"
    return finished(tmp_path_factory.mktemp("widened"), library_folder, f"base: '{base}', dim: 16, dims: [16, 8]")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_base_is_the_one_that_found_the_candidates(widened):
    before = sorted(widened.vectors.iterdir())
    table = search_table(widened.root, "the oven", 3, None)
    assert sorted(widened.vectors.iterdir()) == before  # of neither model was anything embedded again
    assert [str(column.header) for column in table.columns] == ["", "bert (untouched)", "Gecko"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_base_with_prompts_of_its_own_is_read_behind_them_in_mining_and_in_search(
    tmp_path, tiny_model, library_folder
):
    tiny_model.prompts = {"query": "ask: ", "document": "told: "}
    tiny_model.save_pretrained(str(tmp_path / "base"))
    run = finished(tmp_path, library_folder, f"base: '{tmp_path / 'base'}', dims: [32, 16]")
    before = sorted(run.vectors.iterdir())
    search_table(run.root, "the oven", 3, None)
    assert sorted(run.vectors.iterdir()) == before
    job = Run(load_run_recipe(run.root), run, View(Console(quiet=True)))
    store = job.store(job.base())
    texts = read_corpus(run.corpus).texts
    assert store.file_of(texts, "told: ") in before
    assert store.file_of(texts) not in before
