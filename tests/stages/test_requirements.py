"""What a run needs is looked for before any work that would end without it."""

from pathlib import Path

import pytest

from gecko_hf.errors import RecipeError
from gecko_hf.recipe import load_recipe
from gecko_hf.stages.requirements import require_sources

DOMAIN = Path(__file__).parents[2] / "recipes" / "domain"


def test_a_test_set_that_there_is_none_of_is_refused_where_a_stage_will_read_it():
    recipe = load_recipe(DOMAIN, ["corpus.path=docs", "fret.quality.test_sets=[SciFakt]"])
    with pytest.raises(RecipeError, match="'SciFakt' is neither"):
        require_sources(recipe, ["fret"])
    require_sources(recipe, ["report"])
