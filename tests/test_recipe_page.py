"""docs/recipe.md names every key of a recipe, with its default and its choices."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import yaml

from gecko_hf.corpus.recipe import CorpusRecipe
from gecko_hf.evaluation.recipe import EvaluationRecipe
from gecko_hf.evaluation.task_recipe import TaskRecipe
from gecko_hf.fret.recipe import ExecutorRecipe, FRetRecipe
from gecko_hf.llm.budget import BudgetRecipe
from gecko_hf.llm.recipe import LLMRecipe
from gecko_hf.model.recipe import EncoderRecipe, RetrieverRecipe
from gecko_hf.recipe import Recipe
from gecko_hf.training.mixture_recipe import DataRecipe
from gecko_hf.training.recipe import FineTuneRecipe, PrefinetuneRecipe

DOCS = Path(__file__).parent.parent / "docs"
SECTIONS: dict[str, tuple[type, ...]] = {
    "At the top": (Recipe,),
    "`corpus`": (CorpusRecipe,),
    "`llm`, `judge`": (LLMRecipe,),
    "`budget`": (BudgetRecipe,),
    "`encoder`": (EncoderRecipe,),
    "`retriever`": (RetrieverRecipe,),
    "`prefinetune`, `finetune`": (PrefinetuneRecipe, FineTuneRecipe),
    "A data set of a `mixture`": (DataRecipe,),
    "`fret`": (FRetRecipe,),
    "`executor`": (ExecutorRecipe,),
    "`evaluation`": (EvaluationRecipe,),
    "A data set of `evaluation.tasks`": (TaskRecipe,),
}
BLOCKS = {type_ for types in SECTIONS.values() for type_ in types}  # which have a section, and so no row of their own
Row = tuple[str, Any, str]  # key, default, the row's other text


def on_page(section: str) -> Iterator[Row]:
    """The rows of a section's tables; one with several keys has a default for each, or one for all."""
    text = (DOCS / "recipe.md").read_text(encoding="utf-8")
    part = text.split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    for line in part.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("| `"):
            continue
        keys, defaults = (re.findall(r"`([^`]*)`", cell) for cell in cells[:2])
        for key, default in zip(keys, defaults * len(keys) if len(defaults) == 1 else defaults, strict=True):
            yield key, yaml.safe_load(default), f"{cells[1]} {cells[2]}"


def in_code(block: type, prefix: str = "") -> Iterator[tuple[str, Any, tuple[str, ...]]]:
    """Key, default and choices of each field of a block, and of blocks in it that have no section."""
    hints = get_type_hints(block)
    for field in fields(block):
        inner = next((h for h in (hints[field.name], *get_args(hints[field.name])) if is_dataclass(h)), None)
        if inner in BLOCKS and get_origin(hints[field.name]) is not dict:
            continue
        if inner and inner not in BLOCKS:
            yield from in_code(typing.cast(type, inner), f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, default_of(field), choices(hints[field.name])


def default_of(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def choices(hint: Any) -> tuple[str, ...]:
    found = next((h for h in (hint, *get_args(hint)) if get_origin(h) is Literal), None)
    return get_args(found) if found else ()


@pytest.mark.parametrize("section", SECTIONS)
def test_the_page_has_every_key_with_its_default_and_no_other(section: str) -> None:
    page = {(key, str(default)) for key, default, _ in on_page(section)}
    code = {(key, str(_plain(default))) for block in SECTIONS[section] for key, default, _ in in_code(block)}
    assert page == code


@pytest.mark.parametrize("section", SECTIONS)
def test_the_page_has_every_choice_of_a_key(section: str) -> None:
    rows = {key: text for key, _, text in on_page(section)}
    for block in SECTIONS[section]:
        for key, _, options in in_code(block):
            assert [o for o in options if f"`{o}`" not in rows[key]] == [], key


def test_every_section_is_one_of_the_recipe() -> None:
    assert re.findall("^## (.*)$", (DOCS / "recipe.md").read_text(encoding="utf-8"), re.MULTILINE) == [*SECTIONS]


def _plain(default: Any) -> Any:
    """A default as YAML reads what the page says: whole numbers without a point."""
    if isinstance(default, dict):
        return {key: _plain(value) for key, value in default.items()}
    whole = isinstance(default, float) and default.is_integer()
    return yaml.safe_load(f"{int(default) if whole else default}") if isinstance(default, float | str) else default
