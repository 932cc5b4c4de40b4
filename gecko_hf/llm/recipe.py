"""The `llm` block of a recipe: who writes and judges, and the options of each backend."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from gecko_hf.errors import RecipeError

MODELS = ("local",)  # the backends that are language models, asked through few-shot prompts


def option(default: Any, *backends: str, low: float | None = None, high: float | None = None, rows: bool = True) -> Any:
    """A field that only some backends read.

    Args:
        default: Its value where the recipe has none.
        backends: Who reads it.
        low: Least value.
        high: Most.
        rows: Whether the rows of FRet depend on it; a change of what they do not depend on redoes nothing.
    """
    return dataclasses.field(default=default, metadata={"low": low, "high": high, "backends": backends, "rows": rows})


@dataclass(frozen=True)
class LLMRecipe:
    """Who writes the queries and judges the candidates."""

    backend: Literal["unigram", "local"] = "unigram"

    # unigram
    drop_words: float = option(
        0.33, "unigram", low=0.0, high=0.8
    )  # share of a sentence's words that its query leaves out
    keep_content: float = option(0.7, "unigram", low=0.0, high=1.0)  # share of a sentence's idf that its query keeps
    max_query_words: int = option(16, "unigram", low=3)  # longest query
    lead_weight: int = option(3, "unigram", low=0)  # how many times more the words of an opening sentence count

    # every language model
    model: str | None = option(None, *MODELS)  # a folder or a Hub id
    revision: str | None = option(None, *MODELS)
    prompts: str | None = option(None, *MODELS)  # a folder with p_qg.yaml, p_ql.yaml, p_rc.yaml; else the package's
    temperature: float = option(0.7, *MODELS, low=0.0, high=2.0)  # ours: of queries; scores are never warped
    top_p: float = option(1.0, *MODELS, low=0.01, high=1.0)
    max_tokens: int = option(96, *MODELS, low=8)  # ours: longest task and query; a longer reply is set aside

    # local
    device: str = option("auto", "local", rows=False)
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = option("auto", "local")
    batch_tokens: int = option(16_384, "local", low=256, rows=False)  # most tokens in a batch, padding included

    @property
    def name(self) -> str:
        """What cards call it: the model where there is one, else the backend."""
        return self.model or self.backend

    def identity(self) -> dict[str, Any]:
        """What the rows depend on: the options of the backend, and the few-shot prompts by their hashes."""
        read = {
            f.name: getattr(self, f.name)
            for f in dataclasses.fields(self)
            if self.backend in f.metadata.get("backends", ()) and f.metadata["rows"]
        }
        if self.backend in MODELS:
            from gecko_hf.llm.fewshot import load_prompts

            read["prompts"] = dict(load_prompts(self.prompts).hashes)
        return {"backend": self.backend, **read}


def check_llm(recipe: LLMRecipe, where: str) -> None:
    """Refuse options that the backend does not read, and a backend that lacks what it needs.

    Raises:
        RecipeError: Naming the option and what the backend reads.
    """
    fields = [f for f in dataclasses.fields(recipe) if "backends" in f.metadata]
    known = [f.name for f in fields if recipe.backend in f.metadata["backends"]]
    for field in fields:
        if field.name not in known and getattr(recipe, field.name) != field.default:
            raise RecipeError(
                f"{where}: llm.{field.name} is for llm.backend {' or '.join(field.metadata['backends'])}; with "
                f"{recipe.backend} it would not be read. {recipe.backend} reads {', '.join(known)}."
            )
    if recipe.backend == "local" and not recipe.model:
        raise RecipeError(f"{where}: llm.model is missing. Name a folder or a Hub id of a causal LM: llm.model=PATH")
