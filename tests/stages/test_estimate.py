"""How long a stage may take: what is frozen and left out is not counted."""

import pytest

from gecko_hf.recipe import Recipe
from gecko_hf.stages import estimate
from gecko_hf.stages.estimate import NO_DROPOUT, Speed, measure_speed, train_seconds
from gecko_hf.training.recipe import StageRecipe


def seconds(model, **stage) -> float:
    return train_seconds(640, 1, Recipe(name="t", precision="float32"), StageRecipe(**stage), model, Speed(1e9, 1e9))


def test_half_of_the_layers_frozen_costs_a_third_less(tiny_model):
    # Of 6 operations a parameter 4 are backward, and half of those parameters, two layers alike, are not trained.
    assert seconds(tiny_model, freeze_layers=1) == pytest.approx(seconds(tiny_model) * 2 / 3, rel=0.05)


def test_a_step_without_dropout_takes_less(tiny_model):
    assert seconds(tiny_model, dropout=False) == pytest.approx(NO_DROPOUT * seconds(tiny_model))


def test_estimating_leaves_the_model_as_it_was(tiny_model):
    seconds(tiny_model, freeze_layers=1)
    assert all(p.requires_grad for p in tiny_model.parameters())


def test_a_stage_that_reads_less_of_a_text_takes_less(tiny_model):
    assert seconds(tiny_model, max_seq_length=32) == pytest.approx(seconds(tiny_model) * (24 + 32) / (24 + 64))


@pytest.mark.parametrize(("precision", "timed"), [("float32", ["float32"]), ("bfloat16", ["float32", "bfloat16"])])
def test_a_precision_that_nothing_trains_in_is_not_timed(monkeypatch, precision, timed):
    asked = []
    monkeypatch.setattr(estimate, "_operations_per_second", lambda name: asked.append(name) or float(len(asked)))
    assert measure_speed(precision) == Speed(1.0, float(len(timed)))
    assert asked == timed
