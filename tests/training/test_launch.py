"""The commands of the two stages: in one process and two, killed and resumed, and what they refuse."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from sentence_transformers import SentenceTransformer

pytestmark = pytest.mark.slow
ENV = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
TWO_PROCESSES = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
                 "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0", "-m"]  # fmt: skip


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, tiny_model_path, library_folder, passages) -> Path:
    """Two data sets with weights in both stages; the corpus is not read."""
    folder = tmp_path_factory.mktemp("launch")
    pairs = [{"query": p.text.split(".")[0], "positive": p.text} for p in passages]
    labelled = [{"text": p.text, "label": p.id.split("-")[0]} for p in passages]
    for name, rows in (("pairs", pairs), ("labels", labelled)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    mixture = (
        f"{{pairs: {{kind: pairs, source: '{folder}/pairs.jsonl', weight: 2}}, "
        f"labels: {{kind: labels, source: '{folder}/labels.jsonl', weight: 1, negatives: own_only}}}}"
    )
    (folder / "recipe.yaml").write_text(
        f"""
precision: float32
corpus: {{path: '{library_folder}'}}
encoder: {{base: '{tiny_model_path}', max_seq_length: 48, dims: [32, 8]}}
prefinetune: {{mixture: {mixture}, batch_size: 8, learning_rate: 1e-3, steps: 2}}
finetune: {{mixture: {mixture}, batch_size: 8, learning_rate: 1e-3, epochs: 2, checkpoint_every: 2}}
""",
        encoding="utf-8",
    )
    return folder / "recipe.yaml"


def gecko(*arguments: str, launcher: tuple[str, ...] = ("-m",)) -> subprocess.CompletedProcess:
    command = [sys.executable, *launcher, "gecko_hf", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=ENV, check=False, timeout=900)


def losses(folder: Path) -> list[float]:
    return [entry["loss"] for entry in json.loads((folder / "logs" / "finetune_curve.json").read_text())]


@pytest.fixture(scope="module")
def alone(recipe, tmp_path_factory) -> Path:
    """Both stages in one process."""
    folder = tmp_path_factory.mktemp("alone") / "r"
    for stage in ("prefinetune", "finetune"):
        child = gecko(stage, str(recipe), f"output={folder}")
        assert child.returncode == 0, child.stderr
    assert "pairs: each query sees 14 negatives" in child.stdout
    return folder


def test_the_stages_leave_models_counts_and_records(alone):
    vectors = SentenceTransformer(str(alone / "model"), device="cpu").encode_query(["oven flour"])
    assert vectors.shape == (1, 32)
    assert json.loads((alone / "logs" / "finetune_mixture.json").read_text())["labels"]["rows"] == 64
    assert json.loads((alone / "logs" / "finetune.json").read_text())["counts"] == {"pairs": 64, "labels": 64}
    assert list((alone / "checkpoints").iterdir()) == []


def test_a_stage_that_is_done_is_not_run_again(alone, recipe):
    child = gecko("finetune", str(recipe), f"output={alone}")
    assert "Nothing to do: finetune" in child.stdout


@pytest.mark.parametrize("at", [4, 14, 26])
def test_killed_and_resumed_the_losses_are_those_of_an_uninterrupted_run(alone, recipe, tmp_path, at):
    folder = tmp_path / "killed"
    assert gecko("prefinetune", str(recipe), f"output={folder}").returncode == 0
    child = subprocess.Popen(
        [sys.executable, "-m", "gecko_hf", "finetune", str(recipe), f"output={folder}"],
        env=ENV,
        stdout=subprocess.DEVNULL,
    )
    while not list(folder.glob(f"checkpoints/*/checkpoint-{at}/trainer_state.json")):
        assert child.poll() is None, "it ended before it was killed"
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert gecko("finetune", str(recipe), f"output={folder}").returncode == 0
    assert losses(folder) == pytest.approx(losses(alone), abs=1e-6)


@pytest.fixture(scope="module")
def together(recipe, tmp_path_factory) -> tuple[Path, str]:
    """Both stages in two processes, and what the second stage said."""
    folder = tmp_path_factory.mktemp("together") / "two"
    for stage in ("prefinetune", "finetune"):
        child = gecko(stage, str(recipe), f"output={folder}", launcher=tuple(TWO_PROCESSES))
        assert child.returncode == 0, child.stderr[-4000:]
    return folder, " ".join(child.stdout.split())


def test_two_processes_train_one_model(alone, together):
    folder, said = together
    assert re.search(r"pairs: each query sees 30 negatives: 15 in-batch, 15 same-tower, 0 hard; 16 of them", said)
    assert len(losses(folder)) == len(losses(alone)) // 2
    assert json.loads((folder / "logs" / "finetune.json").read_text())["counts"] == {"pairs": 64, "labels": 64}
    assert np.isfinite(SentenceTransformer(str(folder / "model"), device="cpu").encode_query(["oven"])).all()


@pytest.mark.parametrize("at", [4, 10])  # of 16 steps, 8 an epoch
def test_two_processes_killed_and_resumed_read_the_batches_of_an_uninterrupted_run(together, recipe, tmp_path, at):
    folder = Path(shutil.copytree(together[0], tmp_path / "killed"))
    (folder / "logs" / "finetune.json").unlink()
    child = subprocess.Popen(
        [sys.executable, *TWO_PROCESSES, "gecko_hf", "finetune", str(recipe), f"output={folder}"],
        env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not list(folder.glob(f"checkpoints/*/checkpoint-{at}/trainer_state.json")):
        assert child.poll() is None, "it ended before it was killed"
        time.sleep(0.005)
    # One by one: the launcher starts each process in a session of its own.
    killed = [child, *psutil.Process(child.pid).children(recursive=True)]
    for process in killed:
        process.kill()
    for process in killed:
        process.wait()
    assert list(folder.glob("checkpoints/*/checkpoint-*")), "it ended before it was killed"
    (folder / "logs" / "finetune_curve.json").unlink()
    again = gecko("finetune", str(recipe), f"output={folder}", launcher=tuple(TWO_PROCESSES))
    assert again.returncode == 0, again.stderr[-4000:]
    assert losses(folder) == pytest.approx(losses(together[0]), abs=1e-5)


def test_what_a_stage_needs_is_named(recipe, tmp_path):
    child = gecko("finetune", str(recipe), f"output={tmp_path / 'r'}")
    assert child.returncode == 2
    assert "finetune reads what prefinetune writes" in " ".join(child.stderr.split())
    child = subprocess.run(
        [sys.executable, "-m", "gecko_hf", "run", str(recipe), f"output={tmp_path / 'r'}"],
        capture_output=True, text=True, env=ENV | {"WORLD_SIZE": "2", "RANK": "1"}, check=False,
    )  # fmt: skip
    assert child.returncode == 2
    assert "Under accelerate launch run one training stage" in " ".join(child.stderr.split())
