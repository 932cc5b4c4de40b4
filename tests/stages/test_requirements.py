"""What a run needs is looked for before any work that would end without it."""

import sys
from pathlib import Path

import pytest

from gecko_hf.errors import MissingExtraError, RecipeError
from gecko_hf.recipe import load_recipe
from gecko_hf.stages.requirements import require_sources

DOMAIN = Path(__file__).parents[2] / "recipes" / "domain"


def test_a_test_set_that_there_is_none_of_is_refused_where_a_stage_will_read_it():
    recipe = load_recipe(DOMAIN, ["corpus.path=docs", "fret.quality.test_sets=[SciFakt]"])
    with pytest.raises(RecipeError, match="'SciFakt' is neither"):
        require_sources(recipe, ["fret"])
    require_sources(recipe, ["report"])


@pytest.mark.parametrize(
    ("key", "package"), [("finetune.tracking=trackio", "trackio"), ("encoder.lora.rank=4", "peft")]
)
def test_a_package_that_training_asks_for_is_looked_for_before_any_stage(monkeypatch, key, package):
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    recipe = load_recipe(DOMAIN, ["corpus.path=docs", key])
    with pytest.raises(MissingExtraError, match=package):
        require_sources(recipe, ["fret", "finetune"])
    require_sources(recipe, ["fret"])
