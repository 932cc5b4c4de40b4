"""Recipes: one YAML file holds every choice of a run.

A recipe is a tree of frozen dataclasses, one block a noun, each declared in its noun's folder. Reading is strict (`schema.py`).
`key.sub=value` pairs from the command line override the file. What a run used is written back beside its results, so a run
folder is a recipe too.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from gecko_hf.corpus.recipe import CorpusRecipe
from gecko_hf.errors import RecipeError
from gecko_hf.evaluation.recipe import EvaluationRecipe
from gecko_hf.evaluation.task_recipe import check_tasks
from gecko_hf.fret.recipe import ExecutorRecipe, FRetRecipe
from gecko_hf.home import expanded
from gecko_hf.llm.budget import BudgetRecipe
from gecko_hf.llm.recipe import LLMRecipe, check_llm, for_backend
from gecko_hf.model.recipe import EncoderRecipe, RetrieverRecipe, check_encoder, check_retriever
from gecko_hf.schema import apply_override, build, number
from gecko_hf.strict_yaml import load_yaml
from gecko_hf.training.recipe import FineTuneRecipe, PrefinetuneRecipe, check_stage

RECIPE_FILE = "recipe.yaml"
LANGUAGE = re.compile("[a-z]{2,3}|multilingual|code")  # what the Hub takes for one


# Of a block, the keys that FRet's rows depend on: of the encoder, what vectors depend on; of the evaluation, what is held out.
RETRIEVER = ("base", "revision", "dim", "max_seq_length", "attention")
HELD_OUT = ("yardstick", "held_out", "held_out_most", "dev_share")

# What a block with a `local` block of its own says of the Hub alone.
HUB_KEYS = ("source", "path", "revision", "config", "split", "where", "columns")


@dataclass(frozen=True)
class DataRootRecipe:
    """Where local copies of a recipe's data sets lie.

    Attributes:
        root: Folder; every block with a `local` block then reads what that names below it, and not the Hub.
    """

    root: str | None = None


@dataclass(frozen=True)
class Recipe:
    """Everything that a run does."""

    name: str = "run"
    language: list[str] = field(default_factory=list)  # ISO 639 codes of the text, which both cards declare
    output: str | None = None
    seed: int = number(42, low=0)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    data: DataRootRecipe = field(default_factory=DataRootRecipe)
    corpus: CorpusRecipe = field(default_factory=CorpusRecipe)
    llm: LLMRecipe = field(default_factory=LLMRecipe)
    judge: LLMRecipe | None = None  # who judges, where it is not who writes (`llm`)
    budget: BudgetRecipe = field(default_factory=BudgetRecipe)
    encoder: EncoderRecipe = field(default_factory=EncoderRecipe)
    retriever: RetrieverRecipe | None = None  # what fetches FRet's candidates, where it is not `encoder.base`
    prefinetune: PrefinetuneRecipe = field(default_factory=PrefinetuneRecipe)
    fret: FRetRecipe = field(default_factory=FRetRecipe)
    executor: ExecutorRecipe = field(default_factory=ExecutorRecipe)
    finetune: FineTuneRecipe = field(default_factory=FineTuneRecipe)
    evaluation: EvaluationRecipe = field(default_factory=EvaluationRecipe)

    @property
    def folder(self) -> Path:
        """The run folder: `output`, or `runs/NAME`. A shell leaves the `~` of `output=~/runs` to us."""
        return expanded(self.output or f"runs/{self.name}")

    @property
    def llms(self) -> tuple[LLMRecipe, LLMRecipe]:
        """Who writes, and who judges; the same one without a `judge` block."""
        return self.llm, self.judge or self.llm


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file (or the `recipe.yaml` of a folder) and apply `key.sub=value` overrides.

    Raises:
        RecipeError: If the file is missing or not YAML, a key is unknown, or a value has the wrong type or range.
    """
    file = Path(path)
    if file.is_dir():
        file = file / RECIPE_FILE
    tree = _read(file)
    for override in overrides:
        apply_override(tree, override)
    given = {override.partition("=")[0].strip() for override in overrides}
    for block in ("llm", "judge"):
        if f"{block}.backend" in given and isinstance(tree[block], dict):  # else it is refused below
            tree[block] = for_backend(tree[block], {key.removeprefix(f"{block}.") for key in given})
    data = tree.get("data")
    recipe = build(Recipe, _local(tree, data.get("root") if isinstance(data, dict) else None), where=str(file))
    _check(recipe, str(file))
    return recipe


def _local(tree: dict[str, Any], root: str | None) -> dict[str, Any]:
    """The tree with every `local` block in the place of what stands beside it of the Hub, or left out without a root.

    `local: none` leaves the whole block out where there is a root, which has no copy of it.
    """
    made = {}
    for key, value in tree.items():
        if not isinstance(value, dict):
            made[key] = value
            continue
        block, here = dict(value), value.get("local")
        if here == "none" or isinstance(here, dict):  # anything else is left to be refused as an unknown key
            del block["local"]
        if root and here == "none":
            continue
        if root and isinstance(here, dict):
            places = {k: str(expanded(str(root)) / str(here[k])) for k in ("source", "path") if k in here}
            block = {k: v for k, v in block.items() if k not in HUB_KEYS} | here | places
        made[key] = _local(block, root)
    return made


def _read(file: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The tree of a recipe file; `extends: PATH` puts it over another recipe, whose place is told from the file's own."""
    if not file.is_file():
        raise RecipeError(f"There is no recipe at {file}. Give a YAML file or a folder that holds a {RECIPE_FILE}.")
    try:
        tree = load_yaml(file.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, ValueError) as error:  # not UTF-8, or a date that no calendar has
        raise RecipeError(f"{file} is not readable YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise RecipeError(f"{file} holds a {type(tree).__name__}; a recipe is a mapping of keys to values.")
    if {"recipe", "environment"} <= tree.keys():  # what a run wrote into its folder
        found: dict[str, Any] = tree["recipe"]
        return found if above else found | _place(found, file.parent)
    below = tree.pop("extends", None)
    if below is None:
        return tree
    if file.resolve() in above:
        raise RecipeError(f"{file} extends itself. Name another recipe, or leave extends out.")
    return _over(_read(file.parent / str(below), (*above, file.resolve())), tree)


def _place(tree: dict[str, Any], folder: Path) -> dict[str, Any]:
    """`output` of a run folder that was copied or moved, or is named from elsewhere: it, and not where it once lay."""
    said = expanded(str(tree.get("output") or f"runs/{tree.get('name')}"))
    return {} if said.resolve() == folder.resolve() else {"output": str(folder)}


def _over(below: dict[str, Any], tree: dict[str, Any]) -> dict[str, Any]:
    """One tree over another: blocks are joined, other values replaced."""
    joined = dict(below)
    for key, value in tree.items():
        both = isinstance(value, dict) and isinstance(joined.get(key), dict)
        joined[key] = _over(joined[key], value) if both else value
    return joined


def load_run_recipe(folder: Path) -> Recipe:
    """The recipe that a run folder was made with.

    Raises:
        RecipeError: If the folder has none that this version can read.
    """
    file = folder / RECIPE_FILE
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, yaml.YAMLError, ValueError):
        tree = None
    if not isinstance(tree, dict) or not {"recipe", "environment"} <= tree.keys():
        raise RecipeError(f"{folder} is no run folder: it holds no {RECIPE_FILE} that a run wrote. Name one: runs/NAME")
    return build(Recipe, tree["recipe"], where=str(file))


def as_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain YAML-able values."""
    return dataclasses.asdict(recipe)


def _check(recipe: Recipe, where: str) -> None:
    """Checks that need more than one field, or more than a type."""
    if odd := next((code for code in recipe.language if not LANGUAGE.fullmatch(code)), None):
        raise RecipeError(
            f"{where}: language names {odd!r}. Give codes of ISO 639, as the Hub's cards do: language: [en, de]; or multilingual."
        )
    check_llm(recipe.llm, where)
    if recipe.judge is not None:
        check_llm(recipe.judge, where, "judge")
    root = recipe.data.root
    if root is not None and not expanded(root).is_dir():
        raise RecipeError(
            f"{where}: data.root is {root!r}, and there is no such folder. Name the one with the local copies."
        )
    budget = recipe.budget
    if budget.max_cost is not None and not (budget.prompt_price or budget.completion_price):
        raise RecipeError(
            f"{where}: budget.max_cost is {budget.max_cost:g}, and no token has a price, so it would never be reached. Give "
            "budget.prompt_price or budget.completion_price, or leave it out."
        )
    check_encoder(recipe.encoder, where)
    if recipe.retriever is not None:
        check_retriever(recipe.retriever, where)
    corpus, fret = recipe.corpus, recipe.fret
    _check_corpus(corpus, where)
    _check_yardstick(recipe, where)
    if not fret.tasks or sum(fret.tasks.values()) <= 0 or min(fret.tasks.values()) < 0:
        raise RecipeError(f"{where}: fret.tasks needs weights that are not negative and do not all vanish.")
    _, judge = recipe.llms
    if fret.one_pass and judge.backend == "unigram":
        raise RecipeError(f"{where}: fret.one_pass is for language models; unigram has no prompts. Leave it out.")
    if fret.negative == "rank" and fret.negative_rank > fret.candidates:
        raise RecipeError(
            f"{where}: fret.negative_rank is {fret.negative_rank}, and a query has {fret.candidates} candidates. "
            "Lower it, or raise fret.candidates."
        )
    executor = recipe.executor
    if (executor.storage is not None) != (executor.kind == "jobs"):
        raise RecipeError(
            f"{where}: executor.storage is for executor.kind jobs, which needs it: a place that both this machine and the jobs "
            "can read and write, for example hf://buckets/USER/NAME."
        )
    if executor.kind == "slurm" and not executor.partition:
        raise RecipeError(f"{where}: executor.kind slurm needs executor.partition; `sinfo` lists the partitions.")
    if not recipe.encoder.dims or min(recipe.encoder.dims) < 1:
        raise RecipeError(f"{where}: encoder.dims is {recipe.encoder.dims}; name at least one positive width.")
    lora = bool(recipe.encoder.lora.rank)
    check_stage(recipe.prefinetune, f"{where}: prefinetune", lora=lora)
    check_stage(recipe.finetune, f"{where}: finetune", lora=lora)
    _check_dev_queries(recipe, where)
    check_tasks(recipe.evaluation.tasks, f"{where}: evaluation.tasks")


def _check_corpus(corpus: CorpusRecipe, where: str) -> None:
    """Whether there is text to read, and none that would not be."""
    plain = CorpusRecipe()
    of_files = [f.name for f in dataclasses.fields(corpus) if f.name not in ("source", "packages", "near_duplicate")]
    idle = of_files if corpus.source == "docstrings" else ["packages"]
    if given := [key for key in idle if getattr(corpus, key) != getattr(plain, key)]:
        raise RecipeError(
            f"{where}: corpus.{given[0]} would not be read: corpus.source is {corpus.source}. Choose one: recipes/domain reads "
            "files, recipes/quickstart docstrings."
        )
    if corpus.source == "files" and not corpus.path:
        raise RecipeError(f"{where}: corpus.path is missing. Name a file, a folder or a Hub data set: corpus.path=PATH")
    if corpus.source == "docstrings" and not corpus.packages:
        raise RecipeError(f"{where}: corpus.packages is empty. Name installed packages, for example [numpy, scipy].")


def _check_yardstick(recipe: Recipe, where: str) -> None:
    """Whether the corpus has the queries of the yardstick, and nothing is set that this one does not read."""
    if recipe.evaluation.yardstick != "see_also":
        return
    if recipe.corpus.source != "docstrings":
        raise RecipeError(
            f"{where}: evaluation.yardstick see_also reads the See Also sections of docstrings; "
            f"with corpus.source {recipe.corpus.source} use held_out."
        )
    plain = EvaluationRecipe()
    for key in ("held_out", "held_out_most"):
        if getattr(recipe.evaluation, key) != getattr(plain, key):
            raise RecipeError(
                f"{where}: evaluation.{key} would not be read: evaluation.yardstick is see_also, which holds no passage out. "
                "Leave it out, or use evaluation.yardstick=held_out."
            )


def _check_dev_queries(recipe: Recipe, where: str) -> None:
    """Whether the queries that `evaluate_every` asks of are there when a stage trains."""
    measured = [name for name in ("prefinetune", "finetune") if getattr(recipe, name).evaluate_every]
    if measured and not recipe.evaluation.dev_share:
        raise RecipeError(
            f"{where}: {measured[0]}.evaluate_every needs dev queries, and evaluation.dev_share is 0. Raise it, or leave "
            "evaluate_every out."
        )
    if "prefinetune" in measured and recipe.evaluation.yardstick == "held_out":
        raise RecipeError(
            f"{where}: prefinetune.evaluate_every needs queries, and those of yardstick held_out are written with FRet, after "
            "this stage. Leave it out here, or use evaluation.yardstick=see_also."
        )
