"""One block of a `mixture`: a data set, how its rows become training rows, and how often it is drawn."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Literal

from gecko_hf.errors import RecipeError
from gecko_hf.schema import number
from gecko_hf.source_recipe import SourceRecipe, check_columns
from gecko_hf.training.converters import KINDS

MOST_NEGATIVES = 16
REREAD = ("kind", "of", "tasks", "rows", "learn", "keep", "weight")  # what a set of that kind has
NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_-]*")
# The losses of a mixture become parts of one torch module, under the names of their sets; these it has already.
TAKEN = frozenset(
    "T_destination add_module append apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches eval "
    "extend extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half insert ipu load_state_dict "
    "modules mtia named_buffers named_children named_modules named_parameters parameters pop register_backward_hook "
    "register_buffer register_forward_hook register_forward_pre_hook register_full_backward_hook "
    "register_full_backward_pre_hook register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module "
    "register_parameter register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_extra_state "
    "set_submodule share_memory smart_apply state_dict to to_empty train training type xpu zero_grad".split()
)
Kind = Literal["fret", "pairs", "passages", "hotpotqa", "fever", "medmcqa", "nli", "labels", "reread"]


@dataclass(frozen=True)
class DataRecipe(SourceRecipe):
    """A data set of a mixture.

    Attributes:
        kind: How it is read (`converters.py`); `fret` without a source is the FRet of this run. `reread` has no source: it reads
            queries of other sets again, under the prompts of `tasks` (`reread.py`).
        of: Whose queries those are.
        tasks: Task -> share of the rows that read their texts under it.
        task: What stands after `task:`; the kind's own task by default.
        symmetric: Whether documents are read as queries too; the kind's own by default.
        negatives: Whether other rows of a batch are negatives, or only the row's own.
        positives: Whether a text attracts its row's positive alone, as in eq. (3), or all texts of a batch that share its label
            (supervised contrastive learning; Khosla et al. 2020, arXiv 2004.11362). The latter is for `labels`, and has neither
            hard negatives nor unique ids.
        hard_negatives: How many a row has; rows with fewer are set aside. The kind's own number by default.
        scores: Whether a teacher's scores are read from the role `scores`: of the positive, then of each negative.
        unique_id: Whether the texts of a row of `labels` carry an id of their own, as in the paper; without it, let a row
            compete with its own negative alone.
        learn: Weight of eq. (3), or of what stands in its place.
        keep: Weight of the distance from the untouched base, which reads the same texts without prompts (Li & Hoiem 2016, arXiv
            1606.09282, learning without forgetting): what it could is kept under the new prompts and in narrow vectors.
        weight: Share of the steps, relative to the other data sets; without any, by the number of rows.
    """

    kind: Kind = "pairs"
    of: list[str] = field(default_factory=list)
    tasks: dict[str, float] = field(default_factory=dict)
    task: str | None = None
    symmetric: bool | None = None
    negatives: Literal["in_batch", "own_only"] = "in_batch"
    positives: Literal["own", "label"] = "own"
    hard_negatives: int | None = None
    scores: bool = False
    unique_id: bool = True
    learn: float = number(1.0, low=0.0)
    keep: float = number(0.0, low=0.0)
    weight: float | None = None

    @property
    def has_ids(self) -> bool:
        """Whether the texts of its rows carry a unique id."""
        return self.kind == "labels" and self.unique_id and self.positives == "own"

    @property
    def is_own_fret(self) -> bool:
        """Whether it is the FRet of this run."""
        return self.kind == "fret" and self.source is None


def check_mixture(mixture: dict[str, DataRecipe], where: str) -> None:
    """Refuse what can be seen to be wrong before anything is read.

    Raises:
        RecipeError: For a data set without a source, some weights but not all, a weight that is not positive, a name that cannot
            be one, a column that would not be read, or scores of rows without hard negatives.
    """
    for name, entry in mixture.items():
        if not NAME.fullmatch(name) or name in TAKEN:
            why = "PyTorch uses that name itself" if name in TAKEN else "a name is made of letters, digits, - and _"
            raise RecipeError(f"{where}: a data set is called {name!r}, and {why}. Call it otherwise.")
        _check_columns(entry, f"{where}.{name}")
        _check_reread(mixture, name, where)
        if entry.source is None and entry.kind not in ("fret", "reread"):
            raise RecipeError(f"{where}.{name}.source is missing. Name a file, a folder or a Hub data set id.")
        if entry.weight is not None and entry.weight <= 0:
            raise RecipeError(f"{where}.{name}.weight is {entry.weight}; it must be positive. Leave the data set out.")
        if entry.hard_negatives is not None and not 0 <= entry.hard_negatives <= MOST_NEGATIVES:
            raise RecipeError(f"{where}.{name}.hard_negatives is {entry.hard_negatives}; give 0 to {MOST_NEGATIVES}.")
        if entry.negatives == "own_only" and entry.hard_negatives == 0:
            raise RecipeError(f"{where}.{name} has neither in-batch nor hard negatives, so it teaches nothing.")
        if entry.scores:
            _check_scores(entry, f"{where}.{name}")
        if entry.positives == "label" and (
            entry.kind != "labels" or entry.hard_negatives or entry.negatives != "in_batch"
        ):
            raise RecipeError(
                f"{where}.{name}: positives: label goes with kind: labels, in-batch negatives and no hard ones."
            )
        if not entry.learn and not entry.keep:
            raise RecipeError(f"{where}.{name} has learn 0 and keep 0, so it teaches nothing. Leave the data set out.")
    weighted = [name for name, entry in mixture.items() if entry.weight is not None]
    if weighted and len(weighted) < len(mixture):
        missing = next(name for name in mixture if name not in weighted)
        raise RecipeError(f"{where}: {weighted[0]} has a weight and {missing} has none. Give one to all or to none.")


def _check_scores(entry: DataRecipe, where: str) -> None:
    """Refuse a teacher's scores of rows that cannot carry them."""
    if entry.kind not in (able := [name for name, kind in KINDS.items() if "scores" in kind.also]):
        raise RecipeError(
            f"{where}.scores: rows of kind: {entry.kind} carry none. Those of {' and '.join(able)} can; leave scores out."
        )
    if not negatives_of(entry):
        raise RecipeError(
            f"{where}.scores: a teacher's scores tell a positive from hard negatives, and the rows have none. Set "
            "hard_negatives: 1, or leave scores out."
        )
    if entry.keep:
        raise RecipeError(f"{where}: a row carries a teacher's scores or the base's vectors. Choose scores or keep.")


def _check_columns(entry: DataRecipe, where: str) -> None:
    """Refuse a column that the kind does not read, or of negatives where it has none of its own accord and no number is given."""
    if kind := KINDS.get(entry.kind):
        check_columns(entry, entry.kind, (*kind.columns, *kind.also), where)
    role = next((r for r in ("negative", "negative_passages") if r in entry.columns), None)
    if role and entry.kind in KINDS and entry.hard_negatives is None and not negatives_of(entry):
        raise RecipeError(
            f"{where}.columns names a column for {role}, and kind: {entry.kind} reads no hard negatives unless it is told how "
            "many. Set hard_negatives: 1, or leave the column out."
        )


def _check_reread(mixture: dict[str, DataRecipe], name: str, where: str) -> None:
    """Refuse a set that reads others again but teaches, or that names no set that is there."""
    entry = mixture[name]
    if entry.kind != "reread":
        if entry.of or entry.tasks:
            raise RecipeError(f"{where}.{name}: of and tasks go with kind: reread, and this is kind: {entry.kind}.")
        return
    known = [n for n, other in mixture.items() if other.kind != "reread"]
    unknown = [n for n in entry.of if n not in known]
    if unknown or not entry.of or len(set(entry.of)) < len(entry.of):
        seen = f"names {unknown[0]}, which is no set that can be read again" if unknown else f"is {entry.of}"
        raise RecipeError(f"{where}.{name}.of {seen}. Name each once, of {', '.join(known) or 'the sets beside it'}.")
    shares = entry.tasks.values()
    if not all(0 <= share < math.inf for share in shares) or not sum(shares):
        raise RecipeError(f"{where}.{name}.tasks is {entry.tasks}. Give tasks with their shares, {{search result: 1}}.")
    if entry.learn or not entry.keep:
        raise RecipeError(
            f"{where}.{name} has learn {entry.learn:g} and keep {entry.keep:g}. What is read again is only kept, for two "
            "texts of a row have nothing to do with each other: set learn: 0 and keep: 1."
        )
    plain = DataRecipe()
    names = [f.name for f in fields(entry) if f.name not in REREAD]
    if idle := [n for n in names if getattr(entry, n) != getattr(plain, n)]:
        raise RecipeError(f"{where}.{name}: {', '.join(idle)} would not be read. kind: reread has {', '.join(REREAD)}.")


def negatives_of(entry: DataRecipe) -> int:
    """How many hard negatives a row of a data set has."""
    if entry.positives == "label" or entry.kind == "reread":
        return 0
    return KINDS[entry.kind].hard if entry.hard_negatives is None else entry.hard_negatives


def steps_shares(mixture: dict[str, DataRecipe], batches: Sequence[int]) -> list[float]:
    """The share of the steps that each data set gets; they add up to 1.

    Args:
        mixture: The blocks.
        batches: How many batches each has.
    """
    weights = [n if entry.weight is None else entry.weight for entry, n in zip(mixture.values(), batches, strict=True)]
    return [w / sum(weights) for w in weights]
