"""`tgi`: text-generation-inference (3.0 or newer) through huggingface_hub.AsyncInferenceClient.

Prompt log-probabilities are TGI's prefill details, which a server gives only if it was started with
`--enable-prefill-logprobs`; without the flag it answers 200 with an empty list.
"""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import httpx2
from huggingface_hub import AsyncInferenceClient

from gecko_hf.errors import LLMError
from gecko_hf.llm.base import Completion, Sampling
from gecko_hf.llm.endpoints.http import Connections, OverConnections
from gecko_hf.llm.endpoints.model import EndpointModel, no_logprobs, whole

FINISHED = {"length": "length", "eos_token": "stop", "stop_sequence": "stop"}
MOST_STOPS = 4
SWITCH_ON = "Start TGI (3.0 or newer) with --enable-prefill-logprobs."


class _Client(AsyncInferenceClient):
    """The Hub's client over our connections: its own keeps 20 alive and opens the others anew for each request."""

    def __init__(self, connections: Connections, token: str | None, timeout: float) -> None:
        # Without a token the client would send the user's own Hub token to this server.
        super().__init__(token=token or "none", timeout=timeout)
        self._http = httpx2.AsyncClient(transport=OverConnections(connections), timeout=timeout)

    async def _get_async_client(self) -> httpx2.AsyncClient:
        return self._http


class TGIModel(EndpointModel):
    """A model served by TGI."""

    _hub: _Client

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._hub = _Client(self.connections, self.secret.reveal(), self.timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._hub.close()  # type: ignore[no-untyped-call]
        await super().__aexit__(kind, error, trace)

    async def identify(self) -> None:
        """Id and revision from `/info`; what the recipe says is kept."""

        async def info(url: str) -> dict[str, Any]:
            found: dict[str, Any] = await self.connections.json("GET", f"{url}/info")
            return found

        found = await self.transport.call(info)
        if self.id == "unknown":
            self.id = str(found["model_id"])
        if self.revision == "unknown" and found.get("model_sha"):
            self.revision = str(found["model_sha"])

    async def generate(self, prompt: str, sampling: Sampling) -> Completion:
        """Continue a prompt; its tokens are counted by the tokenizer, since TGI does not say how many it read."""
        done = await super().generate(prompt, sampling)
        return replace(done, prompt_tokens=len(await self.tokens.of(prompt)))

    async def _generate(self, url: str, prompt: str, sampling: Sampling) -> Completion:
        # Temperature 0 is 422 here; greedy is the absence of sampling.
        draw: dict[str, Any] = {"do_sample": False}
        if sampling.temperature > 0:
            draw = {"do_sample": True, "temperature": sampling.temperature, "seed": sampling.seed}
            if sampling.top_p < 1:
                draw["top_p"] = sampling.top_p
        if len(sampling.stop) > MOST_STOPS:
            raise LLMError(f"TGI takes {MOST_STOPS} stop strings; {len(sampling.stop)} were asked for.")
        answer = await self._hub.text_generation(
            prompt,
            model=f"{url}/generate",
            details=True,
            decoder_input_details=False,
            return_full_text=False,
            max_new_tokens=sampling.max_tokens,
            stop=list(sampling.stop) or None,
            **draw,
        )
        details = answer["details"]
        text = answer["generated_text"]
        for stop in sampling.stop:  # TGI leaves the stop string in
            text = text.partition(stop)[0]
        reason = FINISHED[details["finish_reason"]]
        return Completion(text, reason, 0, int(details["generated_tokens"]))

    async def _prompt_logprobs(self, url: str, text: str, ids: list[int]) -> list[float | None]:
        answer = await self._hub.text_generation(
            text,
            model=f"{url}/generate",
            details=True,
            decoder_input_details=True,
            return_full_text=False,
            do_sample=False,
            max_new_tokens=1,  # 0 is refused
        )
        prefill = answer["details"]["prefill"]
        if not prefill:
            raise no_logprobs(url, SWITCH_ON)
        values = whole([token["logprob"] for token in prefill], ids)
        if [token["id"] for token in prefill] != list(ids):
            raise LLMError(
                f"{url} reads a text as other tokens than its tokenizer gives: {[t['id'] for t in prefill][:8]} and {ids[:8]}. "
                "llm.tokenizer is not that of the served model."
            )
        return values

    async def _tokenize(self, url: str, text: str) -> list[int]:
        answer = await self._post(f"{url}/tokenize", {"inputs": text})
        return [int(token["id"]) for token in answer]
