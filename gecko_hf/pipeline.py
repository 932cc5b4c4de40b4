"""The pipeline: corpus -> FRet -> model -> scores -> report, in order, skipping what is done."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from gecko_hf.corpus.fingerprint import input_state
from gecko_hf.errors import OutputError
from gecko_hf.llm.recipe import MODELS
from gecko_hf.progress import View
from gecko_hf.recipe import HELD_OUT, RETRIEVER, Recipe
from gecko_hf.run_folder import (
    Paths,
    hash_of,
    open_run_folder,
    read_record,
    remove_record,
    require_space,
    working_in,
    write_record,
)
from gecko_hf.source import model_state, state
from gecko_hf.stages.corpus import corpus_stage, require_held_out
from gecko_hf.stages.estimate import estimate, space_needed
from gecko_hf.stages.evaluate import evaluate_stage
from gecko_hf.stages.fret import fret_stage
from gecko_hf.stages.report import fret_report, report_stage
from gecko_hf.stages.requirements import check_requirements, require_base, require_sources
from gecko_hf.stages.run import Counts, Run
from gecko_hf.stages.train import finetune_stage, prefinetune_stage
from gecko_hf.training.processes import is_main, processes, sharded
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
        leaves: What of its result lies in the run folder, by its name in `Paths`.
    """

    name: str
    says: str
    run: Callable[[Run], Counts]
    depends: tuple[str, ...]
    config: Callable[[Recipe], Any]
    leaves: str


def _training(stage: StageRecipe) -> Any:
    """The block of a training stage, and the state of the local files that its mixture reads."""
    block = {key: value for key, value in asdict(stage).items() if key != "tracking"}
    if stage.average_last == 1:  # else another distance averages other weights
        del block["checkpoint_every"]
    return (block, {n: state(d.source) for n, d in stage.mixture.items() if d.source}) if stage.mixture else block


def _encoder(recipe: Recipe, keys: Collection[str] | None = None) -> Any:
    """The encoder's block, or these keys of it, and the state of the files where its base is a local folder."""
    block = {key: value for key, value in asdict(recipe.encoder).items() if keys is None or key in keys}
    files = model_state(recipe.encoder.base)
    return (block, files) if files else block


def _retriever(recipe: Recipe) -> Any:
    """What FRet's vectors depend on: the block of the retriever, or keys of the encoder's, and its files likewise."""
    if recipe.retriever is None:
        return _encoder(recipe, RETRIEVER)
    files = model_state(recipe.retriever.base)
    return (asdict(recipe.retriever), files) if files else asdict(recipe.retriever)


def _tests(recipe: Recipe) -> list[Any]:
    """The state of the test sets of `fret.quality` that are local files; nothing where there are none."""
    return [files for name in recipe.fret.quality.test_sets if (files := state(name))]


STAGES = (
    Stage(
        "corpus",
        "read the text and set the yardstick apart",
        corpus_stage,
        (),
        lambda r: (
            (r.seed, asdict(r.corpus)),
            tuple(getattr(r.evaluation, key) for key in HELD_OUT),
            {name: (asdict(task), state(str(task.source))) for name, task in r.evaluation.tasks.items()},
        ),
        "corpus",
    ),
    Stage(
        "prefinetune",
        "first training stage: pairs, or a mixture",
        prefinetune_stage,
        ("corpus",),
        # What overlaps with the test sets of `fret.quality` is left out.
        lambda r: (r.precision, _encoder(r), _training(r.prefinetune), asdict(r.fret.quality), *_tests(r)),
        "prefinetuned",
    ),
    Stage(
        "fret",
        "write queries, mine, rank and label: FRet",
        fret_stage,
        ("corpus",),
        lambda r: (
            *(_retriever(r), r.llm.identity(), asdict(r.fret)),
            *((r.precision,) if r.precision != "auto" else ()),
            *((r.judge.identity(),) if r.judge else ()),
            *_tests(r),
        ),
        "fret",
    ),
    Stage(
        "finetune",
        "second training stage: FRet, or a mixture",
        finetune_stage,
        ("prefinetune", "fret"),
        lambda r: _training(r.finetune),
        "model",
    ),
    Stage(
        "evaluate",
        "score every model at every width",
        evaluate_stage,
        ("finetune",),
        lambda r: asdict(r.evaluation),
        "results",
    ),
    Stage(
        "report",
        "cards, plots and the report page",
        report_stage,
        ("evaluate",),
        lambda r: (r.name, *r.language),
        "report",
    ),
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
    # What a person has removed is made again; the pre-finetuned encoder only where a stage is to read it.
    gone = {stage.name for stage in STAGES if not getattr(paths, stage.leaves).exists()}
    todo = gone | {step.stage.name for step in steps if not step.record}
    if not todo & ({"finetune"} | ({"evaluate"} if recipe.evaluation.prefinetuned else set())):
        gone.discard("prefinetune")
    return [replace(step, record=None) if step.stage.name in gone else step for step in steps]


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
    require_base(recipe)
    inputs = input_state(recipe.corpus)
    with working_in(recipe, redo=redo) as paths:
        steps = [step for step in plan(recipe, paths, inputs) if step.stage.name in _leading_to(until)]
        _run(Run(recipe, paths, View(console)), steps)
    return paths.root


def _run(job: Run, steps: list[Step]) -> None:
    """Do what is to do of these steps, after the plan has been shown."""
    recipe, paths, console = job.recipe, job.paths, job.view.console
    if all(step.record for step in steps):
        what = "every stage" if len(steps) == len(STAGES) else " and ".join(step.stage.name for step in steps)
        console.print(f"Nothing to do: {what} of {paths.root} is done.", soft_wrap=True, markup=False)
        return
    todo = [step.stage.name for step in steps if not step.record]
    require_sources(recipe, todo)
    if "fret" in todo:
        from gecko_hf.llm.open import probe_models

        probe_models(recipe.llm, recipe.judge, job.view.say)
    try:
        base = job.base()  # refused before any work, where it has not the widths
        if not steps[0].record:  # quick, and the plan needs its counts
            with job.view.live():
                steps[0] = _do(job, steps[0])
        retriever = None
        if "fret" in todo:
            require_held_out(job)
            retriever = job.retriever() if recipe.retriever else None  # refused early likewise
        estimates = estimate(job, base, retriever)
        require_space(paths, space_needed(job, [s.stage.name for s in steps if not s.record], base, retriever))
        width = base.get_embedding_dimension() or 0
        del base, retriever  # large ones should not lie in memory beside those of the stages
        console.print(plan_table(steps, estimates, recipe))
        for caution in _cautions(job, width, todo):
            job.view.say(caution)
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


def _cautions(job: Run, width: int, todo: Collection[str]) -> Iterator[str]:
    """What a person may not have meant, though it can be done."""
    if "finetune" in todo and width > (widest := max(job.recipe.encoder.dims)):
        yield (
            f"The encoder has {width} dimensions, and encoder.dims ends at {widest}: those beyond are not trained. Add {width} "
            f"to encoder.dims, or cut the vectors of the model at {widest} (truncate_dim={widest})."
        )
    if "fret" in todo and (bare := job.bare_retriever()):
        yield (
            f"{bare} fetches FRet's candidates, and nobody has trained it to embed: they may have little to do with the queries. "
            "retriever.base=ID names an embedding model for that."
        )


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
        OutputError: If a stage that this one reads from is not done, or the weights would be in shards.
        GeckoError: For anything else that the user can mend.
    """
    from gecko_hf.training.arguments import join_processes

    if sharded():
        raise OutputError(
            "accelerate launch was told to spread the weights (FSDP), and sentence-transformers cannot save a model from such "
            "shards. Launch with a whole model in each process: --config_file recipes/accelerate/ddp.yaml"
        )
    check_requirements(recipe)
    require_base(recipe)
    with ExitStack() as held:
        with join_processes().main_process_first():
            # One process holds the folder for all.
            paths = (
                held.enter_context(working_in(recipe, redo=redo)) if is_main() else open_run_folder(recipe, redo=redo)
            )
            steps = {step.stage.name: step for step in plan(recipe, paths, input_state(recipe.corpus))}
        step = steps[name]
        if step.record:
            console.print(f"Nothing to do: {name} of {paths.root} is done.", soft_wrap=True, markup=False)
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


def write_fret_report(recipe: Recipe, paths: Paths) -> None:
    """Write summary and card of a FRet that has no report of a whole run; one that there was is not trusted any more."""
    remove_record(paths, "report")
    fret_report(recipe, paths)


def needs(recipe: Recipe, name: str) -> list[str]:
    """The stages whose results a training stage of this recipe reads: a mixture of other sources reads no corpus."""
    tests = bool(recipe.evaluation.tasks)  # which no training row may overlap
    if name == "prefinetune":
        return [] if recipe.prefinetune.mixture and not (recipe.prefinetune.evaluate_every or tests) else ["corpus"]
    mixture = recipe.finetune.mixture
    own = not mixture or any(entry.is_own_fret for entry in mixture.values())
    corpus = ["corpus", "fret"] if own or recipe.finetune.evaluate_every else ["corpus"] if tests else []
    return ["prefinetune", *corpus]


def _do(job: Run, step: Step, *, record: bool = True) -> Step:
    """Run one stage and mark it as done."""
    start = time.monotonic()
    job.key = step.key
    if record:
        remove_record(job.paths, step.stage.name)  # of another recipe perhaps, whose result is now overwritten
    job.view.say(Text.assemble((step.stage.name, "bold"), f": {step.stage.says}"))
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
    table = Table(title=escape(f"Plan of {recipe.folder}"), title_justify="left", caption_justify="left")
    for column in ("stage", "what", "state", "estimate"):
        table.add_column(column, justify="right" if column == "estimate" else "left")
    for step in steps:
        seconds = estimates.get(step.stage.name)
        state = f"done: {counts_text(step.record['counts'])}" if step.record else "to do"
        table.add_row(step.stage.name, step.stage.says, state, "" if step.record or not seconds else f"{seconds:.0f} s")
    todo = [step.stage.name for step in steps if not step.record]
    total = sum(estimates.get(name, 0) for name in todo)
    table.caption = f"About {total / 60:.0f} minutes on this machine, from a short timing of the base on this text."
    if "fret" in todo and any(llm.backend in MODELS for llm in recipe.llms):
        table.caption += "\nWithout the language model's own time: gecko-hf fret plan computes that."
    return table
