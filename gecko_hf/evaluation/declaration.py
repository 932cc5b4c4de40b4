"""What only the person who submits knows about a model, and mteb's `ModelMeta` made from it, the weights and the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from mteb.get_tasks import get_tasks
from mteb.models.model_meta import ModelMeta
from pydantic import ValidationError

from gecko_hf.errors import SubmissionError
from gecko_hf.evaluation.evaluate import model_meta
from gecko_hf.evaluation.model import OpenModel
from gecko_hf.hub_id import may_be_hub_id
from gecko_hf.model.encoder import PACKAGED
from gecko_hf.recipe import RECIPE_FILE
from gecko_hf.schema import build

TEMPLATE = """\
license: apache-2.0
training_datasets: []        # mteb task names whose data trained the model; [] says: none
adapted_from: ORG/BASE       # the base model; what trained it counts, too
release_date: 2026-01-31
public_training_code: null   # address, or null
public_training_data: null   # address, or null
languages: [eng-Latn]
"""


@dataclass(frozen=True)
class Declaration:
    """Fields of mteb's `ModelMeta` that cannot be read off a checkpoint."""

    license: str = "not specified"
    training_datasets: list[str] | None = None
    adapted_from: str | None = None
    release_date: str | None = None
    public_training_code: str | None = None
    public_training_data: str | None = None
    languages: list[str] = field(default_factory=lambda: ["eng-Latn"])
    contacts: list[str] | None = None


def read_declaration(file: Path | None, run: Path | None) -> Declaration:
    """The declaration in a file, completed by what a run folder proves.

    Args:
        file: YAML; what it says goes before what the run says.
        run: A run folder: its base becomes `adapted_from`, mteb tasks whose data set it read (`from_run`) `training_datasets`.

    Raises:
        SubmissionError: If neither is given, or the file cannot be read.
        RecipeError: If the file has an unknown key or a wrong type.
    """
    if file is None and run is None:
        raise SubmissionError(
            f"Nothing says what the model was trained on. Give --run RUN, or --declare FILE with:\n\n{TEMPLATE}"
        )
    tree: dict[str, Any] = from_run(run) if run else {}
    if file is not None:
        if not file.is_file():
            raise SubmissionError(f"There is no file {file}. Write it like this:\n\n{TEMPLATE}")
        said = _read(file)
        proved = tree.get("training_datasets") or []
        if said.get("training_datasets") is None:  # says nothing, and not that there is none
            said.pop("training_datasets", None)
        else:  # a file cannot take back what the run proves
            said["training_datasets"] = sorted({*proved, *said["training_datasets"]})
        tree |= said
    return build(Declaration, tree, where=str(file or run))


def _read(file: Path) -> dict[str, Any]:
    """What a declaration says, each value of the right type."""
    try:
        said = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SubmissionError(f"{file} is not readable YAML: {' '.join(str(error).split())}") from error
    if not isinstance(said, dict):
        raise SubmissionError(f"{file} holds no mapping. Write it like this:\n\n{TEMPLATE}")
    if said.get("release_date") is not None:
        said["release_date"] = str(said["release_date"])  # YAML reads a date
    build(Declaration, said, where=str(file))
    return said


def from_run(run: Path) -> dict[str, Any]:
    """What a run folder proves about training data: data sets of mteb that were its corpus or a source of a mixture.

    They are known by their Hub id alone: a copy on this machine, or the same rows under another id, are not recognised.

    Raises:
        SubmissionError: If the folder is none of a run.
    """
    file = run / RECIPE_FILE
    if not file.is_file():
        raise SubmissionError(f"{run} is no run folder: it has no {RECIPE_FILE}.")
    tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not isinstance(tree, dict) or "recipe" not in tree:
        raise SubmissionError(
            f"{run} is no run folder: no run wrote its {RECIPE_FILE}. Give the folder that a run made."
        )
    recipe = tree["recipe"]
    mixed = [recipe.get(stage, {}).get("mixture", {}).values() for stage in ("prefinetune", "finetune")]
    read = {recipe["corpus"].get("path"), *(entry.get("source") for entries in mixed for entry in entries)} - {None}
    known = [t.metadata.name for t in get_tasks(exclude_superseded=False) if _path(t) in read]
    base = recipe["encoder"]["base"]
    hub = PACKAGED.get(base, base)  # by which mteb knows its training data
    on_hub = may_be_hub_id(hub) and not Path(hub).exists()
    return {"training_datasets": sorted(known), "adapted_from": hub if on_hub else None}


def _path(task: Any) -> Any:
    return task.metadata.dataset.get("path") if isinstance(task.metadata.dataset, dict) else None


def declared_meta(
    opened: OpenModel, declaration: Declaration, hub_id: str, commit: str, dims: list[int]
) -> dict[int, ModelMeta]:
    """The `ModelMeta` of a submission for every width.

    Args:
        opened: The checkpoint.
        declaration: What was declared.
        hub_id: Where it is.
        commit: At which commit.
        dims: The widths that were measured.

    Raises:
        SubmissionError: If mteb refuses a value; says which.
    """
    metas = {}
    weights = sum(p.numel() for p in opened.model.parameters())
    for dim in dims:
        meta = model_meta(opened, dim)
        values = {name: getattr(meta, name) for name in ModelMeta.model_fields} | {
            "name": hub_id,
            "revision": commit,
            "license": declaration.license,
            "training_datasets": None if declaration.training_datasets is None else set(declaration.training_datasets),
            "adapted_from": declaration.adapted_from,
            "release_date": declaration.release_date,
            "public_training_code": declaration.public_training_code,
            "public_training_data": declaration.public_training_data,
            "languages": declaration.languages,
            "contacts": declaration.contacts,
            "open_weights": True,
            "reference": f"https://huggingface.co/{hub_id}",
            "use_instructions": any(opened.model.prompts.values()),
            "memory_usage_mb": round(4 * weights / 2**20),
        }
        try:
            metas[dim] = ModelMeta(**values)
        except ValidationError as error:
            first = error.errors()[0]
            raise SubmissionError(f"mteb refuses {'.'.join(map(str, first['loc'][:1]))}: {first['msg']}.") from error
    return metas


def zero_shot(meta: ModelMeta, tasks: list[str]) -> str:
    """What may honestly be said about zero-shot: by mteb's rule, over declared training data and that of the base."""
    trained = meta.get_training_datasets()
    if trained is None:
        return "Zero-shot status unknown: no training data is declared."
    seen = sorted(trained & set(tasks))
    if seen:
        return f"Not zero-shot on {len(seen)} of {len(tasks)} tasks, by declared training data: {', '.join(seen)}."
    base = f" and of {meta.adapted_from}" if meta.adapted_from else ""
    known = f"as far as the training data of this model{base} is declared in mteb"
    return f"Zero-shot on every one of its tasks ({len(tasks)}), {known}."
