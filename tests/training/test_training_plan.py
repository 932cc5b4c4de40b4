"""What training takes, computed: the formulas by hand, and what was measured on a GPU beside them."""

from dataclasses import replace

import pytest
from transformers import AutoModel

from gecko_hf.errors import RecipeError
from gecko_hf.recipe import Recipe
from gecko_hf.training.mixture_recipe import DataRecipe
from gecko_hf.training.plan import Hardware, Shape, embedding_seconds, plan_table, plan_training, shape_of
from gecko_hf.training.recipe import FineTuneRecipe, PrefinetuneRecipe

SHAPE = Shape(parameters=150, used=100, layers=3, hidden=8)


def recipe(**finetune):
    made = Recipe(
        prefinetune=PrefinetuneRecipe(rows=1000, batch_size=10, same_tower=False),
        finetune=FineTuneRecipe(**{"batch_size": 10, "steps": 7, **finetune}),
    )
    return replace(made, encoder=replace(made.encoder, max_seq_length=64))


def planned(made, hardware=Hardware(count=2, mfu=0.5), **tokens):  # noqa: B008  (frozen)
    return {stage.name: stage for stage in plan_training(made, SHAPE, hardware, **tokens)}


def test_steps_follow_from_rows_or_stand_in_the_recipe():
    stages = planned(recipe())
    assert (stages["prefinetune"].steps, stages["prefinetune"].rows) == (50, 20)
    assert stages["finetune"].steps == 7


def test_tokens_hours_and_memory_are_the_formulas():
    stage = planned(recipe(), query_tokens=10, passage_tokens=20)["finetune"]
    assert stage.tokens == 7 * 20 * (10 + 2 * 20)  # a query, a positive and a hard negative
    assert stage.seconds == pytest.approx(stage.tokens * 6 * 100 / (2 * 989e12 * 0.5))
    assert stage.memory == 16 * 150 + 34 * 3 * 8 * 10 * 50 + 2 * 4 * 10 * 2 * 20


def test_embedding_is_a_forward_pass_on_all_gpus():
    assert embedding_seconds(SHAPE, Hardware(count=2, mfu=0.5), 1e9) == pytest.approx(
        2 * 100 * 1e9 / (2 * 989e12 * 0.5)
    )


def test_gradient_caching_costs_a_third_more_and_holds_one_column_of_a_mini_batch():
    plain, cached = (planned(recipe(mini_batch_size=size), passage_tokens=20)["finetune"] for size in (None, 2))
    assert cached.seconds == pytest.approx(plain.seconds * 8 / 6)
    assert cached.memory == 16 * 150 + 34 * 3 * 8 * 2 * 20 + 2 * 4 * 2 * 2 * 20


def test_gradient_checkpointing_repeats_a_forward_and_holds_one_layer():
    stage = planned(recipe(gradient_checkpointing=True), query_tokens=10, passage_tokens=20)["finetune"]
    assert stage.seconds == pytest.approx(stage.tokens * 8 * 100 / (2 * 989e12 * 0.5))
    assert stage.memory == 16 * 150 + (34 + 2 * 3) * 8 * 10 * 50 + 2 * 4 * 10 * 2 * 20


def test_no_text_is_longer_than_the_stage_reads():
    assert planned(recipe(max_seq_length=16))["finetune"].tokens == 7 * 20 * 3 * 16


def test_negatives_are_those_of_all_gpus_where_they_are_gathered():
    stages = planned(recipe())
    assert (stages["prefinetune"].negatives, stages["finetune"].negatives) == (19, 38)
    assert planned(recipe(gather_across_devices=False))["finetune"].negatives == 18


def test_hard_negatives_count_by_the_weights_of_the_mixture():
    mixture = {"nli": DataRecipe(kind="nli", source="x", weight=1), "qa": DataRecipe(source="x", weight=3)}
    stage = planned(recipe(mixture=mixture), query_tokens=4, passage_tokens=8)["finetune"]
    assert stage.tokens == 7 * 20 * (4 + 1.25 * 8)


def test_a_mixture_without_steps_needs_a_cap_on_every_set():
    mixture = {"a": DataRecipe(source="x", rows=100), "b": DataRecipe(source="x", rows=60)}
    assert planned(recipe(mixture=mixture, steps=None))["finetune"].steps == 8
    with pytest.raises(RecipeError, match=r"Give finetune.steps"):
        planned(recipe(mixture=mixture | {"c": DataRecipe(source="x")}, steps=None))


def test_the_shape_is_read_without_the_weights(tiny_model_path):
    shape = shape_of(str(tiny_model_path))
    bare = AutoModel.from_pretrained(tiny_model_path)
    assert (shape.layers, shape.hidden) == (2, 32)
    assert shape.parameters == sum(p.numel() for p in bare.parameters())
    assert shape.used == sum(p.numel() for n, p in bare.named_parameters() if "embed" not in n)


def test_a_base_that_cannot_be_reached_names_the_way_out():
    with pytest.raises(RecipeError, match="--layers, --hidden and --parameters"):
        shape_of("no-such/encoder")


def test_the_memory_that_was_measured_is_the_formulas_to_a_tenth():
    """benchmarks/results.jsonl: ModernBERT-base's shape, batch 4,096 and 128, mini-batches of 128 x 256 tokens: 21.8 GiB."""
    modern = Shape(149_000_000, 110_000_000, 22, 768)
    made = recipe(batch_size=4096, mini_batch_size=128)
    made = replace(made, encoder=replace(made.encoder, max_seq_length=256))
    (stage,) = [s for s in plan_training(made, modern, Hardware("H200")) if s.name == "finetune"]
    assert stage.memory / 2**30 == pytest.approx(21.8, rel=0.1)


def test_too_much_memory_is_said(capsys):
    from rich.console import Console

    stages = plan_training(recipe(), replace(SHAPE, parameters=10**11), Hardware())
    Console(width=120).print(plan_table(stages, SHAPE, Hardware()))
    assert "too much" in capsys.readouterr().out
