"""A training stage on a tiny encoder: it learns, it resumes exactly, it refuses what it cannot train on."""

import shutil

import datasets
import pytest
import torch
from accelerate import PartialState
from sentence_transformers import SentenceTransformer

from gecko_hf.errors import RecipeError
from gecko_hf.model.encoder import load_encoder
from gecko_hf.training.arguments import arguments, on_one_device
from gecko_hf.training.loss import GeckoLoss
from gecko_hf.training.mixture import lead_body_pairs
from gecko_hf.training.recipe import StageRecipe
from gecko_hf.training.stage import remove_checkpoints, train_stage

TRAINER_STATE = "trainer_state.json"  # what the trainer writes last into a checkpoint
RECIPE = StageRecipe(batch_size=8, learning_rate=3e-3, epochs=2, checkpoint_every=2)


@pytest.fixture
def rows(passages):
    return lead_body_pairs(passages, set(), 64, seed=0)


def train(path, rows, folder, report=None, recipe=RECIPE) -> tuple[SentenceTransformer, list[dict]]:
    model = load_encoder(str(path), 48)
    curve = train_stage(model, rows, recipe, dims=[32, 8], precision="float32", seed=5, folder=folder, report=report)
    return model, curve


def test_the_loss_falls_and_progress_is_reported(tiny_model_path, rows, tmp_path):
    seen = []
    _, curve = train(tiny_model_path, rows, tmp_path / "c", lambda done, total: seen.append((done, total)))
    assert [entry["step"] for entry in curve] == list(range(1, 17))
    assert sum(e["loss"] for e in curve[-4:]) < 0.8 * sum(e["loss"] for e in curve[:4])
    assert seen == [(i, 16) for i in range(1, 17)]


class Killed(BaseException):
    """Stands for a kill in the middle of a step."""


def kill_at(step):
    def report(done, total):
        if done == step:
            raise Killed

    return report


@pytest.mark.parametrize("at", [3, 7, 12])
def test_an_interrupted_stage_ends_as_an_uninterrupted_one(tiny_model_path, rows, tmp_path, at):
    whole, curve = train(tiny_model_path, rows, tmp_path / "whole")

    with pytest.raises(Killed):
        train(tiny_model_path, rows, tmp_path / "cut", kill_at(at))
    steps = []
    resumed, resumed_curve = train(tiny_model_path, rows, tmp_path / "cut", lambda done, _: steps.append(done))
    assert steps[0] == at - (at % 2 or 2) + 1  # from the last checkpoint, not from the start
    assert [e["loss"] for e in resumed_curve] == pytest.approx([e["loss"] for e in curve], abs=1e-6)
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)


@pytest.mark.parametrize("left", ["all but the state", "half the state", "an empty folder"])
def test_a_kill_while_a_checkpoint_is_written_costs_that_checkpoint_only(tiny_model_path, rows, tmp_path, left):
    _, curve = train(tiny_model_path, rows, tmp_path / "whole")
    with pytest.raises(Killed):
        train(tiny_model_path, rows, tmp_path / "cut", kill_at(7))
    whole, half = tmp_path / "cut" / "checkpoint-6", tmp_path / "cut" / "checkpoint-8"
    if left == "an empty folder":
        half.mkdir()
    else:
        shutil.copytree(whole, half)
        state = half / TRAINER_STATE
        state.write_bytes(state.read_bytes()[: state.stat().st_size // 2])
        if left == "all but the state":
            state.unlink()
    steps = []
    _, resumed = train(tiny_model_path, rows, tmp_path / "cut", lambda done, _: steps.append(done))
    assert steps[0] == 7
    assert [e["loss"] for e in resumed] == pytest.approx([e["loss"] for e in curve], abs=1e-6)


def test_a_checkpoint_is_whole_only_when_every_process_has_written_its_part(
    tiny_model_path, rows, tmp_path, monkeypatch
):
    waited_with = []

    def wait_for_everyone(self):
        waited_with.append({f.name for f in (tmp_path / "c" / "checkpoint-2").glob("*")})

    monkeypatch.setattr(PartialState, "wait_for_everyone", wait_for_everyone)
    with pytest.raises(Killed):
        train(tiny_model_path, rows, tmp_path / "c", kill_at(3))
    assert [w for w in waited_with if "rng_state.pth" in w and TRAINER_STATE not in w]


def test_killed_after_its_last_step_a_stage_does_none_again(tiny_model_path, rows, tmp_path):
    recipe = StageRecipe(batch_size=8, learning_rate=3e-3, steps=5, checkpoint_every=2)  # ends within an epoch
    whole, curve = train(tiny_model_path, rows, tmp_path / "c", recipe=recipe)
    again, same = train(tiny_model_path, rows, tmp_path / "c", lambda *_: pytest.fail("a step was done"), recipe)
    assert same == curve
    for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)


def test_the_precision_is_the_recipes_whatever_the_launcher_says(tiny_model_path, rows, tmp_path, monkeypatch):
    recipe = StageRecipe(batch_size=8, learning_rate=3e-3, steps=3)
    _, curve = train(tiny_model_path, rows, tmp_path / "a", recipe=recipe)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    _, launched = train(tiny_model_path, rows, tmp_path / "b", recipe=recipe)
    assert [e["loss"] for e in launched] == pytest.approx([e["loss"] for e in curve], abs=1e-6)


def test_a_process_that_sees_several_gpus_trains_on_one(tmp_path):
    """Else the trainer would multiply the batch by their number."""
    made = arguments(StageRecipe(batch_size=8), "float32", 0, tmp_path, shares=None, rows=64, metric="")
    made._n_gpu = 4
    assert on_one_device(made).train_batch_size == 8


def test_rows_that_are_all_alike_are_refused_and_not_taken_for_trained(tiny_model_path, tmp_path):
    rows = datasets.Dataset.from_dict({"anchor": [f"chess {i}" for i in range(16)], "positive": ["bread"] * 16})
    with pytest.raises(RecipeError, match="give no batch of 8 different texts, so nothing was trained"):
        train(tiny_model_path, rows, tmp_path / "c")


def test_a_column_that_is_no_training_column_is_refused(tiny_model_path, rows, tmp_path):
    extra = rows.add_column("seed_id", ["x"] * len(rows))
    with pytest.raises(ValueError, match="only anchor, positive and negative"):
        train(tiny_model_path, extra, tmp_path / "c")


def test_fewer_rows_than_a_batch_say_what_to_do(tiny_model_path, rows, tmp_path):
    with pytest.raises(RecipeError, match="4 training rows do not fill one batch of 8"):
        train(tiny_model_path, rows.select(range(4)), tmp_path / "c")


def noting(drawn, forward):
    """`forward`, which also notes the tokens of the positives that it is given."""

    def noted(self, features, labels):
        features = list(features)
        drawn.append([tuple(tokens) for tokens in features[1]["input_ids"].tolist()])
        return forward(self, features, labels)

    return noted


def test_two_rows_with_one_positive_never_share_a_batch(tiny_model_path, tmp_path, monkeypatch):
    texts = [f"bread {i % 4}" for i in range(16)]
    rows = datasets.Dataset.from_dict({"anchor": [f"chess {i}" for i in range(16)], "positive": texts})
    drawn = []
    monkeypatch.setattr(GeckoLoss, "forward", noting(drawn, GeckoLoss.forward))
    train(tiny_model_path, rows, tmp_path / "c", recipe=StageRecipe(batch_size=4, learning_rate=1e-3))
    assert {len(set(positives)) for positives in drawn} == {4}


def test_checkpoints_go_when_a_stage_is_done(tmp_path):
    (tmp_path / "c" / "checkpoint-2").mkdir(parents=True)
    remove_checkpoints(tmp_path / "c")
    remove_checkpoints(tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_stage_whose_loss_is_no_number_ends_there_and_says_what_to_change(tiny_model_path, rows, tmp_path):
    model = load_encoder(str(tiny_model_path), 48)
    with torch.no_grad():
        next(iter(model.parameters())).fill_(float("nan"))
    with pytest.raises(RecipeError, match=r"The loss is nan in step 1, .* Lower the learning_rate"):
        train_stage(model, rows, RECIPE, dims=[32, 8], precision="float32", seed=5, folder=tmp_path / "c")
