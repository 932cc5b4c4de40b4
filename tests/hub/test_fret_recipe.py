"""Which recipes make the same FRet, as far as a data set on the Hub has them on record."""

import pytest

from gecko_hf import pipeline
from gecko_hf.hub.fret_recipe import fret_differences, fret_recipe
from gecko_hf.recipe import as_dict, load_recipe
from gecko_hf.run_folder import Paths


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "recipe.yaml").write_text(
        "corpus: {path: d}\nencoder: {base: org/base, revision: a}\n", encoding="utf-8"
    )
    return lambda *overrides: load_recipe(tmp_path, overrides)


@pytest.fixture
def earlier(recipe):
    """What an earlier version put on record of the recipe."""
    blocks = ("name", "seed", "corpus", "llm", "judge", "encoder", "retriever", "fret")
    return {key: value for key, value in as_dict(recipe()).items() if key in blocks}


def differing(theirs, mine):
    return fret_differences(fret_recipe(as_dict(theirs)), fret_recipe(as_dict(mine)))


OTHER_ROWS = {
    "seed=7": "seed",
    "precision=bfloat16": "precision",
    "corpus.rows=9": "corpus.rows",
    "fret.candidates=9": "fret.candidates",
    "encoder.max_seq_length=99": "encoder.max_seq_length",
    "evaluation.held_out=0.5": "evaluation.held_out",
    "evaluation.held_out_most=99": "evaluation.held_out_most",
    "evaluation.dev_share=0.5": "evaluation.dev_share",
    "evaluation.tasks.a={source: org/a, kind: sts}": "evaluation.tasks.a",
}
SAME_ROWS = ("encoder.dims=[8]", "encoder.lora.rank=8", "finetune.rows=9", "evaluation.bm25=false", "output=elsewhere")


@pytest.mark.parametrize(("change", "key"), OTHER_ROWS.items())
def test_what_makes_other_rows_is_a_difference(recipe, change, key):
    assert differing(recipe(), recipe(change)) == [key]


@pytest.mark.parametrize("change", SAME_ROWS)
def test_what_makes_no_other_rows_is_none(recipe, change):
    assert differing(recipe(), recipe(change)) == []


@pytest.mark.parametrize("change", [*OTHER_ROWS, *SAME_ROWS])
def test_a_difference_is_what_makes_a_run_do_its_fret_again(recipe, change, tmp_path):
    keys = [
        next(s.key for s in pipeline.plan(made, Paths(tmp_path), {}) if s.stage.name == "fret")
        for made in (recipe(), recipe(change))
    ]
    assert bool(differing(recipe(), recipe(change))) is (keys[0] != keys[1])


def test_of_an_encoder_nothing_counts_where_another_model_fetches_the_candidates(recipe):
    other = ("encoder.base=org/other", "encoder.max_seq_length=99")
    assert differing(recipe("retriever.base=org/r"), recipe("retriever.base=org/r", *other)) == []
    assert differing(recipe("retriever.base=org/r"), recipe("retriever.base=org/s")) == ["retriever.base"]


class TestOnRecordOfAnEarlierVersion:
    def test_the_same_recipe_is_the_same(self, recipe, earlier):
        assert fret_differences(earlier, fret_recipe(as_dict(recipe()))) == []

    def test_another_width_of_the_model_is_no_difference(self, recipe, earlier):
        assert fret_differences(earlier, fret_recipe(as_dict(recipe("encoder.dims=[8]")))) == []

    def test_what_it_tells_is_compared(self, recipe, earlier):
        mine = fret_recipe(as_dict(recipe("encoder.base=org/other", "fret.rows=9")))
        assert fret_differences(earlier, mine) == ["encoder.base", "fret.rows"]

    def test_what_it_does_not_tell_is_not(self, recipe, earlier):
        mine = fret_recipe(as_dict(recipe("evaluation.held_out=0.5", "precision=bfloat16")))
        assert fret_differences(earlier, mine) == []

    def test_an_empty_record_is_another_recipe(self, recipe):
        assert fret_differences({}, fret_recipe(as_dict(recipe()))) != []
