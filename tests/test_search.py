"""`gecko-hf search`: the base beside the model, each as the run has measured it."""

import os
from pathlib import Path

import pytest
from rich.console import Console

from gecko_hf import pipeline
from gecko_hf.recipe import load_recipe
from gecko_hf.run_folder import Paths
from gecko_hf.search import search_table


@pytest.fixture(scope="module")
def widened(tmp_path_factory, tiny_model_path, library_folder) -> Paths:
    """A run from a bare checkpoint of width 32 whose encoder has 16 dimensions."""
    folder = tmp_path_factory.mktemp("widened")
    (folder / "recipe.yaml").write_text(
        f"corpus: {{path: '{library_folder}'}}\nencoder: {{base: '{tiny_model_path.parent / 'bert'}', dim: 16, dims: [16, 8]}}\n"
        "prefinetune: {rows: 40, batch_size: 8}\nfret: {rows: 20, candidates: 6}\nfinetune: {batch_size: 8}\n"
        "evaluation: {held_out: 0.2, bm25: false, prefinetuned: false}\n",
        encoding="utf-8",
    )
    with Path(os.devnull).open("w") as sink:
        return Paths(pipeline.run(load_recipe(folder, [f"output={folder / 'run'}"]), Console(file=sink)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_base_is_the_one_that_found_the_candidates(widened):
    before = sorted(widened.vectors.iterdir())
    table = search_table(widened.root, "the oven", 3, None)
    assert sorted(widened.vectors.iterdir()) == before  # of neither model was anything embedded again
    assert [str(column.header) for column in table.columns] == ["", "bert (untouched)", "Gecko"]
