"""How long a stage may take: counted are the texts that it reads, and what is frozen or kept costs as much as it does."""

import json
from types import SimpleNamespace

import pytest

from gecko_hf.model.recipe import EncoderRecipe
from gecko_hf.recipe import Recipe
from gecko_hf.run_folder import Paths
from gecko_hf.stages import estimate
from gecko_hf.stages.estimate import (
    CACHED,
    DROPOUT,
    SHORT,
    kept_tokens,
    space_needed,
    step_cost,
    step_tokens,
    tokens_of,
    tokens_per_second,
)
from gecko_hf.training.mixture_recipe import DataRecipe
from gecko_hf.training.recipe import FineTuneRecipe, StageRecipe

RECIPE = Recipe(name="t", precision="float32")
LENGTH = RECIPE.encoder.max_seq_length
SETS = {
    "a": DataRecipe(kind="pairs", source="a", weight=1, rows=100, keep=1),
    "b": DataRecipe(kind="nli", source="b", weight=3),
}


def mixture(**stage) -> StageRecipe:
    return StageRecipe(mixture=SETS, batch_size=10, **stage)


class TestStep:
    def test_half_of_the_layers_frozen_costs_a_third_less(self, tiny_model):
        # Of three parts of a step two are backward, and half of those weights, two layers alike, are not trained.
        frozen = step_cost(StageRecipe(freeze_layers=1), tiny_model)
        assert frozen == pytest.approx(step_cost(StageRecipe(), tiny_model) * 2 / 3, rel=0.05)
        assert all(p.requires_grad for p in tiny_model.parameters())

    @pytest.mark.parametrize(("stage", "factor"), [({"dropout": False}, 1 / DROPOUT), ({"mini_batch_size": 4}, CACHED)])
    def test_costs_more_with_dropout_and_where_texts_are_embedded_twice(self, tiny_model, stage, factor):
        ratio = step_cost(StageRecipe(**stage), tiny_model) / step_cost(StageRecipe(), tiny_model)
        assert ratio == pytest.approx(factor)


class TestTokens:
    def test_of_a_text_are_no_more_than_are_read_of_it(self):
        assert tokens_of(["two words", "word " * 1000], 64) == 11 + 64

    def test_of_the_runs_own_rows_are_a_query_and_passages(self):
        assert step_tokens(StageRecipe(steps=3, batch_size=10), RECIPE, 2, 500) == 30 * (SHORT + 2 * LENGTH)
        assert step_tokens(StageRecipe(epochs=2), RECIPE, 1, 500) == 1000 * (SHORT + LENGTH)

    def test_a_stage_that_reads_less_of_a_text_has_fewer(self):
        assert step_tokens(StageRecipe(steps=1, batch_size=10, max_seq_length=32), RECIPE, 1, 500) == 10 * (SHORT + 32)

    def test_of_a_mixture_are_those_of_each_set_by_its_share_of_the_steps(self):
        # A quarter of the rows are a question and a passage, the others three sentences.
        assert step_tokens(mixture(steps=8), RECIPE, 1, 500) == 80 * (SHORT + LENGTH + 3 * 3 * SHORT) / 4

    def test_the_base_reads_kept_sets_as_far_as_the_steps_draw_them(self):
        row = SHORT + LENGTH
        assert kept_tokens(mixture(steps=8), RECIPE) == 30 * row  # of two steps, and a batch more
        assert kept_tokens(mixture(steps=4000), RECIPE) == 100 * row  # all that there are
        assert kept_tokens(StageRecipe(), RECIPE) == 0


class TestTime:
    """Of the stages, in seconds, with a base that embeds so many tokens a second."""

    SPEED = 1000

    @pytest.fixture
    def seconds(self, passages, tiny_model, tmp_path, monkeypatch):
        monkeypatch.setattr(estimate, "tokens_per_second", lambda *_: self.SPEED)
        texts = type("Passages", (list,), {"texts": [p.text for p in passages]})(passages)

        def seconds(**recipe):
            run = SimpleNamespace(recipe=Recipe(name="t", **recipe), passages=texts, paths=Paths(tmp_path))
            return estimate.estimate(run, tiny_model)

        return seconds

    def test_fine_tuning_takes_no_more_rows_of_fret_than_it_is_told_to(self, seconds):
        few, more, all_there_are = (
            seconds(finetune=FineTuneRecipe(rows=rows))["finetune"] for rows in (8, 16, 1_000_000)
        )
        assert more == pytest.approx(2 * few)
        assert all_there_are == pytest.approx(8 * few)  # of the 64 passages a row each

    def test_of_a_reranking_task_every_candidate_is_embedded(self, seconds, tmp_path):
        before = seconds()["evaluate"]
        file = Paths(tmp_path).tasks / "answers" / "test.jsonl"
        file.parent.mkdir(parents=True)
        row = {"query": "two words", "positive": ["two words"], "negative": [*["two words"] * 29, "two\u2028words"]}
        file.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
        assert seconds()["evaluate"] - before == pytest.approx(2 * 32 * 11 / self.SPEED)  # by the base and by the model


class TestSpace:
    """Of the stages that are not done, in bytes."""

    @pytest.fixture
    def needed(self, passages, tiny_model):
        recipe = Recipe(name="t", encoder=EncoderRecipe(dims=[8]))
        run = SimpleNamespace(recipe=recipe, passages=passages)
        return lambda *todo, **more: space_needed(run, todo, tiny_model, **more)

    def test_a_model_and_its_checkpoints_are_written_by_training(self, needed, tiny_model):
        weights = 4 * sum(p.numel() for p in tiny_model.parameters())
        assert needed("finetune", "report") == (1 + 3 * 2) * weights
        assert needed("prefinetune", "finetune") == (2 + 3 * 2) * weights

    def test_scores_are_of_three_models_whose_vectors_are_kept_whole(self, needed, passages):
        assert needed("evaluate") == 3 * 4 * 32 * len(passages)

    def test_fret_writes_texts_and_its_vectors_are_those_that_are_scored_unless_another_model_retrieves(
        self, needed, passages
    ):
        texts = 3 * sum(len(p.text.encode()) for p in passages)
        wide = SimpleNamespace(get_embedding_dimension=lambda: 100)
        assert needed("fret") == texts + 4 * 32 * len(passages)
        assert needed("fret", "evaluate") == texts + needed("evaluate")
        assert needed("fret", "evaluate", retriever=wide) == texts + needed("evaluate") + 4 * 100 * len(passages)

    def test_what_is_done_needs_none(self, needed):
        assert needed("report") == 0


def test_the_speed_is_that_of_the_base_on_the_runs_own_text_once_it_has_taken_long_enough(monkeypatch):
    texts = [f"{'word ' * 10}{i}" for i in range(1000)]
    asked, clock = [], [0.0]

    class Slow:
        def compute(self, part):
            asked.append(len(part))
            clock[0] += 0.02 * len(part)

    monkeypatch.setattr(estimate.time, "perf_counter", lambda: clock[0])
    run = SimpleNamespace(
        recipe=RECIPE, passages=type("Passages", (list,), {"texts": texts})(texts), store=lambda _: Slow()
    )
    assert tokens_per_second(run, None, LENGTH) == pytest.approx(tokens_of(texts[:1], LENGTH) / 0.02)
    assert asked == [1, 8, 16, 32]  # the first is not counted, and 32 take longer than half a second
