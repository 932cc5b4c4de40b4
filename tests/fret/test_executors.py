"""The same rows wherever the steps run, and however often they are stopped."""

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from rich.console import Console

from gecko_hf import pipeline
from gecko_hf.corpus.fingerprint import input_state
from gecko_hf.corpus.store import read_corpus, write_corpus
from gecko_hf.errors import ExecutorError
from gecko_hf.fret import executors
from gecko_hf.fret.executors import executor_for, run_steps
from gecko_hf.fret.recipe import ExecutorRecipe
from gecko_hf.fret.steps import Step, WriteQueries
from gecko_hf.fret.work import WorkFolder
from gecko_hf.model import precision
from gecko_hf.model.vectors import VectorStore
from gecko_hf.progress import View
from gecko_hf.recipe import load_recipe
from gecko_hf.run_folder import Paths, open_run_folder
from gecko_hf.stages.corpus import corpus_stage
from gecko_hf.stages.fret import fret_stage
from gecko_hf.stages.run import Run
from gecko_hf.stages.workshop import open_workshop, publish

CONFIGS = ("default", "labels", "corpus")


@pytest.fixture(scope="module")
def build(tmp_path_factory, tiny_model_path, library_folder):
    """Runs the corpus and fret stages with some executor; returns the bytes of all that FRet is."""
    folder = tmp_path_factory.mktemp("executors")
    (folder / "recipe.yaml").write_text(
        f"corpus: {{path: '{library_folder}'}}\nencoder: {{base: '{tiny_model_path}', max_seq_length: 48, dims: [8]}}\n"
        "fret: {rows: 24, candidates: 6, part: 6}\nevaluation: {held_out: 0.2}"
    )

    def run(name, *overrides):
        recipe = load_recipe(folder, [f"output={folder / name}", *overrides])
        job = Run(recipe, open_run_folder(recipe, redo=False), View(Console(quiet=True)))
        job.key = next(
            s.key for s in pipeline.plan(recipe, job.paths, input_state(recipe.corpus)) if s.stage.name == "fret"
        )
        corpus_stage(job)
        fret_stage(job)
        assert not job.paths.fret_work.exists()
        return {
            str(f.relative_to(job.paths.fret)): f.read_bytes() for f in sorted(job.paths.fret.rglob("*")) if f.is_file()
        }

    run.folder = folder
    return run


@pytest.fixture(scope="module")
def calm(build):
    return build("calm")


def test_parts_become_files_of_the_three_configs(calm):
    parts = [f"train-{i:05d}-of-00004.parquet" for i in range(4)]
    assert list(calm) == [
        "corpus/train.parquet",
        *(f"default/{p}" for p in parts),
        *(f"labels/{p}" for p in parts),
        "set_aside.jsonl",
    ]


@pytest.mark.slow
def test_four_local_workers_give_the_same_bytes_as_one(build, calm):
    assert build("four", "executor.workers=4") == calm


@pytest.fixture(scope="module")
def ray_here():
    """Ray on this machine, with two processors and 3 GB."""
    ray = pytest.importorskip("ray", reason="pip install 'gecko-hf[ray]'")
    gb = 2**30
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000, _memory=3 * gb)
    yield ray
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("workers", [1, 4])
def test_ray_gives_the_same_bytes(build, calm, ray_here, workers):
    assert build(f"ray-{workers}", "executor.kind=ray", f"executor.workers={workers}", "executor.memory_gb=1") == calm


@pytest.mark.slow
def test_ray_without_room_for_a_task_is_an_error(build, ray_here):
    with pytest.raises(
        ExecutorError, match=r"executor\.memory_gb=64 .* no node .* \(2 CPUs, 3\.0 GB, 0 GPUs\)\. Lower them"
    ):
        build("ray-small", "executor.kind=ray", "executor.memory_gb=64")


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """`sbatch` and its kin as far as datatrove calls them: each array task runs at once, as Slurm would start it.

    A job whose dependency failed waits for ever, as Slurm has it, unless its script says otherwise; `squeue` lists it.
    """
    monkeypatch.setattr(executors, "POLL_SECONDS", 0.001)
    tools = tmp_path / "bin"
    tools.mkdir()
    scripts = {
        "sbatch": f"""
            for last; do :; done
            cd {tmp_path}; n=$(ls | grep -c 'job.*sh'); cp "$last" job$n.sh
            before=$(echo "$*" | sed -n 's/.*--dependency=afterok:\\([0-9]*\\).*/\\1/p')
            if [ -e "failed$before" ]; then
                if grep -q kill-on-invalid-dep=yes "$last"; then touch failed4$n; else touch waits4$n; fi
                SLURM_DRY=1
            fi
            to=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$last"); [ -n "$SLURM_DRY" ] && to=-1
            grep -q merge_stats "$last" && to=-1
            export SLURM_NODELIST=here RUN_OFFSET=0
            for i in $(seq 0 $to); do SLURM_ARRAY_TASK_ID=$i bash "$last" >> out 2>&1 || touch failed4$n; done
            echo "Submitted batch job 4$n"
        """,
        "srun": 'while [ "${1#-}" != "$1" ]; do [ "$1" = -n ] && shift; shift; done; exec "$@"',
        "scontrol": "echo here",
        "squeue": f'[ -e {tmp_path}/waits$3 ] && echo "$3 PENDING (DependencyNeverSatisfied)"',
    }
    for name, script in scripts.items():
        (tools / name).write_text("#!/bin/bash\n" + textwrap.dedent(script).strip() + "\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    return tmp_path


SLURM = ("executor.kind=slurm", "executor.partition=gpu", "executor.workers=2", "executor.gpus=1", "executor.cpus=4",
         "executor.memory_gb=32", "executor.setup=source /shared/env/bin/activate", "executor.sbatch={account: lab}")  # fmt: skip


def test_slurm_gets_a_chain_of_job_arrays(build, slurm, monkeypatch):
    monkeypatch.setenv("SLURM_DRY", "1")
    with pytest.raises(ExecutorError, match=r"'write queries' has ended without 4 of its 4 parts"):
        build("slurm-dry", *SLURM)
    scripts = [f.read_text() for f in sorted(slurm.glob("job*.sh")) if "merge_stats" not in f.read_text()]
    arrays = [next(line for line in s.splitlines() if "--array" in line) for s in scripts]
    assert arrays == ["#SBATCH --array=0-3%2", "#SBATCH --array=0-0%2", "#SBATCH --array=0-3%2"]
    for line in ("partition=gpu", "gpus=1", "cpus-per-task=4", "mem-per-cpu=8G", "account=lab", "time=24:00:00"):
        assert all(f"#SBATCH --{line}\n" in s for s in scripts), line
    assert all("source /shared/env/bin/activate" in s for s in scripts)
    assert all("launch_pickled_pipeline" in s and "fret-work" in s for s in scripts)


@pytest.mark.timeout(60)
def test_a_part_that_fails_on_slurm_ends_the_run_instead_of_the_jobs_that_wait_for_it(build, slurm):
    with pytest.raises(ExecutorError, match=r"'write queries' has ended without 4 of its 4 parts"):
        build("slurm-failed", *SLURM[:-2], "executor.setup=exit 1")
    assert len([*slurm.glob("failed*")]) == 3


class TestLookingForASlurmJob:
    """`squeue` answers one letter after the other: k knows the job, f fails, e lists nothing, p makes the last part first."""

    @pytest.fixture
    def look(self, tmp_path, monkeypatch):
        def look(answers):
            monkeypatch.setattr(executors, "POLL_SECONDS", 0.001)
            step, said = Never(WorkFolder(str(tmp_path / "work")), lambda: None), iter(answers)

            def squeue(command, **_):
                answer = next(said)
                if answer == "p":
                    step.work.write("never/0", b"")
                return subprocess.CompletedProcess(command, int(answer == "f"), "7 RUNNING" if answer in "kp" else "")

            monkeypatch.setattr(subprocess, "run", squeue)
            executors.wait_for(step, 1, lambda *_: None, lambda: executors.slurm_knows("7"))
            return step.done(0), "".join(said)

        return look

    @pytest.mark.parametrize("answers", ["kp", "fkp", "efkfekp"])
    def test_one_or_two_answers_without_it_do_not_end_the_wait(self, look, answers):
        assert look(answers) == (True, "")

    @pytest.mark.parametrize("answers", ["fffp", "keeep", "kfkefep"])
    def test_three_in_a_row_do(self, look, answers):
        assert look(answers) == (False, "p")


@pytest.mark.slow
def test_slurm_tasks_give_the_same_bytes(build, calm, slurm):
    assert build("slurm", *SLURM[:-2], "executor.setup=cd .") == calm


def test_hugging_face_jobs_keep_their_parts_in_remote_storage(tmp_path, passages):
    step = WriteQueries(WorkFolder("memory://bucket/run/work"), lambda: None)
    made = executor_for(step, 7, ExecutorRecipe(kind="jobs", workers=3, flavor="cpu-upgrade", install=["gecko-hf==1"]))
    assert (made.flavor, made.dependencies, made.tasks, made.workers) == ("cpu-upgrade", ["gecko-hf==1"], 7, 3)
    assert not made.logging_dir.is_local()


def test_a_job_opens_the_run_that_was_copied_to_storage(build, tmp_path, monkeypatch):
    build("published", "fret.rows=6")
    own = precision.precision_of("auto")
    paths = Paths(build.folder / "published")
    (paths.logs / "base.json").write_text("{}")
    publish(paths, "memory://bucket/published")
    other = {"float32": "bfloat16", "bfloat16": "float32"}[own]  # of another processor
    monkeypatch.setattr(precision, "precision_of", lambda choice: other if choice == "auto" else choice)
    monkeypatch.setattr(VectorStore, "compute", lambda *_: pytest.fail("the corpus was embedded again"))
    shop = open_workshop("memory://bucket/published", own)
    assert len(shop.embed_passages()) == len(shop.corpus)
    assert shop.run.paths.root != paths.root
    assert [p.id for p in shop.corpus] == [p.id for p in read_corpus(paths.corpus)]
    assert shop.recipe.rows == 6
    assert (shop.run.paths.logs / "base.json").read_text() == "{}"  # at the commit of the base that the run reads
    open_workshop.cache_clear()


class Never(Step):
    name, makes = "never", "never/{}"

    def make(self, rank, world_size):
        raise RuntimeError(f"part {rank} broke")


def test_a_step_that_breaks_says_so_with_its_own_error(tmp_path):
    steps = [(Never(WorkFolder(str(tmp_path)), lambda: None), 1)]
    with pytest.raises(RuntimeError, match="part 0 broke"):
        run_steps(steps, ExecutorRecipe(), View(Console(quiet=True)).task)


class TestKilled:
    """A process that builds FRet, killed at random moments; it needs no encoder, so it starts quickly."""

    SCRIPT = """
        import sys
        sys.path.insert(0, sys.argv[1])
        from bag_workshop import BagWorkshop, steps_of
        from gecko_hf.corpus.store import read_corpus
        from gecko_hf.fret.recipe import FRetRecipe
        from gecko_hf.fret.steps import SEEDS, write_seeds
        from gecko_hf.fret.work import WorkFolder
        from pathlib import Path
        work, corpus = WorkFolder(sys.argv[2]), read_corpus(Path(sys.argv[3]))
        shop = BagWorkshop(corpus, FRetRecipe(candidates=8, part=8))
        print("ready", flush=True)
        if not work.exists(SEEDS):
            write_seeds(work, range(len(corpus)), shop.recipe, 0)
        for step, parts in steps_of(shop, work, len(corpus)):
            for rank in range(parts):
                step(None, rank, parts)
    """

    def start(self, work, corpus):
        script = textwrap.dedent(self.SCRIPT)
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(Path(__file__).parent), str(work), str(corpus)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)])},
        )
        assert child.stdout.readline() == "ready\n"
        child.stdout.close()
        return child

    def files(self, work):
        return {
            str(f.relative_to(work)): f.read_bytes()
            for f in sorted(work.rglob("*"))
            if f.is_file() and f.suffix != ".partial"
        }

    @pytest.mark.slow
    def test_at_random_moments_the_files_end_up_the_same(self, passages, tmp_path):
        write_corpus(passages, tmp_path / "corpus")
        start = time.monotonic()
        child = self.start(tmp_path / "calm", tmp_path / "corpus")
        ready = time.monotonic()
        assert child.wait() == 0
        seconds = time.monotonic() - ready
        draw, done = random.Random(5), []
        for _ in range(20):
            work = tmp_path / "killed"
            child = self.start(work, tmp_path / "corpus")
            time.sleep(draw.uniform(0, seconds))
            child.send_signal(signal.SIGKILL)
            done.append((child.wait(), len(self.files(work))))
            if child.returncode == 0:  # it was faster: begin another build
                assert self.files(work) == self.files(tmp_path / "calm")
                shutil.rmtree(work)
        assert any(code == -signal.SIGKILL for code, _ in done), (done, seconds, start)
        child = self.start(tmp_path / "killed", tmp_path / "corpus")
        assert child.wait() == 0
        assert self.files(tmp_path / "killed") == self.files(tmp_path / "calm")
