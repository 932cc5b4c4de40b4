"""What a run needs that is not made by it: packages, base, data sets; looked for before any work."""

from __future__ import annotations

from collections.abc import Collection

from gecko_hf.fret.decontaminate import check_test_sets
from gecko_hf.model.recipe import EncoderRecipe, RetrieverRecipe
from gecko_hf.recipe import Recipe
from gecko_hf.run_folder import Paths
from gecko_hf.source import pinned
from gecko_hf.training.recipe import StageRecipe


def check_requirements(recipe: Recipe) -> None:
    """Refuse what is missing before any work: packages of the corpus, of the base encoder and of the retriever.

    Raises:
        MissingExtraError: Naming the package, and how to install it.
    """
    from gecko_hf.errors import require
    from gecko_hf.model.encoder import resolve_base

    for encoder in encoders(recipe):
        resolve_base(encoder.base)
    if recipe.corpus.source == "docstrings":
        for package in recipe.corpus.packages:
            require(package, "quickstart")


def encoders(recipe: Recipe) -> list[EncoderRecipe | RetrieverRecipe]:
    """The blocks that name a model to embed with."""
    return [recipe.encoder, *([recipe.retriever] if recipe.retriever else [])]


def require_base(recipe: Recipe) -> None:
    """Refuse a base, or a retriever, that is not there, before a run folder is made for it.

    Once a run has begun they are on record at their commits, and the Hub need not be asked again.

    Raises:
        RecipeError: If there is no such model.
    """
    from gecko_hf.model import encoder
    from gecko_hf.model.base_commit import known_commit

    for block in encoders(recipe):
        if known_commit(block, Paths(recipe.folder).logs) is None:
            encoder.require_base(block.base, block.revision, block.block)


def require_sources(recipe: Recipe, todo: Collection[str]) -> None:
    """Refuse a data set of a mixture, a test set or a package that is not there: hours of other stages should not end at it.

    Args:
        recipe: What will run.
        todo: Names of the stages that are not done.

    Raises:
        RecipeError: Naming it.
        MissingExtraError: Likewise.
    """
    from gecko_hf.errors import require

    if {"prefinetune", "fret"} & {*todo}:
        check_test_sets(recipe.fret.quality)
    for name in ("prefinetune", "finetune"):
        if name in todo:
            stage: StageRecipe = getattr(recipe, name)
            if recipe.encoder.lora.rank:
                require("peft", "lora")
            if stage.tracking != "none":
                require(stage.tracking, "track")
            for entry, block in stage.mixture.items():
                if block.source is not None:
                    pinned(block, block.source, f"{name}.mixture.{entry}")
