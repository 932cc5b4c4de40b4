"""The whole pipeline on a small library with a tiny encoder: it runs, it skips, it survives being killed."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset
from rich.console import Console
from sentence_transformers import SentenceTransformer

from gecko_hf import pipeline
from gecko_hf.errors import CorpusError, HubError, OutputError, RecipeError
from gecko_hf.hub.push import open_finished
from gecko_hf.recipe import load_recipe
from gecko_hf.run_folder import Paths

STAGES = ["corpus", "prefinetune", "fret", "finetune", "evaluate", "report"]


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory, tiny_model_path, library_folder) -> Path:
    file = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    file.write_text(
        f"""
name: tiny
seed: 3
precision: float32
corpus: {{path: "{library_folder}"}}
encoder: {{base: "{tiny_model_path}", max_seq_length: 48, dims: [32, 8]}}
prefinetune: {{rows: 40, batch_size: 8, learning_rate: 1e-3}}
fret: {{rows: 40, candidates: 6}}
finetune: {{batch_size: 8, learning_rate: 1e-3}}
evaluation: {{held_out: 0.2, dev_share: 0.0}}
""",
        encoding="utf-8",
    )
    return file


def run(recipe_file: Path, folder: Path, *overrides: str, redo: bool = False) -> str:
    """Run in process; returns what the person saw."""
    with Path(os.devnull).open("w") as sink:
        console = Console(file=sink, record=True, width=140)
        pipeline.run(load_recipe(recipe_file, [f"output={folder}", *overrides]), console, redo=redo)
        return console.export_text()


@pytest.fixture(scope="module")
def finished(recipe_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    return folder, run(recipe_file, folder)


def results(folder: Path, *parts: str) -> dict[str, bytes]:
    """FRet's rows, its labels and the scores, byte by byte."""
    paths = Paths(folder)
    files = {
        "default": paths.fret / "default" / "train.parquet",
        "labels": paths.fret / "labels" / "train.parquet",
        "scores": paths.logs / "scores.json",
    }
    return {name: files[name].read_bytes() for name in parts or files}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestAFinishedRun:
    def test_shows_the_plan_before_and_each_stage_as_it_ends(self, finished):
        seen = finished[1]
        assert seen.index("Plan of") < seen.index("prefinetune: first training stage")
        assert [s for s in STAGES if f"{s}: " in seen] == STAGES
        assert "minutes on this machine" in seen

    def test_leaves_the_five_things_on_disk(self, finished):
        folder = finished[0]
        for part in ("corpus", "fret", "model", "results", "report/report.html", "recipe.yaml"):
            assert (folder / part).exists(), part

    def test_model_and_fret_load_with_one_plain_line_each_without_this_package(self, finished, tmp_path):
        folder = finished[0]
        script = (
            "import sys; sys.modules['gecko_hf'] = None\n"
            "from sentence_transformers import SentenceTransformer\n"
            "from datasets import load_dataset\n"
            f"model = SentenceTransformer({str(folder / 'model')!r})\n"
            f"fret = load_dataset({str(folder / 'fret')!r})\n"
            "print(len(model.encode_query('the oven')), fret['train'].column_names)\n"
            f"print(load_dataset({str(folder / 'fret')!r}, 'labels', split='train').column_names[:3])\n"
            f"print(load_dataset({str(folder / 'fret')!r}, 'corpus', split='train').column_names)"
        )
        environment = os.environ | {"HF_HOME": str(tmp_path), "HF_DATASETS_CACHE": str(tmp_path / "cache")}
        child = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
        )
        assert child.stdout.splitlines() == [
            "32 ['task', 'query', 'positive_title', 'positive', 'negative_title', 'negative']",
            "['query_id', 'task', 'query']",
            "['id', 'title', 'text']",
        ]

    def test_its_summary_holds_scores_counts_seconds_and_versions(self, finished):
        summary = json.loads((finished[0] / "report" / "summary.json").read_text())
        assert {(s["role"], s["dim"]) for s in summary["scores"]} == {
            ("bm25", None), ("base", 32), ("base", 8), ("prefinetuned", 32), ("prefinetuned", 8), ("gecko", 32), ("gecko", 8),
        }  # fmt: skip
        assert summary["fret"]["rows"] == 40
        assert [s["name"] for s in summary["stages"]] == STAGES[:-1]
        assert summary["versions"]["torch"] != "not installed"
        assert any("synthetic" in note for note in summary["notes"])
        assert any("No LLM was used" in note for note in summary["notes"])

    def test_no_training_row_comes_from_a_held_out_passage(self, finished):
        folder = finished[0]
        held_out = set(json.loads((folder / "corpus" / "held_out.json").read_text()))
        labels = load_dataset("parquet", data_files=str(folder / "fret/labels/train.parquet"), split="train")
        assert held_out
        assert not held_out & set(labels["seed_id"])

    def test_run_again_does_nothing_and_says_so(self, finished, recipe_file):
        before = {f: f.stat().st_mtime_ns for f in finished[0].rglob("*") if f.is_file() and f.name != "recipe.yaml"}
        start = time.monotonic()
        seen = run(recipe_file, finished[0])
        assert "Nothing to do" in seen
        assert time.monotonic() - start < 5
        assert {f: f.stat().st_mtime_ns for f in before} == before

    def test_another_recipe_is_refused_and_told_what_differs(self, finished, recipe_file):
        with pytest.raises(OutputError, match=r"belongs to another recipe; it differs in fret\.positive"):
            run(recipe_file, finished[0], "fret.positive=seed")

    def test_the_same_recipe_elsewhere_gives_the_same_rows_and_scores(self, finished, recipe_file, tmp_path):
        run(recipe_file, tmp_path / "again")
        assert results(tmp_path / "again") == results(finished[0])


def test_redo_runs_only_the_stages_that_differ(finished, recipe_file, tmp_path):
    shutil.copytree(finished[0], tmp_path / "r")
    seen = run(recipe_file, tmp_path / "r", "fret.positive=seed", redo=True)
    ran = [s for s in STAGES if f"\n{s}: " in f"\n{seen}"]
    assert ran == ["fret", "finetune", "evaluate", "report"]


def test_the_finished_vectors_are_turned_to_their_longest_axes_and_no_cosine_changes(finished, recipe_file, tmp_path):
    texts = [f"title: none | text: {row['text']}" for row in load_dataset(str(finished[0] / "fret"), "corpus")["train"]]
    again = Paths(shutil.copytree(finished[0], tmp_path / "r"))
    run(recipe_file, again.root, "finetune.rotate=true", redo=True)
    turned, plain = (SentenceTransformer(str(paths.model)).encode(texts) for paths in (again, Paths(finished[0])))
    np.testing.assert_allclose(turned @ turned.T, plain @ plain.T, atol=1e-4)
    assert (turned[:, :8] ** 2).sum() > 1.5 * (plain[:, :8] ** 2).sum()
    assert (turned[:, :8] ** 2).sum() > 4 * (turned[:, -8:] ** 2).sum()


def test_a_changed_file_of_a_mixture_redoes_its_stage_and_what_follows(recipe_file, tmp_path):
    rows = tmp_path / "pairs.jsonl"
    rows.write_text('{"query": "a", "positive": "b"}\n', encoding="utf-8")
    mixture = f"finetune.mixture={{mine: {{kind: pairs, source: {rows}}}}}"
    recipe = load_recipe(recipe_file, [mixture, f"output={tmp_path / 'r'}"])

    def keys() -> list[str]:
        return [step.key for step in pipeline.plan(recipe, Paths(tmp_path / "r"), {})]

    before = keys()
    assert keys() == before
    rows.write_text('{"query": "a", "positive": "c!"}\n', encoding="utf-8")
    changed = [old != new for old, new in zip(before, keys(), strict=True)]
    assert changed == [stage.name in ("finetune", "evaluate", "report") for stage in pipeline.STAGES]


def test_a_changed_file_of_a_test_set_redoes_what_is_held_against_it(recipe_file, tmp_path):
    (tmp_path / "exam").mkdir()
    file = tmp_path / "exam" / "queries.jsonl"
    file.write_text('{"text": "one"}\n', encoding="utf-8")
    recipe = load_recipe(recipe_file, [f"fret.quality.test_sets=[{file.parent}]", f"output={tmp_path / 'r'}"])

    def keys() -> list[str]:
        return [step.key for step in pipeline.plan(recipe, Paths(tmp_path / "r"), {})]

    before = keys()
    assert keys() == before
    file.write_text('{"text": "two"}\n', encoding="utf-8")
    assert [old == new for old, new in zip(before, keys(), strict=True)] == [True, *[False] * 5]


def test_what_was_removed_is_made_again_and_nothing_else(finished, recipe_file, tmp_path):
    folder = shutil.copytree(finished[0], tmp_path / "r")
    paths = Paths(folder)
    shutil.rmtree(paths.prefinetuned)  # read by what is done, so of no use any more
    assert "Nothing to do" in run(recipe_file, folder)
    for removed, ran in ((paths.fret, ["fret"]), (paths.model, ["prefinetune", "finetune"])):
        shutil.rmtree(removed)
        seen = run(recipe_file, folder)
        assert [s for s in STAGES if f"\n{s}: " in f"\n{seen}"] == ran
    assert results(folder) == results(finished[0])
    weights = [Paths(of).model / "model.safetensors" for of in (folder, finished[0])]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_removed_encoder_is_made_again_for_the_scores_that_are_to_be_read_of_it(finished, recipe_file, tmp_path):
    folder = shutil.copytree(finished[0], tmp_path / "r")
    for removed in (Paths(folder).prefinetuned, Paths(folder).results):
        shutil.rmtree(removed)
    seen = run(recipe_file, folder)
    assert [s for s in STAGES if f"\n{s}: " in f"\n{seen}"] == ["prefinetune", "evaluate"]
    assert results(folder) == results(finished[0])


def test_shards_of_weights_are_refused_before_any_work(recipe_file, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    recipe = load_recipe(recipe_file, [f"output={tmp_path / 'r'}"])
    with pytest.raises(OutputError, match=r"cannot save a model from such shards.*ddp.yaml"):
        pipeline.run_stage(recipe, "prefinetune", Console())
    assert not (tmp_path / "r").exists()


def test_fine_tuning_alone_waits_for_the_held_out_tasks_that_its_rows_may_not_overlap(recipe_file, tmp_path):
    mixture = f"finetune.mixture={{mine: {{kind: pairs, source: {tmp_path / 'rows.jsonl'}}}}}"
    tasks = f"evaluation.tasks={{alike: {{kind: sts, source: {tmp_path / 'pairs.jsonl'}}}}}"
    assert pipeline.needs(load_recipe(recipe_file, [mixture]), "finetune") == ["prefinetune"]
    assert pipeline.needs(load_recipe(recipe_file, [mixture, tasks]), "finetune") == ["prefinetune", "corpus"]


def test_another_base_in_the_same_folder_redoes_what_reads_it(recipe_file, tiny_model_path, tmp_path):
    base = shutil.copytree(tiny_model_path, tmp_path / "base")
    recipe = load_recipe(recipe_file, [f"encoder.base={base}", f"output={tmp_path / 'r'}"])

    def keys() -> list[str]:
        return [step.key for step in pipeline.plan(recipe, Paths(tmp_path / "r"), {})]

    before = keys()
    (base / "README.md").write_text("# What another run's report wrote\n", encoding="utf-8")
    assert keys() == before
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert [old == new for old, new in zip(before, keys(), strict=True)] == [True, *[False] * 5]


def test_another_language_makes_the_report_and_the_cards_anew_and_nothing_else(recipe_file, tmp_path):
    def keys(*overrides):
        return [step.key for step in pipeline.plan(load_recipe(recipe_file, overrides), Paths(tmp_path / "r"), {})]

    one, other = keys(), keys("language=[de]")
    assert one[:-1] == other[:-1]
    assert one[-1] != other[-1]


@pytest.mark.parametrize(
    ("llm", "said"), [([], False), (["llm.backend=openai", "llm.url=http://x", "llm.model=m"], True)]
)
def test_a_plan_says_where_the_language_models_time_is_not_in_it(recipe_file, tmp_path, llm, said):
    recipe = load_recipe(recipe_file, llm)
    steps = pipeline.plan(recipe, Paths(tmp_path / "r"), {})
    assert ("gecko-hf fret plan" in str(pipeline.plan_table(steps, {"fret": 9.0}, recipe).caption)) == said


def test_widths_that_the_base_has_not_are_refused_before_the_text_is_read(recipe_file, tmp_path):
    recipe = load_recipe(recipe_file, ["encoder.dims=[64, 8]", f"output={tmp_path / 'r'}"])
    with pytest.raises(RecipeError, match="asks for 64, but the encoder has 32"):
        pipeline.run(recipe, Console(file=io.StringIO()))
    assert not (tmp_path / "r" / "corpus").exists()


def test_widths_that_end_below_the_encoders_are_told_of_where_a_stage_is_to_train(recipe_file, tmp_path):
    seen = run(recipe_file, tmp_path / "r", "encoder.dims=[8]", "prefinetune.rows=0", "finetune.steps=1")
    assert "Add 32 to encoder.dims, or cut the vectors of the model at 8" in seen
    assert "to encoder.dims" not in run(
        recipe_file, tmp_path / "r", "encoder.dims=[32, 8]", "prefinetune.rows=0", redo=True
    )


@pytest.mark.parametrize(
    ("change", "redone"),
    [
        ("precision=bfloat16", ["prefinetune", "fret", "finetune", "evaluate", "report"]),  # all that embeds
        ("encoder.dims=[32]", ["prefinetune", "finetune", "evaluate", "report"]),  # FRet's retriever is the base
        ("encoder.max_seq_length=32", ["prefinetune", "fret", "finetune", "evaluate", "report"]),
        ("finetune.tracking=tensorboard", []),
        ("finetune.checkpoint_every=7", []),
    ],
)
def test_a_change_redoes_what_depends_on_it_and_nothing_else(recipe_file, tmp_path, change, redone):
    def keys(*overrides):
        planned = pipeline.plan(load_recipe(recipe_file, overrides), Paths(tmp_path / "r"), {})
        return {step.stage.name: step.key for step in planned}

    before, after = keys(), keys(change)
    assert [name for name in before if before[name] != after[name]] == redone


def test_processes_wait_for_the_first_as_long_as_reading_data_takes(recipe_file, tmp_path):
    """Two hours, where torch's own limit is half an hour or less; the group is made before the trainer asks for it."""
    script = (
        "import torch, torch.distributed as dist\n"
        "from accelerate import PartialState\n"
        "from rich.console import Console\n"
        "from gecko_hf import pipeline\n"
        "from gecko_hf.recipe import load_recipe\n"
        "def stop(*_, **__):\n"
        "    gloo = dist.distributed_c10d._get_default_group()._get_backend(torch.device('cpu'))\n"
        "    print('waits', gloo.options._timeout, PartialState().distributed_type)\n"
        "    raise SystemExit\n"
        "pipeline.working_in = stop\n"
        f"pipeline.run_stage(load_recipe({str(recipe_file)!r}, ['output={tmp_path / 'r'}']), 'prefinetune', Console())\n"
    )
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    child = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False,
        env=os.environ | alone | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert "waits 2:00:00 DistributedType.MULTI_CPU" in child.stdout, child.stderr  # not NO: then nobody waits


def test_a_mixtures_data_set_that_is_not_there_is_told_before_anything_is_trained(recipe_file, tmp_path):
    mixture = f"finetune.mixture={{mine: {{kind: pairs, source: {tmp_path / 'nowhere.jsonl'}}}}}"
    with pytest.raises(RecipeError, match=r"finetune\.mixture\.mine: there is no file or folder .*nowhere"):
        pipeline.run(load_recipe(recipe_file, [mixture, f"output={tmp_path / 'r'}"]), Console(file=io.StringIO()))
    assert not (tmp_path / "r" / "corpus").exists()


@pytest.mark.timeout(900)  # seven starts of Python and its libraries
def test_killed_in_every_stage_in_turn_a_run_ends_with_the_same_rows_and_scores(finished, recipe_file, tmp_path):
    folder = tmp_path / "killed"
    for stage in STAGES:
        kill_in(stage, recipe_file, folder)
        assert not (folder / "logs" / f"{stage}.json").exists()
    run(recipe_file, folder)
    assert results(folder) == results(finished[0])


def test_killed_with_another_recipe_a_stage_is_done_for_neither(finished, recipe_file, tmp_path):
    folder = tmp_path / "r"
    shutil.copytree(finished[0], folder)
    kill_in("fret", recipe_file, folder, "fret.positive=seed", "--redo")
    ran = run(recipe_file, folder, redo=True)
    assert "\nfret: " in ran
    assert results(folder) == results(finished[0])


def kill_in(stage: str, recipe_file: Path, folder: Path, *more: str) -> None:
    """Run in a process of its own until it says that this stage begins."""
    command = [sys.executable, "-m", "gecko_hf", "run", str(recipe_file), f"output={folder}", *more]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1)
    for line in child.stdout:
        if line.startswith(f"{stage}: "):
            child.send_signal(signal.SIGKILL)
            break
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL


def test_fewer_passages_than_candidates_are_refused_before_any_training(recipe_file, tmp_path):
    (tmp_path / "one.md").write_text("# One\n\nOnly a single passage stands in this file.\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"1 different passages, and every query needs 6 candidates"):
        run(recipe_file, tmp_path / "r", f"corpus.path={tmp_path / 'one.md'}")
    assert not (tmp_path / "r" / "prefinetuned").exists()


def test_a_full_disk_is_noticed_before_work(recipe_file, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(OutputError, match="0 MB free; this run needs about"):
        run(recipe_file, tmp_path / "r")


def test_on_a_full_disk_a_run_goes_on_for_which_little_is_left_to_write(finished, recipe_file, tmp_path, monkeypatch):
    folder = shutil.copytree(finished[0], tmp_path / "r")
    shutil.rmtree(Paths(folder).report)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    assert "\nreport: " in f"\n{run(recipe_file, folder)}"


def test_a_disk_that_fills_up_during_work_leaves_a_run_that_goes_on(recipe_file, tmp_path, monkeypatch, finished):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gecko_hf.fret.build.write_labels", full)
    with pytest.raises(OutputError, match=r"No space left on device\. Make room; the same command goes on"):
        run(recipe_file, tmp_path / "r")
    monkeypatch.undo()
    run(recipe_file, tmp_path / "r")
    assert results(tmp_path / "r") == results(finished[0])


def build_fret(recipe_file: Path, folder: Path, *overrides: str) -> str:
    """`gecko-hf fret build`; returns what it said."""
    command = [sys.executable, "-m", "gecko_hf", "fret", "build", str(recipe_file), f"output={folder}", *overrides]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def built(recipe_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fret") / "alone"
    return folder, build_fret(recipe_file, folder)


class TestFRetAlone:
    """`gecko-hf fret build`: the data set and its card, without a model."""

    def test_it_has_the_rows_of_a_whole_run_and_trains_nothing(self, built, finished):
        folder, seen = built
        assert results(folder, "default", "labels") == results(finished[0], "default", "labels")
        assert not Paths(folder).prefinetuned.exists()
        assert not Paths(folder).model.exists()
        assert f'load_dataset("{folder}/fret")' in seen.replace("\n", "")

    def test_its_card_is_valid_and_a_second_call_does_nothing(self, built, recipe_file):
        folder, _ = built
        card = folder / "fret" / "README.md"
        assert "40 rows of task, query, positive and hard negative" in card.read_text(encoding="utf-8")
        before = {f: f.stat().st_mtime_ns for f in folder.rglob("*") if f.is_file()}
        assert "Nothing to do: corpus and fret" in build_fret(recipe_file, folder)
        assert {f: f.stat().st_mtime_ns for f in folder.rglob("*") if f.is_file()} == before

    def test_a_recipe_with_a_mixture_that_was_not_trained_has_its_card_too(self, built, recipe_file, tmp_path):
        folder = shutil.copytree(built[0], tmp_path / "r")
        (folder / "fret" / "README.md").unlink()
        (tmp_path / "rows.jsonl").write_text('{"query": "a", "positive": "b"}\n', encoding="utf-8")
        mixture = f"finetune.mixture={{mine: {{kind: pairs, source: {tmp_path / 'rows.jsonl'}}}}}"
        build_fret(recipe_file, folder, mixture, "--redo")
        assert (folder / "fret" / "README.md").exists()

    def test_over_a_whole_run_its_report_is_not_trusted_any_more(self, finished, recipe_file, tmp_path):
        folder = shutil.copytree(finished[0], tmp_path / "r")
        build_fret(recipe_file, folder, "fret.positive=seed", "--redo")
        assert "The positive is the seed itself;" in (folder / "fret" / "README.md").read_text(encoding="utf-8")
        with pytest.raises(HubError, match="it was not finished when its report was written"):
            open_finished(folder)
