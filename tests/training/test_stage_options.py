"""What a recipe can add to a stage: mixtures, less padding, evaluation, averages, LoRA; each resumed as if never stopped."""

import shutil
from dataclasses import replace

import datasets
import pytest
import torch
from sentence_transformers import SentenceTransformer

from gecko_hf.errors import RecipeError
from gecko_hf.evaluation.yardstick import YardstickQuery
from gecko_hf.model.encoder import load_encoder
from gecko_hf.model.lora import LoraRecipe, add_lora, merge_lora
from gecko_hf.training.data import TrainingSet, with_vectors
from gecko_hf.training.dev import dev_evaluator
from gecko_hf.training.lengths import embed_by_length
from gecko_hf.training.loss import GeckoLoss
from gecko_hf.training.mixture import lead_body_pairs
from gecko_hf.training.mixture_recipe import DataRecipe
from gecko_hf.training.options import LossOptions
from gecko_hf.training.recipe import StageRecipe, check_stage
from gecko_hf.training.stage import train_stage


@pytest.fixture
def sets(passages):
    """Two data sets with weights, one of which has only its own hard negatives."""
    pairs = lead_body_pairs(passages, set(), 64, seed=0)
    hard = pairs.select(range(32)).add_column("negative", pairs["positive"][32:])
    return [
        TrainingSet("pairs", pairs, {}, DataRecipe(kind="pairs", source="x", weight=3.0)),
        TrainingSet("hard", hard, {}, DataRecipe(kind="labels", source="x", weight=1.0, negatives="own_only")),
    ]


def train(path, rows, folder, report=None, lora=False, say=None, evaluator=None, **settings):
    model = load_encoder(str(path), 48)
    if lora:
        torch.manual_seed(0)
        add_lora(model, LoraRecipe(rank=4, dropout=0.1))
    recipe = StageRecipe(**{"batch_size": 8, "learning_rate": 3e-3, "epochs": 2, "checkpoint_every": 2, **settings})
    curve = train_stage(
        model, rows, recipe, dims=[32, 8], precision="float32", seed=5, folder=folder, report=report, say=say,
        evaluator=evaluator,
    )  # fmt: skip
    merge_lora(model)
    return model, [entry["loss"] for entry in curve]


class Killed(BaseException):
    """Stands for a kill in the middle of a step."""


def kill_at(step):
    def report(done, total):
        if done == step:
            raise Killed

    return report


@pytest.mark.parametrize("options", [{}, {"mini_batch_size": 4}, {"lora": True}], ids=["plain", "cached", "lora"])
def test_a_weighted_mixture_resumes_exactly(tiny_model_path, sets, tmp_path, options):
    """With dropout, in the first and in the second epoch."""
    if options.get("lora"):
        pytest.importorskip("peft", reason="pip install 'gecko-hf[lora]'")
    said = []
    whole, losses = train(tiny_model_path, sets, tmp_path / "whole", say=said.append, **options)
    assert len(losses) == 2 * (64 // 8 + 32 // 8)
    assert said == [
        "  pairs: each query sees 14 negatives: 7 in-batch, 7 same-tower, 0 hard; 0 of them from other processes",
        "  hard: each query sees 1 negatives: 0 in-batch, 0 same-tower, 1 hard; 0 of them from other processes",
    ]
    for at in (5, 17):
        with pytest.raises(Killed):
            train(tiny_model_path, sets, tmp_path / "cut", kill_at(at), **options)
    resumed, again = train(tiny_model_path, sets, tmp_path / "cut", **options)
    assert again == pytest.approx(losses, abs=1e-6)
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


def test_chunks_of_like_length_have_the_same_embeddings_and_gradients(tiny_model):
    texts = ["bread 1", "the knight protects the pawn before any castle number 3 is ready.", "oven", "bees honey wax"]
    for side in ("right", "left"):
        tiny_model.tokenizer.padding_side = side
        features = tiny_model.preprocess(texts)
        with torch.no_grad():
            plain = tiny_model.eval()(dict(features))["sentence_embedding"]
            chunked = embed_by_length(tiny_model, dict(features), 2)
        if side == "right":  # BERT counts positions from the left, padding included
            torch.testing.assert_close(chunked, plain, atol=1e-6, rtol=0)
        assert chunked.shape == plain.shape
    tiny_model.tokenizer.padding_side = "right"
    columns = [tiny_model.preprocess(texts), tiny_model.preprocess(texts[::-1])]
    losses, gradients = [], []
    for size in (None, 3):
        tiny_model.zero_grad()
        loss = GeckoLoss(tiny_model, chunk_size=size)([dict(c) for c in columns], None)
        loss.backward()
        losses.append(loss.item())
        gradients.append(torch.cat([p.grad.flatten() for p in tiny_model.parameters() if p.grad is not None]))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert gradients[0].abs().max() > 1e-2
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-5, rtol=0)


def test_steps_end_a_stage_before_its_epochs(tiny_model_path, sets, tmp_path):
    assert len(train(tiny_model_path, sets, tmp_path / "c", steps=5, gradient_checkpointing=True)[1]) == 5


@pytest.mark.parametrize("cached", [None, 4])
def test_what_the_base_knew_is_kept(tiny_model_path, sets, tmp_path, cached):
    base = SentenceTransformer(str(tiny_model_path))
    kept = with_vectors(replace(sets[0], recipe=replace(sets[0].recipe, learn=0.0, keep=1.0)), base.encode)
    curve = train(tiny_model_path, [kept], tmp_path / "a", steps=12, mini_batch_size=cached)[1]
    assert curve[-1] < curve[0]


@pytest.mark.parametrize("cached", [None, 4])
def test_labels_are_learned(tiny_model_path, sets, tmp_path, cached):
    said: list[str] = []
    labelled = sets[0].rows.add_column("label", [[float(i % 2)] for i in range(len(sets[0].rows))])
    one = TrainingSet("labelled", labelled, {}, DataRecipe(kind="labels", source="x", positives="label"))
    curve = train(tiny_model_path, [one], tmp_path / "a", steps=12, mini_batch_size=cached, say=said.append)[1]
    assert curve[-1] < curve[0]
    assert said == ["  labelled: all texts of a label attract each other, and are negatives for those of other labels"]


def test_a_teachers_scores_are_distilled(tiny_model_path, sets, tmp_path):
    hard = sets[1].rows
    scored = TrainingSet(
        "scored", hard.add_column("scores", [[2.0, 1.0]] * len(hard)), {}, DataRecipe(kind="pairs", source="x")
    )
    plain = train(tiny_model_path, [scored], tmp_path / "a", steps=2)[1]
    taught = train(tiny_model_path, [scored], tmp_path / "b", steps=2, loss=LossOptions(distillation=1.0))[1]
    assert taught[0] > plain[0]
    with pytest.raises(RecipeError, match="the rows of hard have none: set scores: true"):
        train(tiny_model_path, sets[1:], tmp_path / "c", loss=LossOptions(distillation=1.0))


@pytest.fixture
def evaluator(passages):
    queries = [YardstickQuery(p.id, p.text.split(".")[0], [p.id], "dev") for p in passages[::4]]
    return dev_evaluator(queries, passages, seed=0)


def test_the_best_checkpoint_is_kept_and_the_stage_ends_when_nothing_gets_better(
    tiny_model_path, sets, tmp_path, evaluator
):
    scores = []
    real = type(evaluator).__call__

    class Worsening(type(evaluator)):
        """Scores of which the second is the best."""

        def __call__(self, model, *args, **kwargs):
            found = real(self, model, *args, **kwargs)
            scores.append([0.5, 0.9, 0.4, 0.3][len(scores)])
            return found | {"dev_cosine_ndcg@10": scores[-1]}

    evaluator.__class__ = Worsening
    model, losses = train(tiny_model_path, sets, tmp_path / "c", evaluate_every=3, patience=2, evaluator=evaluator)
    assert len(scores) == 4
    assert len(losses) == 12
    best = SentenceTransformer(str(tmp_path / "c" / "checkpoint-6"), device="cpu")
    for a, b in zip(model.state_dict().values(), best.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)


@pytest.mark.parametrize("killed", [8, 11, 14])
def test_patience_goes_on_counting_after_a_restart(tiny_model_path, sets, tmp_path, evaluator, killed):
    """Evaluations at 3, 6, 9, 12: the second is the best, and after two more the stage ends."""
    real = type(evaluator).__call__

    class Worsening(type(evaluator)):
        def __call__(self, model, output_path=None, epoch=-1, steps=-1):
            found = real(self, model, output_path, epoch, steps)
            return found | {"dev_cosine_ndcg@10": {3: 0.5, 6: 0.9}.get(steps, 0.4)}

    evaluator.__class__ = Worsening
    settings = {"evaluate_every": 3, "patience": 2, "evaluator": evaluator}
    whole, losses = train(tiny_model_path, sets, tmp_path / "whole", **settings)
    assert len(losses) == 12
    if killed < 12:
        with pytest.raises(Killed):
            train(tiny_model_path, sets, tmp_path / "cut", kill_at(killed), **settings)
    else:  # when the stage was over
        shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    resumed, again = train(tiny_model_path, sets, tmp_path / "cut", **settings)
    assert again == pytest.approx(losses, abs=1e-6)
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


def test_the_dev_evaluator_writes_the_prompts_of_the_finished_model(evaluator, tiny_model, passages):
    assert evaluator.query_prompt == "task: search result | query: "
    assert evaluator.corpus_prompt == "title: none | text: "
    scores = evaluator(tiny_model)
    assert 0 <= scores["dev_cosine_ndcg@10"] <= 1
    with pytest.raises(RecipeError, match="evaluate_every needs dev queries"):
        dev_evaluator([YardstickQuery("q", "x", ["bread-0"], "test")], passages, 0)


@pytest.mark.parametrize(("count", "earlier"), [(2, [20]), (3, [15, 20])])
def test_the_last_checkpoints_are_averaged(tiny_model_path, sets, tmp_path, count, earlier):
    """The newest checkpoint, 24, has the last weights and is not counted twice."""
    last, _ = train(tiny_model_path, sets, tmp_path / "last")
    mean, _ = train(tiny_model_path, sets, tmp_path / "mean", average_last=count, checkpoint_every=5)
    before = [SentenceTransformer(str(tmp_path / "mean" / f"checkpoint-{n}"), device="cpu") for n in earlier]
    for name, tensor in mean.state_dict().items():
        expected = sum(m.state_dict()[name] for m in [last, *before]) / count
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "lora", "says"),
    [
        ({"patience": 2}, False, "set finetune.evaluate_every"),
        ({"average_last": 2, "evaluate_every": 5}, False, "Choose one"),
        ({"average_last": 2}, True, "encoder.lora saves adapters"),
        ({"chunk_size": 0}, False, "finetune.chunk_size is 0; it must be at least 1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, lora, says):
    with pytest.raises(RecipeError, match=says):
        check_stage(StageRecipe(**settings), "finetune", lora=lora)


def test_a_data_set_that_does_not_fill_a_batch_is_named(tiny_model_path, sets, tmp_path):
    small = [sets[0], TrainingSet("small", sets[1].rows.select(range(3)), {}, DataRecipe(kind="labels", source="x"))]
    with pytest.raises(RecipeError, match="3 training rows of small do not fill one batch of 8"):
        train(tiny_model_path, small, tmp_path / "c")


def test_tracking_writes_where_the_logs_are(tiny_model_path, sets, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard", reason="pip install 'gecko-hf[track]'")
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    datasets.disable_progress_bars()
    train(tiny_model_path, sets, tmp_path / "run" / "checkpoints" / "c", steps=2, tracking="tensorboard")
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    assert list((tmp_path / "run" / "logs" / "tensorboard").rglob("events*"))
