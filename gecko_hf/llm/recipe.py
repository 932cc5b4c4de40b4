"""The `llm` block of a recipe: who writes and judges, and the options of each backend."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from gecko_hf.errors import RecipeError

ENDPOINTS = ("tgi", "openai", "sglang")
MODELS = ("local", *ENDPOINTS)  # the backends that are language models, asked through few-shot prompts


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

    backend: Literal["unigram", "local", "tgi", "openai", "sglang"] = "unigram"

    # unigram
    drop_words: float = option(0.33, "unigram", low=0.0, high=0.8)  # share of a sentence's words left out of its query
    keep_content: float = option(0.7, "unigram", low=0.0, high=1.0)  # share of a sentence's idf that its query keeps
    other_sentences: float = option(0.0, "unigram", low=0.0, high=1.0)  # share of queries not made of the opening one
    max_query_words: int = option(16, "unigram", low=3)  # longest query
    lead_weight: int = option(3, "unigram", low=0)  # how many times more the words of an opening sentence count

    # every language model
    model: str | None = option(None, *MODELS)  # local: folder, Hub id, GGUF file; endpoints: what the server calls it
    revision: str | None = option(None, *MODELS)
    prompts: str | None = option(None, *MODELS)  # a folder with p_qg.yaml, p_ql.yaml, p_rc.yaml, or `multilingual`
    temperature: float = option(0.7, *MODELS, low=0.0, high=2.0)  # ours: of queries; scores are never warped
    top_p: float = option(1.0, *MODELS, low=0.01, high=1.0)
    max_tokens: int = option(96, *MODELS, low=8)  # ours: longest task and query; a longer reply is set aside

    # local
    device: str = option("auto", "local", rows=False)
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = option("auto", "local")
    batch_tokens: int = option(16_384, "local", low=256, rows=False)  # most tokens in a batch, padding included

    # endpoints
    url: str | None = option(None, *ENDPOINTS, rows=False)  # base URL, without /v1; several equal servers: with commas
    api_key_env: str | None = option(None, *ENDPOINTS, rows=False)  # NAME of the environment variable with the key
    tokenizer: str | None = option(None, *ENDPOINTS, rows=False)  # folder or Hub id; without it the server tokenises
    concurrency: int = option(64, *ENDPOINTS, low=1, rows=False)  # ours: most requests at once at one server
    timeout: float = option(120.0, *ENDPOINTS, low=0.1, rows=False)  # ours: seconds for one request
    give_up: float = option(300.0, *ENDPOINTS, low=1.0, rows=False)  # ours: seconds without any answer that end the run
    tolerance: float = option(0.05, *ENDPOINTS, low=0.0, rows=False)  # ours: nats a token, alone against under load
    reference: str | None = option(None, *ENDPOINTS, rows=False)  # the same model, to compare with at the start

    @property
    def urls(self) -> list[str]:
        """The endpoints' base URLs."""
        return [part.strip().rstrip("/") for part in (self.url or "").split(",") if part.strip()]

    @property
    def name(self) -> str:
        """What cards call it: the model where there is one, else the backend."""
        return self.model or self.backend

    def identity(self) -> dict[str, Any]:
        """What the rows depend on: the options of the backend, few-shot prompts by their hashes, and a local model's files."""
        read = {
            f.name: getattr(self, f.name)
            for f in dataclasses.fields(self)
            if self.backend in f.metadata.get("backends", ()) and f.metadata["rows"]
        }
        if self.backend in MODELS:
            from gecko_hf.llm.fewshot import load_prompts

            read["prompts"] = dict(load_prompts(self.prompts).hashes)
        if self.backend == "local":
            from gecko_hf.llm.checkpoint import files_state

            read |= {"files": files} if (files := files_state(str(self.model))) else {}
        return {"backend": self.backend, **read}


def for_backend(block: dict[str, Any], given: Collection[str]) -> dict[str, Any]:
    """A block of a recipe's file whose backend was replaced, without what only the backend before it reads.

    Args:
        block: The block, with the new backend.
        given: Keys that were set with the backend; they stay, to be refused where it does not read them.
    """
    readers = {f.name: f.metadata["backends"] for f in dataclasses.fields(LLMRecipe) if "backends" in f.metadata}
    return {k: v for k, v in block.items() if k in given or k not in readers or block["backend"] in readers[k]}


def check_llm(recipe: LLMRecipe, where: str, block: str = "llm") -> None:
    """Refuse options that the backend does not read, and a backend that lacks what it needs.

    Args:
        recipe: The block.
        where: The recipe's file, for messages.
        block: `llm` or `judge`, for messages.

    Raises:
        RecipeError: Naming the option and what the backend reads.
    """
    fields = [f for f in dataclasses.fields(recipe) if "backends" in f.metadata]
    known = [f.name for f in fields if recipe.backend in f.metadata["backends"]]
    for field in fields:
        if field.name not in known and getattr(recipe, field.name) != field.default:
            raise RecipeError(
                f"{where}: {block}.{field.name} is for {block}.backend {' or '.join(field.metadata['backends'])}; with "
                f"{recipe.backend} it would not be read. {recipe.backend} reads {', '.join(known)}."
            )
    if recipe.backend in ("local", "openai", "sglang") and not recipe.model:
        what = (
            "a folder, a Hub id or a GGUF file of a causal LM"
            if recipe.backend == "local"
            else "the model as the server calls it"
        )
        raise RecipeError(f"{where}: {block}.model is missing. Name {what}: {block}.model=NAME")
    if recipe.backend in ENDPOINTS:
        _check_endpoint(recipe, where, block)


def _check_endpoint(recipe: LLMRecipe, where: str, block: str) -> None:
    if not recipe.urls:
        raise RecipeError(
            f"{where}: {block}.url is missing. Give the server's base URL: {block}.url=http://127.0.0.1:8080"
        )
    for url in recipe.urls:
        parts = urlsplit(url)
        if parts.username or parts.password:
            raise RecipeError(
                f"{where}: {block}.url holds a user name or password. Put the key into the environment: {block}.api_key_env"
            )
        try:
            known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # a port that is no number, or too large a one
            known = False
        if not known:
            raise RecipeError(f"{where}: {block}.url {url!r} is no URL. Write it as http://HOST:PORT")
        base = re.sub(r"(/v1)?(/generate|(/chat)?/completions)?$", "", url)
        if base != url:
            raise RecipeError(f"{where}: {block}.url {url!r} ends in a route. Give the base URL: {base}")
    # The value is not repeated: it may be the key itself, pasted by mistake.
    if recipe.api_key_env is not None and not re.fullmatch("[A-Z][A-Z0-9_]*", recipe.api_key_env):
        raise RecipeError(
            f"{where}: {block}.api_key_env is the NAME of an environment variable, in capitals, for example LLM_KEY; "
            "never the key."
        )
