"""The pipeline: corpus -> FRet -> model -> scores -> report, in order, skipping what is done."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gecko_hf.corpus.fingerprint import input_state
from gecko_hf.errors import OutputError
from gecko_hf.progress import View
from gecko_hf.recipe import Recipe
from gecko_hf.run_folder import Paths, hash_of, open_run_folder, read_record, remove_record, require_space, write_record
from gecko_hf.source import pinned, state
from gecko_hf.stages.corpus import corpus_stage
from gecko_hf.stages.estimate import estimate, space_needed
from gecko_hf.stages.evaluate import evaluate_stage
from gecko_hf.stages.fret import fret_stage
from gecko_hf.stages.report import report_stage
from gecko_hf.stages.run import Counts, Run
from gecko_hf.stages.train import finetune_stage, prefinetune_stage
from gecko_hf.training.processes import is_main, processes
from gecko_hf.training.recipe import StageRecipe


@dataclass(frozen=True)
class Stage:
    """One arrow.

    Attributes:
        name: Its name in `logs/` and in the plan.
        says: What it does, in a few words.
        run: The work.
        depends: Names of the stages whose results it reads.
        config: The part of the recipe that its result depends on.
    """

    name: str
    says: str
    run: Callable[[Run], Counts]
    depends: tuple[str, ...]
    config: Callable[[Recipe], Any]


def _training(stage: StageRecipe) -> Any:
    """The block of a training stage, and the state of the local files that its mixture reads."""
    block = asdict(stage)
    return (block, {n: state(d.source) for n, d in stage.mixture.items() if d.source}) if stage.mixture else block


def _encoder(recipe: Recipe) -> Any:
    """The encoder's block, and the state of the files where its base is a local folder."""
    block = asdict(recipe.encoder)
    files = state(recipe.encoder.base)
    return (block, files) if files else block


STAGES = (
    Stage(
        "corpus",
        "read the text and set the yardstick apart",
        corpus_stage,
        (),
        lambda r: (
            (r.seed, asdict(r.corpus)),
            tuple(getattr(r.evaluation, key) for key in ("yardstick", "held_out", "held_out_most", "dev_share")),
            {name: (asdict(task), state(str(task.source))) for name, task in r.evaluation.tasks.items()},
        ),
    ),
    Stage(
        "prefinetune",
        "first training stage: pairs, or a mixture",
        prefinetune_stage,
        ("corpus",),
        # What overlaps with the test sets of `fret.quality` is left out.
        lambda r: (r.precision, _encoder(r), _training(r.prefinetune), asdict(r.fret.quality)),
    ),
    Stage(
        "fret",
        "write queries, mine, rank and label: FRet",
        fret_stage,
        ("corpus",),
        lambda r: (_encoder(r), r.llm.identity(), asdict(r.fret), *((r.judge.identity(),) if r.judge else ())),
    ),
    Stage(
        "finetune",
        "second training stage: FRet, or a mixture",
        finetune_stage,
        ("prefinetune", "fret"),
        lambda r: _training(r.finetune),
    ),
    Stage(
        "evaluate",
        "score every model at every width",
        evaluate_stage,
        ("finetune",),
        lambda r: asdict(r.evaluation),
    ),
    Stage("report", "cards, plots and the report page", report_stage, ("evaluate",), lambda r: r.name),
)


@dataclass(frozen=True)
class Step:
    """A stage of one plan: its key, and the record of an earlier run that still holds."""

    stage: Stage
    key: str
    record: dict[str, Any] | None


def plan(recipe: Recipe, paths: Paths, inputs: dict[str, Any]) -> list[Step]:
    """What a run would do: every stage with its key, and whether it is done.

    Args:
        recipe: What would run.
        paths: Where.
        inputs: The state of the input, as `input_state` tells it.
    """
    keys: dict[str, str] = {}
    steps = []
    for stage in STAGES:
        before: list[Any] = [keys[name] for name in stage.depends] or [inputs]
        keys[stage.name] = hash_of([stage.name, before, stage.config(recipe)])
        record = read_record(paths, stage.name)
        steps.append(Step(stage, keys[stage.name], record if record and record["key"] == keys[stage.name] else None))
    return steps


def run(recipe: Recipe, console: Console, *, redo: bool = False, until: str = STAGES[-1].name) -> Path:
    """Run a recipe; stages that are done are skipped.

    Args:
        recipe: What to run.
        console: Where to show plan and progress.
        redo: Whether the run folder may hold an older version of the recipe.
        until: The stage to run, with those that it depends on; `gecko-hf run` does them all.

    Returns:
        The run folder.

    Raises:
        GeckoError: For anything that the user can mend; nothing is lost, the same command goes on.
    """
    if processes() > 1:
        raise OutputError(
            f"{processes()} processes run the whole recipe at once. Under accelerate launch run one training stage: "
            "accelerate launch -m gecko_hf finetune RECIPE"
        )
    check_requirements(recipe)
    inputs = input_state(recipe.corpus)
    paths = open_run_folder(recipe, redo=redo)
    job = Run(recipe, paths, View(console))
    wanted = _leading_to(until)
    steps = [step for step in plan(recipe, paths, inputs) if step.stage.name in wanted]
    if all(step.record for step in steps):
        what = "every stage" if len(steps) == len(STAGES) else " and ".join(wanted)
        console.print(f"Nothing to do: {what} of {paths.root} is done.", soft_wrap=True)
        return paths.root
    _require_sources(recipe, [step.stage.name for step in steps if not step.record])
    if any(step.stage.name == "fret" and not step.record for step in steps):
        from gecko_hf.llm.open import probe_endpoints

        probe_endpoints(recipe.llm, recipe.judge, lambda line: console.print(line, highlight=False, soft_wrap=True))
    try:
        if not steps[0].record:  # quick, and the plan needs its counts
            with job.view.live():
                steps[0] = _do(job, steps[0])
        estimates = estimate(job)
        require_space(paths, space_needed(job))
        console.print(plan_table(steps, estimates, recipe))
        with job.view.live():
            for i, step in enumerate(steps):
                if not step.record:
                    steps[i] = _do(job, step)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        raise OutputError(
            f"{paths.root} cannot be written any more: {error.strerror}. Make room; the same command goes on from here."
        ) from error
    return paths.root


def _leading_to(name: str) -> list[str]:
    """A stage and those whose results it needs, in their order."""
    needed = {name}
    for stage in reversed(STAGES):
        if stage.name in needed:
            needed |= {*stage.depends}
    return [stage.name for stage in STAGES if stage.name in needed]


def ensure_corpus(recipe: Recipe, paths: Paths, inputs: dict[str, Any], console: Console) -> Run:
    """A run whose corpus is on disk, read now where it was not.

    Args:
        recipe: What would run.
        paths: Where.
        inputs: The state of the input, as `input_state` tells it.
        console: Where to show progress.
    """
    job = Run(recipe, paths, View(console))
    first = plan(recipe, paths, inputs)[0]
    if not first.record:
        with job.view.live():
            _do(job, first)
    return job


def run_stage(recipe: Recipe, name: str, console: Console, *, redo: bool = False) -> Path:
    """Run one training stage; the same call in every process of `accelerate launch`.

    Args:
        recipe: What to run.
        name: `prefinetune` or `finetune`.
        console: Where the first process shows progress.
        redo: Whether the run folder may hold an older version of the recipe.

    Returns:
        The run folder.

    Raises:
        OutputError: If a stage that this one reads from is not done.
        GeckoError: For anything else that the user can mend.
    """
    from gecko_hf.training.arguments import join_processes

    check_requirements(recipe)
    with join_processes().main_process_first():
        paths = open_run_folder(recipe, redo=redo)
        steps = {step.stage.name: step for step in plan(recipe, paths, input_state(recipe.corpus))}
    step = steps[name]
    if step.record:
        console.print(f"Nothing to do: {name} of {paths.root} is done.")
        return paths.root
    for before in needs(recipe, name):
        if not steps[before].record:
            raise OutputError(
                f"{name} reads what {before} writes, and {before} of {paths.root} is not done. Run it first."
            )
    job = Run(recipe, paths, View(console))
    with job.view.live():
        _do(job, step, record=is_main())
    return paths.root


def needs(recipe: Recipe, name: str) -> list[str]:
    """The stages whose results a training stage of this recipe reads: a mixture of other sources reads no corpus."""
    tests = bool(recipe.evaluation.tasks)  # which no training row may overlap
    if name == "prefinetune":
        return [] if recipe.prefinetune.mixture and not (recipe.prefinetune.evaluate_every or tests) else ["corpus"]
    mixture = recipe.finetune.mixture
    own = not mixture or any(entry.is_own_fret for entry in mixture.values())
    return ["prefinetune", *(["corpus", "fret"] if own or recipe.finetune.evaluate_every else [])]


def check_requirements(recipe: Recipe) -> None:
    """Refuse what is missing before any work: packages of the corpus, the base encoder's package."""
    from gecko_hf.errors import require
    from gecko_hf.model.encoder import resolve_base

    resolve_base(recipe.encoder.base)
    if recipe.corpus.source == "docstrings":
        for package in recipe.corpus.packages:
            require(package, "quickstart")


def _require_sources(recipe: Recipe, todo: list[str]) -> None:
    """Refuse a mixture's data set that is not there: hours of other stages should not end at it."""
    for name in ("prefinetune", "finetune"):
        if name in todo:
            for entry, block in getattr(recipe, name).mixture.items():
                if block.source is not None:
                    pinned(block, block.source, f"{name}.mixture.{entry}")


def _do(job: Run, step: Step, *, record: bool = True) -> Step:
    """Run one stage and mark it as done."""
    start = time.monotonic()
    job.key = step.key
    if record:
        remove_record(job.paths, step.stage.name)  # of another recipe perhaps, whose result is now overwritten
    job.view.say(f"[bold]{step.stage.name}[/bold]: {step.stage.says}")
    counts = step.stage.run(job)
    seconds = time.monotonic() - start
    if record:
        write_record(job.paths, step.stage.name, step.key, seconds, counts)
    job.view.say(f"  done in {seconds:.0f} s: {counts_text(counts)}")
    return Step(step.stage, step.key, read_record(job.paths, step.stage.name))


def counts_text(counts: dict[str, Any]) -> str:
    """`passages 10,166, merged 24`."""
    return ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in counts.items())


def plan_table(steps: list[Step], estimates: dict[str, float], recipe: Recipe) -> Table:
    """The plan as a table: what is done, what will be done, and how long it may take."""
    table = Table(title=f"Plan of {recipe.folder}", title_justify="left", caption_justify="left")
    for column in ("stage", "what", "state", "estimate"):
        table.add_column(column, justify="right" if column == "estimate" else "left")
    for step in steps:
        seconds = estimates.get(step.stage.name)
        state = f"done: {counts_text(step.record['counts'])}" if step.record else "to do"
        table.add_row(step.stage.name, step.stage.says, state, "" if step.record or not seconds else f"{seconds:.0f} s")
    total = sum(estimates.get(s.stage.name, 0) for s in steps if not s.record)
    table.caption = f"About {total / 60:.0f} minutes on this machine, from a short timing of its processor."
    return table
