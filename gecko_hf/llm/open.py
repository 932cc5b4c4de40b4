"""From a recipe's `llm` block to the annotator that it names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from gecko_hf.llm.annotator import PromptedAnnotator
from gecko_hf.llm.answers import Answers, StoredModel
from gecko_hf.llm.base import Annotator, LanguageModel, Sampling
from gecko_hf.llm.fewshot import load_prompts
from gecko_hf.llm.recipe import LLMRecipe


def open_annotator(
    recipe: LLMRecipe, *, seed: int, collection: Callable[[], Iterable[tuple[str, str]]], answers: Path
) -> Annotator:
    """The writer and judge of a recipe.

    Args:
        recipe: The `llm` block.
        seed: Seeds its draws.
        collection: Gives (title, text) of every passage; `unigram` counts them.
        answers: File in which a language model's answers are kept.

    Raises:
        LLMError: If the model cannot be opened or does not do what FRet needs.
    """
    if recipe.backend == "unigram":
        from gecko_hf.llm.unigram import UnigramAnnotator

        return UnigramAnnotator(
            collection(),
            drop_words=recipe.drop_words,
            keep_content=recipe.keep_content,
            max_query_words=recipe.max_query_words,
            lead_weight=recipe.lead_weight,
            seed=seed,
        )
    prompts = load_prompts(recipe.prompts)
    sampling = Sampling(temperature=recipe.temperature, top_p=recipe.top_p, max_tokens=recipe.max_tokens)
    model = StoredModel(open_model(recipe), Answers(answers))
    return PromptedAnnotator(model, prompts, sampling, seed=seed)


def open_model(recipe: LLMRecipe) -> LanguageModel:
    """The language model of a recipe."""
    from gecko_hf.llm.local import LocalModel

    return LocalModel(
        str(recipe.model),
        revision=recipe.revision,
        device=recipe.device,
        dtype=recipe.dtype,
        batch_tokens=recipe.batch_tokens,
    )
