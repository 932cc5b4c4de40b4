"""The corpus stage: a yardstick that could score no model is refused here, and not after training or paid answers."""

import pytest
from rich.console import Console

from gecko_hf.errors import CorpusError
from gecko_hf.evaluation.yardstick import split_of
from gecko_hf.progress import View
from gecko_hf.recipe import load_recipe
from gecko_hf.run_folder import open_run_folder
from gecko_hf.stages.corpus import corpus_stage, require_held_out
from gecko_hf.stages.run import Run

MODULE = '''
def boil(water):
    """Heat the water until it moves by itself.{see_also}
    """

def pour(water):
    """Let the water run out of its vessel into another one."""
'''


@pytest.fixture
def read(tmp_path):
    """Runs the stage for a recipe of two passages; returns what it counts."""

    def read(recipe):
        (tmp_path / "recipe.yaml").write_text(f"fret: {{candidates: 2}}\noutput: '{tmp_path / 'run'}'\n{recipe}")
        made = load_recipe(tmp_path)
        run = Run(made, open_run_folder(made, redo=True), View(Console(quiet=True)))
        counts = corpus_stage(run)
        require_held_out(run)
        return counts

    return read


@pytest.mark.parametrize(("split", "queries"), [(None, 0), ("dev", 1), ("test", 1)])
def test_see_also_sections_without_a_test_query_are_refused(read, tmp_path, monkeypatch, split, queries):
    described = next(
        t for t in (f"Something about vessel {i}." for i in range(99)) if split_of(t, 0.5) == split or not split
    )
    see_also = f"\n\n    See Also\n    --------\n    pour : {described}" if split else ""
    name = f"kettle_{split}".lower()
    (tmp_path / f"{name}.py").write_text(MODULE.format(see_also=see_also))
    monkeypatch.syspath_prepend(tmp_path)
    recipe = f"corpus: {{source: docstrings, packages: [{name}]}}\nevaluation: {{yardstick: see_also, dev_share: 0.5}}"
    if split == "test":
        assert read(recipe)["queries"] == queries
        return
    with pytest.raises(CorpusError, match=rf"of {name} give {queries} queries, none .* evaluation\.yardstick=held_out"):
        read(recipe)


def test_a_share_that_no_passage_falls_into_is_refused(read, tmp_path):
    (tmp_path / "text.md").write_text(
        "# Water\n\n## One\n\nHeat it until it moves.\n\n## Two\n\nLet it run out again.\n"
    )
    recipe = f"seed: 1\ncorpus: {{path: '{tmp_path / 'text.md'}'}}\nevaluation: {{held_out: {{share}}}}"
    assert read(recipe.replace("{share}", "0.5"))["held_out"] > 0
    with pytest.raises(
        CorpusError, match=r"held_out is 0\.01, and none of the 2 passages .* Raise evaluation\.held_out"
    ):
        read(recipe.replace("{share}", "0.01"))
