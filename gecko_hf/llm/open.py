"""From a recipe's `llm` and `judge` blocks to the annotator that they name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gecko_hf.errors import LLMError
from gecko_hf.llm.annotator import PromptedAnnotator
from gecko_hf.llm.answers import Answers, StoredModel
from gecko_hf.llm.base import JUDGING, WRITING, Annotator, Capability, LanguageModel, Sampling
from gecko_hf.llm.budget import Budget, BudgetRecipe
from gecko_hf.llm.fewshot import load_prompts
from gecko_hf.llm.recipe import ENDPOINTS, LLMRecipe
from gecko_hf.llm.two_models import WriterAndJudge

if TYPE_CHECKING:
    from gecko_hf.llm.endpoints.model import EndpointModel


def open_annotator(
    recipe: LLMRecipe,
    budget: BudgetRecipe,
    *,
    judge: LLMRecipe | None = None,
    seed: int,
    collection: Callable[[], Iterable[tuple[str, str]]],
    answers: Path,
) -> Annotator:
    """The writer and judge of a recipe.

    Args:
        recipe: The `llm` block.
        budget: The `budget` block; its limits are for both models together.
        judge: The `judge` block, where another model judges.
        seed: Seeds its draws.
        collection: Gives (title, text) of every passage; `unigram` counts them.
        answers: File in which a language model's answers are kept.

    Raises:
        LLMError: If the model cannot be opened or does not do what FRet needs.
    """
    opened, limits = [], Budget(budget)
    for name, block, needs in _blocks(recipe, judge):
        with _named(name):
            opened.append(_open_one(block, needs, limits, seed, collection, answers))
    return opened[0] if len(opened) == 1 else WriterAndJudge(*opened)


def _blocks(recipe: LLMRecipe, judge: LLMRecipe | None) -> list[tuple[str, LLMRecipe, frozenset[Capability]]]:
    """Each block of a recipe that names a model, and what is needed of it."""
    if judge is None:
        return [("llm", recipe, WRITING | JUDGING)]
    return [("llm", recipe, WRITING), ("judge", judge, JUDGING)]


@contextmanager
def _named(block: str) -> Iterator[None]:
    """Say of an error that it is the judge's: messages name the options of `llm`, which `judge` has too."""
    try:
        yield
    except LLMError as error:
        raise LLMError(f"The judge: {error}" if block == "judge" else str(error)) from error


def _open_one(
    recipe: LLMRecipe,
    needs: frozenset[Capability],
    budget: Budget,
    seed: int,
    collection: Callable[[], Iterable[tuple[str, str]]],
    answers: Path,
) -> Annotator:
    """The model of one block, known to do what is needed."""
    if recipe.backend == "unigram":
        from gecko_hf.llm.unigram import UnigramAnnotator

        return UnigramAnnotator(
            collection(),
            drop_words=recipe.drop_words,
            keep_content=recipe.keep_content,
            other_sentences=recipe.other_sentences,
            max_query_words=recipe.max_query_words,
            lead_weight=recipe.lead_weight,
            seed=seed,
        )
    prompts = load_prompts(recipe.prompts)
    sampling = Sampling(temperature=recipe.temperature, top_p=recipe.top_p, max_tokens=recipe.max_tokens)
    model = open_local(recipe) if recipe.backend == "local" else open_endpoints(recipe, needs)
    return PromptedAnnotator(StoredModel(model, Answers(answers), budget), prompts, sampling, seed=seed)


def probe_models(recipe: LLMRecipe, judge: LLMRecipe | None, say: Callable[[str], None]) -> None:
    """Probe the models of a recipe before any work: an hour of training should not end at a server that is not there.

    `open_annotator` probes again when FRet begins, since that hour has passed for the server too. Of a model in this process
    configuration and tokenizer are read, and its device is asked for.

    Args:
        recipe: The `llm` block.
        judge: The `judge` block.
        say: Called with a line for each block that has endpoints.

    Raises:
        LLMError: As `open_annotator`.
    """
    for name, block, needs in _blocks(recipe, judge):
        if block.backend in ENDPOINTS:
            say(f"{name}: probing {', '.join(block.urls)}")
            with _named(name):
                open_endpoints(block, needs)
        elif block.backend == "local":
            from gecko_hf.llm.local import require_checkpoint

            with _named(name):
                require_checkpoint(str(block.model), block.revision, block.device)


def open_local(recipe: LLMRecipe) -> LanguageModel:
    """The model in this process that a recipe names."""
    from gecko_hf.llm.local import LocalModel

    return LocalModel(
        str(recipe.model),
        revision=recipe.revision,
        device=recipe.device,
        dtype=recipe.dtype,
        batch_tokens=recipe.batch_tokens,
    )


def open_endpoints(recipe: LLMRecipe, needs: frozenset[Capability]) -> LanguageModel:
    """The endpoints that a recipe names, each probed for what is needed, and calibrated where it judges.

    Raises:
        LLMError: If one does not answer, gives no log-probabilities of prompts, or gives other ones under load.
    """
    models = [_endpoint_model(recipe, [url]) for url in recipe.urls]
    asyncio.run(_probe(recipe, models, needs))
    model = _endpoint_model(recipe, recipe.urls)
    model.id, model.revision, model.capabilities = models[0].id, models[0].revision, needs
    return model


def _endpoint_model(recipe: LLMRecipe, urls: list[str]) -> EndpointModel:
    from gecko_hf.llm.endpoints.openai import OpenAIModel
    from gecko_hf.llm.endpoints.secret import Secret
    from gecko_hf.llm.endpoints.sglang import SGLangModel
    from gecko_hf.llm.endpoints.tgi import TGIModel

    backends: dict[str, type[EndpointModel]] = {"tgi": TGIModel, "openai": OpenAIModel, "sglang": SGLangModel}
    return backends[recipe.backend](
        urls,
        model=recipe.model,
        revision=recipe.revision,
        secret=Secret(recipe.api_key_env),
        concurrency=recipe.concurrency,
        timeout=recipe.timeout,
        give_up=recipe.give_up,
        tokenizer=recipe.tokenizer,
    )


async def _probe(recipe: LLMRecipe, models: Sequence[EndpointModel], needs: frozenset[Capability]) -> None:
    """Probe each endpoint by itself; all must serve the same model."""
    from gecko_hf.llm.local import LocalModel
    from gecko_hf.llm.probe import calibrate, probe_writing

    reference = LocalModel(recipe.reference, revision=recipe.revision) if recipe.reference else None
    for model in models:
        async with model:
            await model.identify()
            if needs >= WRITING:
                await probe_writing(model)
            if needs >= JUDGING:
                await calibrate(model, concurrency=recipe.concurrency, tolerance=recipe.tolerance, reference=reference)
    served = {(model.id, model.revision) for model in models}
    if len(served) > 1:
        raise LLMError(f"The servers of llm.url serve different models: {sorted(served)}. Give servers of one model.")
