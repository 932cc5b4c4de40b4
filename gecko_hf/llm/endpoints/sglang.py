"""`sglang`: SGLang's native `/generate`, whose `input_token_logprobs` carry token ids and log-probabilities together."""

from __future__ import annotations

from typing import Any

from gecko_hf.errors import LLMError
from gecko_hf.llm.base import Completion, Sampling
from gecko_hf.llm.endpoints.http import NoRoute
from gecko_hf.llm.endpoints.model import EndpointModel, no_logprobs, whole
from gecko_hf.llm.endpoints.transport import Failure


class SGLangModel(EndpointModel):
    """A model served by SGLang."""

    async def _generate(self, url: str, prompt: str, sampling: Sampling) -> Completion:
        how: dict[str, Any] = {
            "max_new_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "stop": list(sampling.stop),
        }
        if sampling.seed is not None:
            how["sampling_seed"] = sampling.seed  # read where the server runs with --enable-deterministic-inference
        answer = await self._post(f"{url}/generate", {"text": prompt, "sampling_params": how})
        meta = answer["meta_info"]
        reason = "length" if meta["finish_reason"]["type"] == "length" else "stop"
        return Completion(str(answer["text"]), reason, int(meta["prompt_tokens"]), int(meta["completion_tokens"]))

    async def _prompt_logprobs(self, url: str, text: str, ids: list[int]) -> list[float | None]:
        body = {
            "text": text,
            "sampling_params": {"max_new_tokens": 1, "temperature": 0},
            "return_logprob": True,
            "logprob_start_len": 0,
        }
        meta = (await self._post(f"{url}/generate", body))["meta_info"]
        listed = meta.get("input_token_logprobs")
        if not listed:
            raise no_logprobs(url, "This needs SGLang's native /generate route.")
        if int(meta["prompt_tokens"]) != len(ids):
            raise Failure(f"{meta['prompt_tokens']} prompt tokens counted for a text of {len(ids)}.")
        values = whole([entry[0] for entry in listed], ids)
        if [int(entry[1]) for entry in listed] != list(ids):
            raise LLMError(
                f"{url} reads a text as other tokens than llm.tokenizer gives. Name the served model's tokenizer."
            )
        return values

    async def _tokenize(self, url: str, text: str) -> list[int]:
        try:
            answer = await self._post(f"{url}/tokenize", {"prompt": text})
        except NoRoute as error:
            raise LLMError(
                f"{url} does not tell the tokens of a text. Name the served model's tokenizer: llm.tokenizer=FOLDER_OR_HUB_ID"
            ) from error
        return [int(token) for token in answer["tokens"]]
