"""The prompt report: which literal prefix mteb puts before the texts of a task, resolved before anything runs.

mteb looks for `TASK-side`, `TASK`, `TYPE-side`, `TYPE`, `side` in the model's `prompts` and sends nothing where it finds none;
sentence-transformers then falls back on names of its own and on the default prompt. `literal_prompt` is the whole chain, and
the encoder that scores (`encoder.py`) takes its prefix from the same function.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from mteb.abstasks.abstask import AbsTask
from mteb.abstasks.aggregated_task import AbsTaskAggregate
from mteb.abstasks.pair_classification import AbsTaskPairClassification
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.sts import AbsTaskSTS
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.abs_encoder import AbsEncoder, get_prompt_name
from mteb.types import PromptType
from rich.markup import escape
from rich.table import Table

from gecko_hf.evaluation.quiet import quiet
from gecko_hf.prompts import MTEB_TASK_TYPES, SIDE_NAMES, side_prompt_name

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

SEARCH_TYPES = ("Retrieval", "Reranking", "InstructionRetrieval", "InstructionReranking")


@dataclass(frozen=True)
class PromptRow:
    """What one side of one task is read with.

    Attributes:
        task: The mteb task, or its type where the report is about types.
        type: The mteb task type.
        side: `query`, `document`, or `both` where mteb does not tell the sides apart.
        name: The prompt name that is found; None if there is none.
        prefix: The literal prefix; empty if there is none.
        key: The key that would give this side a prompt of its own.
    """

    task: str
    type: str
    side: str
    name: str | None
    prefix: str
    key: str


def known_prompts(prompts: Mapping[str, str | None]) -> dict[str, str]:
    """The prompts under keys that mteb knows; it drops the others."""
    return {name: text or "" for name, text in prompts.items() if is_mteb_key(name)}


@cache
def is_mteb_key(name: str) -> bool:
    """Whether mteb reads a prompt of this name: a task, a task type or a side, or one of the first two with a side."""
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known, _ = AbsEncoder.validate_task_to_prompt_name({name: ""}, raise_for_invalid_keys=False)
    return bool(known)


def literal_prompt(
    model: SentenceTransformer, known: dict[str, str], task: TaskMetadata, side: PromptType | None
) -> tuple[str | None, str]:
    """Name and literal prefix that mteb's wrapper and sentence-transformers together arrive at.

    Args:
        model: Its prompts and default prompt are the fallbacks.
        known: What `known_prompts` kept of its prompts.
        task: The mteb task.
        side: Query, document, or None where mteb does not tell them apart.
    """
    with quiet():
        name = get_prompt_name(known, task, side)
    if name is None and side is not None:
        name = side_prompt_name(model, side.value)
    name = name or model.default_prompt_name
    return name, (model.prompts.get(name) or "") if name else ""


def flatten(tasks: Iterable[AbsTask]) -> list[AbsTask]:
    """The tasks that are really run, each once: an aggregate stands for its parts, and the parts have names of their own."""
    parts = (part for task in tasks for part in with_parts(task) if not isinstance(part, AbsTaskAggregate))
    flat: dict[str, AbsTask] = {}
    for part in parts:
        flat.setdefault(part.metadata.name, part)
    return list(flat.values())


def with_parts(task: AbsTask) -> Iterator[AbsTask]:
    """A task, and of an aggregate also its parts and theirs."""
    yield task
    if isinstance(task, AbsTaskAggregate):
        for part in task.tasks:
            yield from with_parts(part)


def sides_of(task: AbsTask) -> list[PromptType | None]:
    """The sides that mteb names when it encodes the texts of a task."""
    if isinstance(task, AbsTaskRetrieval):
        return [PromptType.query, PromptType.document]
    if isinstance(task, AbsTaskSTS | AbsTaskPairClassification):
        return list(dict.fromkeys([task.input1_prompt_type, task.input2_prompt_type]))
    return [None]


def task_rows(model: SentenceTransformer, tasks: Iterable[AbsTask]) -> list[PromptRow]:
    """The report for tasks, one row a side."""
    known = known_prompts(model.prompts)
    return [_row(model, known, t.metadata, side, t.metadata.name) for t in flatten(tasks) for side in sides_of(t)]


def type_rows(model: SentenceTransformer) -> list[PromptRow]:
    """The report for every mteb task type that reads text."""
    known = known_prompts(model.prompts)
    rows = []
    for name in MTEB_TASK_TYPES:
        sides = [PromptType.query, PromptType.document] if name in SEARCH_TYPES else [None]
        rows += [_row(model, known, any_task(name), side, name) for side in sides]
    return rows


def any_task(task_type: str) -> TaskMetadata:
    """Metadata of a nameless task of a type: all that choosing a prompt needs."""
    return TaskMetadata.model_construct(name="", type=task_type, modalities=["text"])


def _row(
    model: SentenceTransformer, known: dict[str, str], task: TaskMetadata, side: PromptType | None, label: str
) -> PromptRow:
    name, prefix = literal_prompt(model, known, task, side)
    key = f"{task.type}-{side.value}" if side else str(task.type)
    return PromptRow(label, str(task.type), side.value if side else "both", name, prefix, key)


def prompt_warnings(model: SentenceTransformer, rows: Sequence[PromptRow]) -> list[str]:
    """What is wrong with the prompts: keys that are missing, and keys that nobody reads.

    A model without any prompt is read bare on purpose and gets one plain note.
    """
    if not any(model.prompts.values()):
        return []
    found = [
        f"{row.task} ({row.side}) would be read without a prompt: the model's prompts have no key {row.key!r}."
        for row in rows
        if not row.prefix
    ]
    known = known_prompts(model.prompts)
    # `passage` and `corpus` are sentence-transformers' names for documents; mteb drops them, encode_document reads them.
    unread = [n for n in model.prompts if n not in known and n not in SIDE_NAMES[PromptType.document.value]]
    found += [
        f"The prompt {name!r} is never read: mteb knows no task, task type or side of that name." for name in unread
    ]
    return found


def prompt_table(rows: Sequence[PromptRow], title: str) -> Table:
    """The report for the terminal; tasks whose sides are read alike share a line."""
    table = Table(title=title, title_justify="left")
    for column in ("task", "side", "prompt name", "literal prefix"):
        table.add_column(column, overflow="fold")
    for row in rows:
        prefix = escape(repr(row.prefix)) if row.prefix else "[yellow]none[/yellow]"
        table.add_row(escape(row.task), row.side, escape(row.name or ""), prefix)
    return table
