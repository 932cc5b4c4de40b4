"""Push the parts of a finished run: FRet as a data set, the encoder as a model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gecko_hf.errors import HubError
from gecko_hf.hub.cards import fret_card, model_card
from gecko_hf.hub.check import check_loads_anywhere
from gecko_hf.hub.data_info import CONFIGS
from gecko_hf.hub.facts import learns_from_fret
from gecko_hf.hub.provenance import (
    Pushed,
    content_hash,
    fret_provenance,
    model_provenance,
    read_pushed,
    write_pushed,
)
from gecko_hf.hub.publish import CARD, NAMES, PROVENANCE, Content, Publisher, Target, declared_licence
from gecko_hf.hub.shards import shards
from gecko_hf.hub.summary import outdated, read_summary
from gecko_hf.hub.task_chart import TASKS_CHART, draw_tasks
from gecko_hf.run_folder import Paths, read_record

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Say = Callable[[str], None]
PARTS = {"fret": "data set", "model": "model"}


@dataclass(frozen=True)
class FinishedRun:
    """A run folder with everything that a push needs."""

    paths: Paths
    summary: dict[str, Any]


def open_finished(folder: Path) -> FinishedRun:
    """A run folder whose last stage is done, and whose summary tells of what lies there now.

    Raises:
        HubError: If it is none, or a stage ran again since.
    """
    run = open_fret(folder)
    if not (run.paths.report / "report.html").exists() or not run.paths.model.is_dir():
        raise HubError(f"{folder} is no finished run: it has no report. Finish it first: gecko-hf run {folder}")
    stale = outdated(run.summary, run.paths)
    if stale or read_record(run.paths, "report") is None:
        what = f"{stale[0]} ran again, or is not done, since" if stale else "it was not finished when"
        raise HubError(f"{folder}: {what} its report was written. Finish it first: gecko-hf run {folder}")
    return run


def open_fret(folder: Path) -> FinishedRun:
    """A run folder whose FRet has a card, from a whole run or from `gecko-hf fret build`.

    Raises:
        HubError: If it is none, or its FRet is not the one that the card tells of.
    """
    paths = Paths(folder)
    summary = read_summary(paths)
    if summary is None or not paths.fret.is_dir():
        raise HubError(f"{folder} is no finished run: it has no report. Finish it first: gecko-hf run {folder}")
    if stale := outdated(summary, paths, ("corpus", "fret")):
        raise HubError(
            f"{folder}: {stale[0]} ran again, or is not done, since its summary was written. Finish it first: "
            f"gecko-hf fret build {folder}, or gecko-hf run {folder}"
        )
    return FinishedRun(paths, summary)


def push_fret(run: FinishedRun, api: HfApi, target: Target, say: Say, licence: str | None = None) -> Pushed:
    """Push the FRet data set with its card and provenance.

    Args:
        run: What to push.
        api: A client that may write.
        target: Where to.
        say: Called with lines about what is done.
        licence: The licence that the card declares; by default that of the card on the Hub.

    Raises:
        HubError: If the Hub refuses, or holds something else under this name; nothing of it was changed then.
    """
    with tempfile.TemporaryDirectory(dir=run.paths.root, prefix=".shards-") as work:
        files: dict[str, Content] = {}
        for config in CONFIGS:
            files |= shards(config, run.paths.fret, Path(work))
        card = fret_card(run.summary, run.paths, target.id, licence or _kept_licence(api, target, say)).encode()
        files[PROVENANCE] = fret_provenance(run.summary, run.paths, files, card)
        files[CARD] = card
        return publish(run, "fret", Publisher(api, target, files), content_of(run, "fret"), say)


def push_model(run: FinishedRun, api: HfApi, target: Target, say: Say, licence: str | None = None) -> Pushed:
    """Push the encoder with its card and provenance; they name the data set's commit if that was pushed before.

    Args:
        run: What to push.
        api: A client that may write.
        target: Where to.
        say: Called with lines about what is done.
        licence: The licence that the card declares; by default that of the card on the Hub.

    Raises:
        HubError: If the Hub refuses, or holds something else under this name; nothing of it was changed then.
    """
    fret = _pushed_fret(run, say) if learns_from_fret(run.summary["recipe"]) else None
    files: dict[str, Content] = {
        file.relative_to(run.paths.model).as_posix(): file
        for file in sorted(run.paths.model.rglob("*"))
        if file.is_file() and file.name != CARD and not _hidden(file.relative_to(run.paths.model))
    }
    files["scores.svg"] = run.paths.report / "scores.svg"
    if draw_tasks(run.summary["task_scores"], run.paths.report / TASKS_CHART):  # older reports have none
        files[TASKS_CHART] = run.paths.report / TASKS_CHART
    card = model_card(run.summary, run.paths, target.id, fret, licence or _kept_licence(api, target, say)).encode()
    files[PROVENANCE] = model_provenance(run.summary, files, card, fret)
    files[CARD] = card
    publisher = Publisher(api, target, files)
    if publisher.difference.send:
        say("Loading it in a fresh process without gecko_hf, to compare its vectors ...")
        say(f"Equal with each of its {check_loads_anywhere(run.paths.model)} prompts.")
    return publish(run, "model", publisher, content_of(run, "model"), say)


def _hidden(path: Path) -> bool:
    """Whether a program left a file there for itself: an editor, a file manager, an export that was killed."""
    return any(part.startswith((".", "__pycache__")) for part in path.parts)


def _pushed_fret(run: FinishedRun, say: Say) -> Pushed | None:
    """Where the data set that this model learned from was pushed."""
    fret = pushed_part(run, "fret")
    if fret is None:
        say(
            "The data set of this run is not on the Hub, so the model's card cannot link to it. First: "
            f"gecko-hf push fret {run.paths.root} OWNER/NAME"
        )
    return fret


def content_of(run: FinishedRun, part: str) -> str:
    """The hash of what a part of a run (`fret` or `model`) consists of now."""
    folder, pattern = {"fret": (run.paths.fret, "*.parquet"), "model": (run.paths.model, "*.safetensors")}[part]
    return content_hash(folder, pattern)


def pushed_part(run: FinishedRun, part: str) -> Pushed | None:
    """Where a part of a run (`fret` or `model`) was pushed, as it is now; None if it was not.

    Raises:
        HubError: If it has changed since.
    """
    pushed = read_pushed(run.paths.root, part)
    if pushed and pushed.content != content_of(run, part):
        raise HubError(
            f"The {PARTS[part]} of {run.paths.root} has changed since it was pushed. First: "
            f"gecko-hf push {part} {run.paths.root} {pushed.id}"
        )
    return pushed


def _kept_licence(api: HfApi, target: Target, say: Say) -> str | None:
    """The licence that the card on the Hub declares: a push that names none does not take it back."""
    licence = declared_licence(api, target)
    if licence:
        say(f"Licence: {licence}, which the card of {target.id} declares; --license changes it.")
    return licence


def publish(run: FinishedRun, part: str, publisher: Publisher, content: str, say: Say) -> Pushed:
    """Push what a publisher has compared, say what was done, and remember it in the run folder."""
    target, before = publisher.target, publisher.head
    state = f"at {before[:12]}" if before else "new"
    say(f"{NAMES[target.kind]} {target.id} ({state}): {publisher.difference}")
    commit = publisher.push()
    pushed = Pushed(target.id, commit, content)
    write_pushed(run.paths.root, part, pushed)  # at once: it is there, whatever comes of the rest
    publisher.finish(commit)
    verb = "holds all of it already" if commit == before else "holds all of it now"
    say(f"{target.id} {verb}: commit {commit}, {'private' if publisher.private else 'public'}")
    return pushed
