"""`local`: a transformers causal LM in this process, on any device, batched by length.

Log-probabilities come from the raw logits in 32 bit. What the texts of a batch begin with alike is read once (`shared.py`).
Completions are drawn by the Gumbel-max trick with one seeded generator a row, so that what a prompt gets does not depend on
its company.
"""

from __future__ import annotations

import inspect
import math
import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    GgufConfig,
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from gecko_hf.errors import LLMError
from gecko_hf.llm.base import Capability, Completion, Sampling, Scores, Span, SpanScore
from gecko_hf.llm.batcher import Batcher, Gathered
from gecko_hf.llm.checkpoint import find_checkpoint
from gecko_hf.llm.fingerprint import weights_revision
from gecko_hf.llm.shared import Past, begin_alike, can_share, read_head, read_shared
from gecko_hf.llm.spans import boundaries, check_prefix
from gecko_hf.model.device import open_device
from gecko_hf.model.encoder import hub_commit


@dataclass(frozen=True, slots=True)
class _Scored:
    """A text as tokens, and the token ranges to score."""

    ids: list[int]
    ranges: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class _Prompt:
    """A prompt as tokens, and how to continue it."""

    ids: list[int]
    sampling: Sampling


def require_checkpoint(path: str, revision: str | None, device: str) -> None:
    """Refuse what cannot be loaded, as far as configuration and tokenizer tell: weights take long, and are read later.

    Raises:
        LLMError: If there is no such checkpoint or device, it is no causal language model, or it has no tokenizer.
    """
    _usable(device)
    found = find_checkpoint(path)
    with _loading(path):
        if not (found.path / "adapter_config.json").is_file():  # which names the model that it belongs to
            config = AutoConfig.from_pretrained(found.place, **found.options(revision))
            if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
                raise ValueError(f"{config.model_type} is no causal language model.")
        AutoTokenizer.from_pretrained(found.place, **found.options(revision))


def _usable(name: str) -> torch.device:
    """The device that a recipe names.

    Raises:
        LLMError: If it cannot be used here.
    """
    try:
        return open_device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    except ValueError as error:
        raise LLMError(
            f"llm.device is {name!r}, which cannot be used here: {error} Take the device that is there: llm.device=auto"
        ) from error


@contextmanager
def _loading(path: str) -> Iterator[None]:
    try:
        yield
    # ImportError: a package that only some tokenizers need; struct.error: a GGUF file that ends in its header
    except (OSError, ValueError, ImportError, struct.error) as error:
        raise LLMError(
            f"{path} cannot be loaded as a causal language model: {' '.join(str(error).split())[:300]} "
            "Give a folder with a checkpoint and its tokenizer, a GGUF file, or a Hub id: llm.model=PATH"
        ) from error


class LocalModel:
    """A causal LM in this process.

    Args:
        path: A model as `find_checkpoint` takes it.
        revision: Hub revision.
        device: A torch device; `auto` takes a GPU where there is one.
        dtype: A torch dtype by name; `auto` is float32 on a CPU and the checkpoint's own elsewhere.
        batch_tokens: Most tokens in a batch, padding included.

    Raises:
        LLMError: If there is no such checkpoint or device.
    """

    capabilities = frozenset(Capability)

    def __init__(
        self,
        path: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        batch_tokens: int = 16_384,
    ) -> None:
        self.device = _usable(device)
        if dtype == "auto" and self.device.type == "cpu":
            dtype = "float32"
        found = find_checkpoint(path)
        with _loading(path):
            # One commit for all files of a Hub repository, and for whoever asks later what answered.
            commit = None if found.path.exists() else hub_commit(found.place, revision)
            options = found.options(commit)
            self.tokenizer = AutoTokenizer.from_pretrained(found.place, **options)
            if found.gguf:  # its blocks could stay packed where a kernel for them is installed, and give other numbers
                options["quantization_config"] = GgufConfig(dequantize=True)
            model: Any = AutoModelForCausalLM.from_pretrained(found.place, **options, dtype=dtype)
        self.model = model.to(self.device).eval()
        self.id = path
        self.revision = commit or weights_revision(found.path)
        if self.model.dtype != torch.float32:  # other numbers, so another model to whoever keeps its answers
            self.revision += f" in {str(self.model.dtype).removeprefix('torch.')}"
        ends = self.model.generation_config.eos_token_id
        self._end = ends if ends is not None else self.tokenizer.eos_token_id
        # `generate` takes what a request leaves open from here: a checkpoint's repetition penalty would hold for the prompt.
        self.model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
        self._head = self._special_head()
        self._limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        self._keeps = "logits_to_keep" in inspect.signature(self.model.forward).parameters
        self._shares = can_share(self.model)
        self._score = Gathered(Batcher(self._score_batch, lambda r: len(r.ids), batch_tokens))
        self._generate = Gathered(
            Batcher(
                self._generate_batch,
                lambda r: len(r.ids) + r.sampling.max_tokens,
                batch_tokens,
                group=lambda r: (r.sampling.temperature, r.sampling.top_p, r.sampling.max_tokens, r.sampling.stop),
            )
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    async def generate(self, prompt: str, sampling: Sampling) -> Completion:
        """Continue a prompt; the same prompt and sampling give the same text in any batch, up to rounding.

        Raises:
            LLMError: If prompt and completion do not fit the model.
        """
        ids = self._ids(prompt)
        self._check_length(len(ids) + sampling.max_tokens, prompt)
        return await self._generate.submit(_Prompt(ids, sampling))

    async def score(self, text: str, spans: Sequence[Span]) -> Scores:
        """Log-probabilities of spans of a text in one pass.

        Raises:
            BoundaryError: If a span does not begin and end on token boundaries.
            LLMError: If the text does not fit the model, a span starts where nothing comes before it, or the model gives no
                finite number.
        """
        ids = self._ids(text)
        self._check_length(len(ids), text)
        at = {0: len(self._head), len(text): len(ids)}
        for position in boundaries(text, spans):
            at[position] = check_prefix(ids, self._ids(text[:position]), text, position)
        ranges = [(at[start], at[end]) for start, end in spans]
        if min(first for first, _ in ranges) == 0:
            raise LLMError("This model has no token that begins a text, so a text's first token has no probability.")
        values = await self._score.submit(_Scored(ids, ranges))
        if not all(math.isfinite(value) for row in values for value in row):
            raise LLMError(
                f"{self.id} gives log-probabilities that are not finite in {self.model.dtype}, and would label with noise. "
                "Take another number format: llm.dtype=bfloat16 or float32"
            )
        return Scores(tuple(SpanScore(tuple(row)) for row in values), len(ids))

    def _ids(self, text: str) -> list[int]:
        return [*self._head, *self.tokenizer(text, add_special_tokens=False)["input_ids"]]

    def _special_head(self) -> list[int]:
        """The special tokens that the tokenizer puts before a text (BOS); what it puts after one is left out."""
        bare, whole = self.tokenizer("a", add_special_tokens=False)["input_ids"], self.tokenizer("a")["input_ids"]
        start = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
        return list(whole[:start])

    def _check_length(self, needed: int, text: str) -> None:
        if self._limit is not None and needed > self._limit:
            raise LLMError(
                f"A prompt that ends in {text[-40:]!r} needs {needed} tokens; {self.id} takes {self._limit}. "
                "Lower corpus.max_words or llm.max_tokens, or take a model with a longer context."
            )

    @torch.inference_mode()
    def _score_batch(self, batch: list[_Scored]) -> list[list[list[float]]]:
        parts = begin_alike([r.ids for r in batch]) if self._shares else [list(range(len(batch)))]
        scores: dict[int, list[list[float]]] = {}
        for part in parts:
            scores.update(zip(part, self._score_part([batch[row] for row in part]), strict=True))
        return [scores[row] for row in range(len(batch))]

    def _score_part(self, batch: list[_Scored]) -> list[list[list[float]]]:
        past = Past.nothing(len(batch), self.device)
        if self._shares:  # token i is predicted by token i - 1, which is therefore left
            past = read_shared(self.model, [r.ids for r in batch], [min(r.ranges)[0] - 1 for r in batch])
        arguments = past.arguments([r.ids[n:] for r, n in zip(batch, past.read, strict=True)])
        ids = arguments["input_ids"]
        ranges = [[(start - n, end - n) for start, end in r.ranges] for r, n in zip(batch, past.read, strict=True)]
        first = min(start for row in ranges for start, _ in row)
        last = max(end for row in ranges for _, end in row)
        # Only the positions that somebody asked for go through the vocabulary.
        keep = torch.arange(first - 1, last - 1, device=self.device)
        if self._keeps:
            arguments["logits_to_keep"] = keep
        logits = self.model(**arguments).logits
        logits = (logits if self._keeps else logits[:, keep]).float()
        picked = logits.gather(-1, ids[:, first:last, None]).squeeze(-1) - logits.logsumexp(-1)
        rows = picked.cpu().tolist()
        return [
            [row[start - first : end - first] for start, end in spans] for row, spans in zip(rows, ranges, strict=True)
        ]

    @torch.inference_mode()
    def _generate_batch(self, batch: list[_Prompt]) -> list[Completion]:
        sampling = batch[0].sampling
        past = Past.nothing(len(batch), self.device)
        if self._shares:
            past = read_head(self.model, [r.ids for r in batch], [len(r.ids) - 1 for r in batch])
        head, width = past.read[0], max(len(r.ids) for r in batch)
        pad = next(t for t in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id, 0) if t is not None)
        # Padding stands before what is a row's own, so that every row ends where it is to be continued.
        gaps = [width - len(r.ids) for r in batch]
        rows = [[*r.ids[:head], *[pad] * gap, *r.ids[head:]] for r, gap in zip(batch, gaps, strict=True)]
        seen = [[1] * head + [0] * gap + [1] * (width - head - gap) for gap in gaps]
        processors = LogitsProcessorList()
        if sampling.temperature > 0:
            processors.append(_SeededDraw([r.sampling.seed or 0 for r in batch], sampling, self.device))
        written = self.model.generate(
            input_ids=torch.tensor(rows, device=self.device),
            attention_mask=torch.tensor(seen, device=self.device),
            past_key_values=past.cache if head else None,
            generation_config=GenerationConfig(  # type: ignore[no-untyped-call]
                max_new_tokens=sampling.max_tokens,
                do_sample=False,
                pad_token_id=pad,
                eos_token_id=self._end,
                stop_strings=list(sampling.stop) or None,
            ),
            tokenizer=self.tokenizer,
            logits_processor=processors,
        )[:, width:].tolist()
        ends = {self._end} if isinstance(self._end, int) else set(self._end or ())
        return [self._completion(r, row, ends) for r, row in zip(batch, written, strict=True)]

    def _completion(self, request: _Prompt, written: list[int], ends: set[int]) -> Completion:
        def text_of(tokens: int) -> str:
            return str(self.tokenizer.decode(written[:tokens], skip_special_tokens=True))

        count = next((i for i, token in enumerate(written) if token in ends), len(written))
        text = text_of(count)
        cuts = [at for at in (text.find(stop) for stop in request.sampling.stop) if at >= 0]
        stopped = bool(cuts) or count < len(written)
        if cuts:  # what follows the stop string fills the row up to the longest of its batch
            stops = request.sampling.stop
            count = bisect_left(range(count), True, key=lambda n: any(stop in text_of(n) for stop in stops))
        return Completion(text[: min(cuts)] if cuts else text, "stop" if stopped else "length", len(request.ids), count)


class _SeededDraw(LogitsProcessor):
    """Turns greedy search into sampling: argmax(log p + Gumbel noise) is a draw from p; one generator a row."""

    def __init__(self, seeds: Sequence[int], sampling: Sampling, device: torch.device) -> None:
        self._generators = [torch.Generator(device=device).manual_seed(seed) for seed in seeds]
        self._warpers: list[LogitsProcessor] = [TemperatureLogitsWarper(sampling.temperature)]
        if sampling.top_p < 1:
            self._warpers.append(TopPLogitsWarper(sampling.top_p))

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        for warp in self._warpers:
            scores = warp(input_ids, scores)
        noise = torch.empty_like(scores, dtype=torch.float32)
        for row, generator in zip(noise, self._generators, strict=True):
            row.exponential_(generator=generator)
        return scores.float() - noise.log()
