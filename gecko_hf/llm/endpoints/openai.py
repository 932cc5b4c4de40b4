"""`openai`: any OpenAI-style `/v1/completions` that gives the log-probabilities of its prompt (`echo` with `logprobs`).

vLLM and llama-cpp-python's server do; most hosted services do not. Tokens are aligned by count with the tokens of the text
(from `llm.tokenizer`, or the server's own `/tokenize`), since the character offsets that servers give drift on characters of
several tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

from gecko_hf.errors import LLMError
from gecko_hf.llm.base import Completion, Sampling, Scores, Span
from gecko_hf.llm.endpoints.http import NoRoute
from gecko_hf.llm.endpoints.model import EndpointModel, no_logprobs, whole
from gecko_hf.llm.endpoints.transport import Failure

SWITCH_ON = (
    "Use a server that gives them for `echo` with `logprobs`: vLLM does; llama-cpp-python's server does with --logits_all true; "
    "most hosted services do not."
)


class OpenAIModel(EndpointModel):
    """A model behind `/v1/completions`; the base URL ends before `/v1`."""

    _head: int | None = None  # special tokens that the tokenizer puts before a text

    async def _generate(self, url: str, prompt: str, sampling: Sampling) -> Completion:
        body = {
            "model": self.id,
            "prompt": prompt,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
            "stop": list(sampling.stop) or None,
        }
        answer = await self._post(f"{url}/v1/completions", {k: v for k, v in body.items() if v is not None})
        choice, usage = answer["choices"][0], answer.get("usage") or {}
        return Completion(
            str(choice["text"]),
            str(choice["finish_reason"]),
            int(usage.get("prompt_tokens", 0)),
            int(usage.get("completion_tokens", 0)),
        )

    async def _prompt_logprobs(self, url: str, text: str, ids: list[int]) -> list[float | None]:
        # One token is generated and ignored: some servers read max_tokens 0 as "no limit".
        body = {"model": self.id, "prompt": text, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}
        answer = await self._post(f"{url}/v1/completions", body)
        choice = answer["choices"][0]
        listed = choice.get("logprobs") or {}
        values = list(listed.get("token_logprobs") or ())
        if len(values) < 2 or not str(choice.get("text", "")).startswith(text[:1]):
            raise no_logprobs(url, SWITCH_ON)
        usage = answer.get("usage") or {}
        counted = usage.get("prompt_tokens")
        if counted is not None and counted != len(ids):
            raise Failure(f"{counted} prompt tokens counted for a text of {len(ids)}.")
        # llama-cpp-python writes on to the end of a character that it has begun, whatever max_tokens says.
        told = usage.get("completion_tokens")
        written = 1 if told is None else int(told)
        hidden = self._left_out(url, len(ids), len(values) - written)
        if hidden and not text.lstrip().startswith(str(listed["tokens"][0]).strip(" \u2581\ufffd")):
            raise Failure(f"log-probabilities of {len(values) - written} tokens for a text of {len(ids)}.")
        return [None] * hidden + whole(values[: len(ids) - hidden], ids[hidden:])

    def _left_out(self, url: str, tokens: int, listed: int) -> int:
        """How many special tokens before a text are not in the list of its tokens: llama-cpp-python leaves BOS out.

        That is told by the count, since the text's own first token may begin with a space that the text has not.

        Raises:
            LLMError: If the list is one short and there is no BOS: llama-cpp-python then gives each token the probability
                that it has behind itself, which is noise.
            Failure: If it has any other length.
        """
        for hidden in {0, self._head or 0}:
            if listed == tokens - hidden:
                return hidden
        if listed == tokens - 1 and not self._head:
            raise LLMError(
                f"{url} lists log-probabilities of {listed} tokens for a text of {tokens}, as llama-cpp-python does for models "
                "without a token that begins a text; they are not those of the tokens that they stand beside. Serve this model "
                "with vLLM, or let another one judge: judge.backend=local judge.model=FOLDER_OR_HUB_ID"
            )
        raise Failure(f"log-probabilities of {listed} tokens for a text of {tokens}.")

    async def _score(self, text: str, spans: Sequence[Span]) -> Scores:
        if self._head is None:
            first, second = await self.tokens.of_prefix("a"), await self.tokens.of_prefix("7")
            self._head = next((i for i, (x, y) in enumerate(zip(first, second, strict=False)) if x != y), 0)
        return await super()._score(text, spans)

    async def _tokenize(self, url: str, text: str) -> list[int]:
        try:
            answer = await self._post(f"{url}/tokenize", {"model": self.id, "prompt": text})  # vLLM
        except NoRoute:
            try:
                answer = await self._post(f"{url}/extras/tokenize", {"input": text})  # llama-cpp-python
            except NoRoute as error:
                raise LLMError(
                    f"{url} does not tell the tokens of a text, so the boundary of prompt and query is not certain. "
                    "Name the served model's tokenizer: llm.tokenizer=FOLDER_OR_HUB_ID"
                ) from error
        return [int(token) for token in answer["tokens"]]
