"""The training stages: what they hand on of the recipe, and what they leave out of the corpus and of FRet."""

import json
import shutil
from dataclasses import replace

import datasets
import pytest
import torch
from rich.console import Console
from sentence_transformers import SentenceTransformer
from transformers import Trainer

from gecko_hf.progress import View
from gecko_hf.recipe import load_recipe
from gecko_hf.run_folder import open_run_folder
from gecko_hf.stages import train
from gecko_hf.stages.corpus import corpus_stage
from gecko_hf.stages.run import Run
from gecko_hf.training.data import TrainingSet
from gecko_hf.training.mixture import lead_body_pairs
from gecko_hf.training.mixture_recipe import DataRecipe


@pytest.fixture
def run(tmp_path, tiny_model_path, library_folder):
    """A run of two steps a stage, whose corpus is read; overrides as on the command line."""
    (tmp_path / "recipe.yaml").write_text(
        f"corpus: {{path: '{library_folder}'}}\nprecision: float32\n"
        f"encoder: {{base: '{tiny_model_path}', max_seq_length: 48, dims: [32]}}\n"
        f"prefinetune: {{rows: 16, batch_size: 8}}\nfinetune: {{steps: 2, batch_size: 4}}\n"
        f"evaluation: {{held_out: 0.2, dev_share: 0.0}}\noutput: '{tmp_path / 'run'}'"
    )

    def run(*overrides):
        recipe = load_recipe(tmp_path, overrides)
        made = Run(recipe, open_run_folder(recipe, redo=True), View(Console(quiet=True)))
        corpus_stage(made)
        return made

    return run


def write_fret(run, files, negative="n"):
    """FRet in files of so many rows."""
    folder = run.paths.fret / "default"
    folder.mkdir(parents=True)
    for part, rows in enumerate(files):
        texts = [
            {"task": "t", "query": f"q{part} {i}", "positive_title": "", "positive": f"p{part} {i}", "negative_title": "",
             "negative": negative} for i in range(rows)
        ]  # fmt: skip
        datasets.Dataset.from_list(texts).to_parquet(str(folder / f"train-{part:05d}-of-{len(files):05d}.parquet"))


def test_the_recipes_seed_draws_the_first_weights_of_adapters(run, passages):
    """And not how the process happened to be seeded before, which differs in a stage that is run by itself."""
    pytest.importorskip("peft", reason="pip install 'gecko-hf[lora]'")

    def weights(before, seed):
        settings = ("dropout=false", "learning_rate=1e-2", "steps=3")  # in the first of them the rate is 0
        job = run("encoder.lora.rank=2", f"seed={seed}", *(f"prefinetune.{setting}" for setting in settings))
        torch.manual_seed(before)
        rows = lead_body_pairs(passages, set(), 8, seed=0)  # one batch
        model = job.base()
        train._train(job, model, rows, "prefinetune")
        shutil.rmtree(job.paths.checkpoints)  # which it would go on from
        return torch.cat([p.flatten() for p in model.state_dict().values()])

    first = weights(before=1, seed=5)
    assert torch.equal(weights(before=2, seed=5), first)
    assert not torch.allclose(weights(before=1, seed=6), first, atol=1e-3)


def checkpoints(job):
    return sorted(folder.name for folder in job.paths.checkpoints.glob("*"))


def test_a_kill_between_the_last_step_and_the_model_costs_no_step(run, monkeypatch):
    job = run("prefinetune.checkpoint_every=1")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(train, "_save", killed)
        with pytest.raises(KeyboardInterrupt):
            train.prefinetune_stage(job)
    steps = []
    monkeypatch.setattr(Trainer, "training_step", lambda *_: steps.append(1))
    train.prefinetune_stage(job)
    assert steps == []
    assert (job.paths.prefinetuned / "modules.json").exists()
    assert checkpoints(job) == []


def test_checkpoints_of_another_number_of_processes_or_commit_are_not_gone_on_from(run, monkeypatch):
    """They count batches of another size, or of other rows."""
    job = run()
    rows = [TrainingSet("nq", None, {}, DataRecipe(source="org/nq", revision="a" * 40))]
    moved = [replace(rows[0], recipe=DataRecipe(source="org/nq", revision="b" * 40))]
    here = {train._checkpoints(job, "finetune", sets) for sets in (rows, rows, moved, None)}
    monkeypatch.setattr(train, "processes", lambda: 2)
    assert len(here | {train._checkpoints(job, "finetune", rows)}) == 4


def test_checkpoints_of_a_recipe_that_was_given_up_go_with_the_others(run):
    job = run()
    (job.paths.checkpoints / "prefinetune-0123456789ab" / "checkpoint-8").mkdir(parents=True)
    (job.paths.checkpoints / "finetune-0123456789ab").mkdir()
    train.prefinetune_stage(job)
    assert checkpoints(job) == ["finetune-0123456789ab"]


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_both_stages_train_with_the_attention_of_the_recipe(run, monkeypatch, attention):
    trained = []
    monkeypatch.setattr(train, "_train", lambda run, model, rows, stage: trained.append(model))
    job = run(f"encoder.attention={attention}")
    write_fret(job, [4])
    train.prefinetune_stage(job)
    train.finetune_stage(job)
    assert [model.transformers_model.config._attn_implementation for model in trained] == [attention] * 2


def test_pairs_of_the_corpus_that_overlap_with_a_test_set_are_left_out_and_counted(run, monkeypatch, tmp_path):
    trained = []
    monkeypatch.setattr(train, "_train", lambda run, model, rows, stage: trained.append(rows))
    assert train.prefinetune_stage(run()) == {"rows": 16}
    known = trained[0]["anchor"][0].partition("query: ")[2]
    (tmp_path / "exam.jsonl").write_text(json.dumps({"text": known}), encoding="utf-8")
    job = run(f"fret.quality.test_sets=[{tmp_path / 'exam.jsonl'}]", "prefinetune.rows=1000")
    counts = train.prefinetune_stage(job)
    assert counts["set_aside"] >= 1
    assert not any(known in text for text in trained[1]["anchor"])
    told = json.loads((job.paths.logs / "prefinetune_pairs.json").read_text(encoding="utf-8"))
    assert told["rows"] == counts["rows"] == len(trained[1])
    assert sum(told["set_aside"].values()) == counts["set_aside"]
    assert all("exam.jsonl" in why for why in told["set_aside"])


def test_without_rows_there_are_no_pairs_and_the_base_is_handed_on(run, monkeypatch):
    monkeypatch.setattr(train, "_train", lambda *_: pytest.fail("trained"))
    job = run("prefinetune.rows=0")
    earlier = [job.paths.logs / f"prefinetune_{told}.json" for told in ("curve", "computed")]
    for file in earlier:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}", encoding="utf-8")
    assert train.prefinetune_stage(job) == {"rows": 0}
    assert not any(file.exists() for file in earlier)  # they would tell of training that is not in this model
    base, kept = job.base().state_dict(), SentenceTransformer(str(job.paths.prefinetuned)).state_dict()
    assert all(torch.equal(base[name], kept[name]) for name in base)


@pytest.mark.parametrize(("most", "read"), [(3, 1), (4, 1), (6, 2), (99, 3)])
def test_of_fret_no_more_is_read_than_is_trained_on(run, monkeypatch, most, read):
    import pyarrow.parquet as pq

    opened, read_table = [], pq.read_table
    monkeypatch.setattr(pq, "read_table", lambda file: opened.append(file) or read_table(file))
    job = run()
    write_fret(job, [4, 4, 4])
    opened.clear()
    found = train._first_rows(job.paths.fret, most)
    assert [row["query"] for row in found] == [f"q{part} {i}" for part in range(3) for i in range(4)][:most]
    assert len(opened) == read


@pytest.mark.parametrize(
    ("of_steps", "weight", "drawn"),
    [
        ("steps: 4", "weight: 1", 12),
        ("steps: 9", "weight: 1", 24),
        ("epochs: 1", "weight: 1", 40),
        ("steps: 4", "", 40),
    ],
    ids=["a part", "another part", "by epochs", "by size"],
)
def test_the_base_reads_the_rows_that_are_drawn_and_no_others(run, tmp_path, of_steps, weight, drawn, monkeypatch):
    files = {name: tmp_path / f"{name}.jsonl" for name in ("kept", "taught")}
    for name, file in files.items():
        file.write_text(
            "".join(json.dumps({"query": f"{name} q{i}", "positive": f"{name} p{i}"}) + "\n" for i in range(40))
        )
    mixture = ", ".join(
        f"{name}: {{kind: pairs, source: '{file}', {'keep: 1,' if name == 'kept' else ''} {weight}}}"
        for name, file in files.items()
    )
    made = run(f"finetune={{{of_steps}, batch_size: 4, mixture: {{{mixture}}}}}")
    sets = {one.name: one.rows for one in train.training_sets(made, "finetune")}
    assert (len(sets["kept"]), len(sets["taught"])) == (drawn, 40)
    assert set(sets["kept"].column_names) == {"anchor", "positive", "label"}
    said = json.loads((made.paths.logs / "finetune_mixture.json").read_text())
    assert said["kept"]["rows"] == 40


def test_a_set_whose_texts_come_again_still_fills_its_batches(run, tmp_path):
    """Six texts in 60 rows: of the 12 rows that the steps draw, four with different texts may not be found."""
    file = tmp_path / "kept.jsonl"
    file.write_text("".join(json.dumps({"query": f"q{i}", "positive": f"p{i % 6}"}) + "\n" for i in range(60)))
    mixture = f"kept: {{kind: pairs, source: '{file}', learn: 0, keep: 1, weight: 1}}"
    made = run(f"finetune={{steps: 2, batch_size: 4, mixture: {{{mixture}}}}}")
    (kept,) = train.training_sets(made, "finetune")
    assert len(kept.rows) == 60
