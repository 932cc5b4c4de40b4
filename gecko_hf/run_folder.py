"""A run folder: where each thing lies, and what is done.

A stage is done when its record in `logs/` carries the key that the recipe gives it now. The key is a hash of the part of the
recipe that the stage depends on and of the keys of the stages before it, so a changed number redoes what follows from it
and nothing else. Records are written last and whole; a killed stage leaves none.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from gecko_hf.errors import OutputError
from gecko_hf.llm.recipe import LLMRecipe
from gecko_hf.recipe import RECIPE_FILE, Recipe, as_dict

LIBRARIES = (
    "gecko-hf", "sentence-transformers", "transformers", "torch", "datasets", "huggingface-hub", "mteb", "faiss-cpu",
    "numpy", "datasketch", "bm25s", "PyStemmer",
)  # fmt: skip


# Keys of a recipe on which nothing depends that a run makes: where it is put, where its steps run, what it may cost, where
# losses are sent, and how the language model is reached.
NO_RESULT_DEPENDS = {
    "output", "executor", "budget", "prefinetune.tracking", "finetune.tracking",
    *(
        f"{block}.{option.name}"
        for block in ("llm", "judge")
        for option in fields(LLMRecipe)
        if not option.metadata.get("rows", True)
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Paths:
    """The places in a run folder."""

    root: Path

    corpus = property(lambda self: self.root / "corpus")
    corpus_draft = property(lambda self: self.root / ".corpus.partial")
    yardstick = property(lambda self: self.root / "yardstick" / "queries.parquet")
    tasks = property(lambda self: self.root / "tasks")
    fret = property(lambda self: self.root / "fret")
    prefinetuned = property(lambda self: self.root / "prefinetuned")
    model = property(lambda self: self.root / "model")
    results = property(lambda self: self.root / "results")
    task_results = property(lambda self: self.root / "task-results")
    report = property(lambda self: self.root / "report")
    logs = property(lambda self: self.root / "logs")
    vectors = property(lambda self: self.root / "vectors")
    fret_work = property(lambda self: self.root / "fret-work")
    checkpoints = property(lambda self: self.root / "checkpoints")
    answers = property(lambda self: self.root / "answers.sqlite")


def hash_of(value: Any) -> str:
    """A hash of any JSON-able value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:32]


def write_json(value: Any, file: Path) -> None:
    """Write JSON so that a reader sees the old file or the whole new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
    partial.replace(file)


def read_record(paths: Paths, stage: str) -> dict[str, Any] | None:
    """The record of a finished stage, or None."""
    file = paths.logs / f"{stage}.json"
    if not file.exists():
        return None
    record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return record


def write_record(
    paths: Paths, stage: str, key: str, seconds: float, counts: Mapping[str, Any], made_with: Any = None
) -> None:
    """Mark a stage as done, with the environment that it was made with, by default this one: a run may go on elsewhere."""
    finished = datetime.now(UTC).isoformat(timespec="seconds")
    record = {"key": key, "seconds": round(seconds, 1), "counts": dict(counts), "finished_at": finished}
    write_json(record | {"environment": made_with or environment()}, paths.logs / f"{stage}.json")


def _is_record(file: Path) -> bool:
    """Whether a file of `logs/` is what `write_record` wrote, and not something that a stage notes on its way."""
    found = json.loads(file.read_text(encoding="utf-8"))
    return isinstance(found, dict) and "finished_at" in found


def remove_record(paths: Paths, stage: str) -> None:
    """Mark a stage as not done; what it left is not trusted, whatever the recipe."""
    (paths.logs / f"{stage}.json").unlink(missing_ok=True)


def open_run_folder(recipe: Recipe, *, redo: bool) -> Paths:
    """Make the run folder, or take the one that this recipe has; nothing is written into another recipe's.

    Args:
        recipe: What will run.
        redo: Whether a folder with another version of the recipe may be used; stages that differ run again.

    Raises:
        OutputError: If the folder belongs to another recipe, holds other things, or cannot be written.
    """
    root, wanted = recipe.folder, as_dict(recipe)
    if glob.has_magic(str(root.absolute())):
        raise OutputError(
            f"{root.absolute()} has one of * ? [ in it, and datasets, which reads the run's files, takes these for patterns. "
            "Give another folder: output=PATH"
        )
    found = _recipe_of(root)
    if found is None and root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise OutputError(f"{root} exists and is no run folder. Give another: output=runs/NEW")
    different = differences(found or {}, wanted)
    # A folder in which nothing was finished yet holds nothing to lose.
    if found and different and not redo and any(map(_is_record, (root / "logs").glob("*.json"))):
        raise OutputError(
            f"{root} belongs to another recipe; it differs in {', '.join(different[:6])}"
            f"{' and more' if len(different) > 6 else ''}. "
            "Give this run a folder of its own (output=runs/NEW), or add --redo to run the stages that differ again."
        )
    try:
        (root / "logs").mkdir(parents=True, exist_ok=True)
        if wanted != found:  # workers read it, also what no result depends on
            _write_recipe(wanted, root / RECIPE_FILE, new=bool(different))
    except OSError as error:
        raise OutputError(f"{root} cannot be written: {error.strerror}. Give another folder: output=PATH") from error
    return Paths(root)


@contextmanager
def working_in(recipe: Recipe, *, redo: bool) -> Iterator[Paths]:
    """`open_run_folder`, and until the block ends no other process may work there: two would write over each other.

    The lock ends with its process, however that ends; the file `.lock` stays and means nothing by itself.

    Raises:
        OutputError: If another process works there, and for what `open_run_folder` refuses.
    """
    root = recipe.folder
    if _recipe_of(root) is None:  # a new folder, or none that a lock may be put into
        open_run_folder(recipe, redo=redo)
    # Where nothing can be written there is nothing to lock, and a finished run can still be looked at.
    lock = FileLock(root / ".lock", blocking=False) if os.access(root, os.W_OK) else nullcontext()
    try:
        with lock:
            yield open_run_folder(recipe, redo=redo)
    except Timeout as error:
        raise OutputError(
            f"Another gecko-hf works in {root}. Wait until it ends, or give this run a folder of its own: output=runs/NEW"
        ) from error


def _recipe_of(root: Path) -> dict[str, Any] | None:
    """The recipe that a run folder was made with; None where the folder is not one."""
    file = root / RECIPE_FILE
    if not file.is_file():
        return None
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return None
    # A recipe that a person wrote has no environment: its folder is not a run's, and must not be written over.
    if not isinstance(tree, dict) or not {"recipe", "environment"} <= tree.keys():
        return None
    recipe: dict[str, Any] = tree["recipe"]
    return recipe


def _write_recipe(wanted: dict[str, Any], file: Path, *, new: bool) -> None:
    made_with = environment() if new else yaml.safe_load(file.read_text(encoding="utf-8"))["environment"]
    text = yaml.safe_dump({"recipe": wanted, "environment": made_with}, sort_keys=False, allow_unicode=True)
    partial = file.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The dotted keys in which two recipes differ, but for those on which no result depends."""
    keys = []
    for key in sorted(found.keys() | wanted.keys()):
        a, b = found.get(key), wanted.get(key)
        if f"{prefix}{key}" in NO_RESULT_DEPENDS:
            continue
        if isinstance(a, dict) and isinstance(b, dict):
            keys += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            keys.append(f"{prefix}{key}")
    return keys


def require_space(paths: Paths, needed: int) -> None:
    """Refuse to start where the disk is too full.

    Raises:
        OutputError: Naming what is needed and what is free, in MB.
    """
    free = shutil.disk_usage(paths.root).free
    if free < needed:
        raise OutputError(
            f"{paths.root} has {free / 1e6:,.0f} MB free; this run needs about {needed / 1e6:,.0f} MB. "
            "Free some, or give a folder on another disk: output=PATH"
        )


def environment() -> dict[str, Any]:
    """Versions and machine, for provenance."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "python": platform.python_version(),
        "machine": ", ".join(
            [f"{platform.system()} {platform.machine()}", _processor(), f"{os.cpu_count()} cores", *_gpus()]
        ),
        "versions": versions,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines: Sequence[str] = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


def _gpus() -> list[str]:
    """The accelerators that torch would use, `2 x GPU NVIDIA H100`; `hub.facts.energy` looks for the word."""
    import torch

    if not torch.accelerator.is_available():
        return []
    kind = torch.accelerator.current_accelerator()
    name = torch.cuda.get_device_name() if kind is not None and kind.type == "cuda" else str(kind)
    return [f"{torch.accelerator.device_count()} x GPU {name}"]
