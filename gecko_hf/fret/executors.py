"""Where steps run: in this process, in local processes, on Slurm, on Ray, or as Hugging Face Jobs, by datatrove's executors.

The order of steps is kept everywhere: a step starts when all parts of the one before it are there. On Slurm that is a chain of
job arrays; everything else waits here. What each task logs and counts lies under `logs/` of the work folder.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gecko_hf.errors import ExecutorError
from gecko_hf.fret.recipe import ExecutorRecipe
from gecko_hf.fret.steps import Report, Step

if TYPE_CHECKING:
    from datatrove.executor.base import PipelineExecutor

POLL_SECONDS = 1.0
GONE = 3  # ours: looks in a row that find no job before it counts as over; a busy squeue fails now and then


def run_steps(steps: Sequence[tuple[Step, int]], recipe: ExecutorRecipe, report_of: Callable[[str], Any]) -> None:
    """Run steps one after the other until all their parts are there.

    Args:
        steps: (step, number of parts) pairs.
        recipe: Where.
        report_of: Gives, for the name of a step, a context manager around a progress report.

    Raises:
        ExecutorError: If parts are missing after an executor has ended.
    """
    if recipe.kind == "slurm":
        _run_slurm(steps, recipe, report_of)
        return
    for step, parts in steps:
        with report_of(step.name) as report:
            if recipe.kind == "local" and (recipe.workers == 1 or parts == 1):
                _run_here(step, parts, report)
            else:
                with _counting(step, parts, report):
                    if recipe.kind == "ray":
                        _run_ray(step, parts, recipe)
                    else:
                        executor_for(step, parts, recipe).run()
                _require_parts(step, parts)


def executor_for(
    step: Step, parts: int, recipe: ExecutorRecipe, depends: PipelineExecutor | None = None
) -> PipelineExecutor:
    """The datatrove executor of one step.

    Args:
        step: The step.
        parts: Its number of tasks.
        recipe: Which executor, and what a task gets.
        depends: Slurm: the executor of the step before.
    """
    name = step.name.replace(" ", "-")
    common: dict[str, Any] = {
        "pipeline": [step],
        "tasks": parts,
        "workers": recipe.workers,
        "logging_dir": f"{step.work.url}/logs/{name}",
        "skip_completed": False,  # a part counts as done when its file is there, and the step looks itself
    }
    if recipe.kind == "local":
        from datatrove.executor.local import LocalPipelineExecutor

        return LocalPipelineExecutor(**common)
    if recipe.kind == "ray":
        from datatrove.executor.ray import RayPipelineExecutor

        return RayPipelineExecutor(
            **common,
            cpus_per_task=recipe.cpus,
            mem_per_cpu_gb=recipe.memory_gb / recipe.cpus,
            gpus_per_task=recipe.gpus,
        )
    if recipe.kind == "jobs":
        from datatrove.executor.jobs import JobsPipelineExecutor

        return JobsPipelineExecutor(**common, flavor=recipe.flavor, dependencies=recipe.install, job_name=name)
    from datatrove.executor.slurm import SlurmPipelineExecutor

    return SlurmPipelineExecutor(
        **common,
        time=recipe.time,
        partition=recipe.partition,
        cpus_per_task=recipe.cpus,
        mem_per_cpu_gb=-(-recipe.memory_gb // recipe.cpus),
        gpus_per_task=recipe.gpus,
        env_command=recipe.setup,
        # A part that fails leaves those that wait for it pending for ever, unless Slurm is told to end them.
        sbatch_args={"kill-on-invalid-dep": "yes", **recipe.sbatch},
        qos="",
        job_name=f"gecko-{name}",
        depends=depends,
    )


def _run_here(step: Step, parts: int, report: Report) -> None:
    step.report = report
    for rank in range(parts):
        step(None, rank, parts)


def _run_ray(step: Step, parts: int, recipe: ExecutorRecipe) -> None:
    """Run a step on Ray, if it has a node on which a task fits; datatrove would wait for ever for one.

    Raises:
        ExecutorError: If it has none.
    """
    from gecko_hf.errors import require

    require("ray", "ray")
    import ray

    if not ray.is_initialized():
        ray.init()
    needed = {"CPU": recipe.cpus, "GPU": recipe.gpus, "memory": recipe.memory_gb << 30}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(node.get(what, 0) >= amount for what, amount in needed.items()) for node in nodes):
        has = "; ".join(
            f"{node.get('CPU', 0):g} CPUs, {node.get('memory', 0) / 2**30:.1f} GB, {node.get('GPU', 0):g} GPUs"
            for node in nodes
        )
        raise ExecutorError(
            f"A task needs executor.cpus={recipe.cpus}, executor.memory_gb={recipe.memory_gb} and executor.gpus={recipe.gpus}, "
            f"and no node of the Ray cluster has that ({has}). Lower them, or, if the cluster grows by itself, have it start "
            "such a node first."
        )
    with warnings.catch_warnings():
        # Of how datatrove names a placement group. Where warnings are errors its thread would end and the run wait for ever.
        warnings.filterwarnings("ignore", "placement_group.* parameter is deprecated", DeprecationWarning)
        executor_for(step, parts, recipe).run()


def _run_slurm(steps: Sequence[tuple[Step, int]], recipe: ExecutorRecipe, report_of: Callable[[str], Any]) -> None:
    """Submit the chain of job arrays, then wait for the last one's parts."""
    before = None
    for step, parts in steps:
        before = executor_for(step, parts, recipe, before)
    assert before is not None
    before.run()
    last, parts = steps[-1]
    with report_of(f"Slurm job {before.job_id}") as report:
        wait_for(last, parts, report, lambda: slurm_knows(before.job_id))
    for step, parts in steps:
        _require_parts(step, parts)


def wait_for(step: Step, parts: int, report: Report, alive: Callable[[], bool]) -> None:
    """Wait until all parts are there, or the last `GONE` looks found nothing that could make them."""
    pause = threading.Event()
    gone = 0
    while (done := sum(step.done(rank) for rank in range(parts))) < parts and gone < GONE:
        report(done, parts)
        gone = 0 if alive() else gone + 1
        pause.wait(30 * POLL_SECONDS)


def slurm_knows(job: str) -> bool:
    """Whether a Slurm job waits or runs."""
    import subprocess

    listed = subprocess.run(["squeue", "-h", "-j", job], capture_output=True, text=True, check=False)
    return listed.returncode == 0 and bool(listed.stdout.strip())


def _require_parts(step: Step, parts: int) -> None:
    missing = [rank for rank in range(parts) if not step.done(rank)]
    if missing:
        raise ExecutorError(
            f"The step {step.name!r} has ended without {len(missing)} of its {parts} parts (the first: {missing[0]}). Their logs "
            f"lie under {step.work.url}/logs; the same command makes only what is missing."
        )


@contextmanager
def _counting(step: Step, parts: int, report: Report) -> Iterator[None]:
    """Report how many parts are there while an executor works in other processes."""
    over = threading.Event()

    def count() -> None:
        while not over.wait(POLL_SECONDS):
            report(sum(step.done(rank) for rank in range(parts)), parts)

    watcher = threading.Thread(target=count, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
