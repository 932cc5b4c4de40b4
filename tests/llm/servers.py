"""Test servers on 127.0.0.1 that answer as TGI, vLLM, llama-cpp-python and SGLang do, over any small model.

TGI follows its openapi.json (3.3.6-dev0): 422 for an empty completion or a temperature of 0, 429 at once when all permits are
taken, `prefill` empty without the start flag, BOS listed with a null log-probability. The others follow their sources.
"""

import asyncio
import json
import threading
import zlib
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path


class HashModel:
    """No network: bytes as tokens after one BOS, log-probabilities and completions by checksum."""

    name = "hash"

    def ids(self, text: str) -> list[int]:
        return [256, *text.encode()]

    def text_of(self, token: int) -> str:
        return "<s>" if token == 256 else bytes([token]).decode("utf-8", "replace")

    def logprobs(self, ids: list[int]) -> list[float | None]:
        return [
            None,
            *(-(zlib.crc32(bytes([a % 256, b])) % 997) / 100 - 0.01 for a, b in pairwise(ids)),
        ]

    def complete(self, prompt: str, max_tokens: int) -> list[int]:
        return list(f" words {zlib.crc32(prompt.encode())}\n".encode())[:max_tokens]


class TorchModel:
    """A saved causal LM, asked one text at a time in 32 bit."""

    def __init__(self, path: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.name, self.torch = str(path), torch
        self.tokenizer = AutoTokenizer.from_pretrained(path)
        self.model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()

    def ids(self, text: str) -> list[int]:
        return self.tokenizer(text)["input_ids"]

    def text_of(self, token: int) -> str:
        return self.tokenizer.decode([token])

    def logprobs(self, ids: list[int]) -> list[float | None]:
        with self.torch.no_grad():
            table = self.model(self.torch.tensor([ids])).logits[0].log_softmax(-1)
        return [None, *(float(table[i - 1, ids[i]]) for i in range(1, len(ids)))]

    def complete(self, prompt: str, max_tokens: int) -> list[int]:
        ids = self.ids(prompt)
        start = len(ids)
        with self.torch.no_grad():
            for _ in range(max_tokens):
                ids.append(int(self.model(self.torch.tensor([ids])).logits[0, -1].argmax()))
        return ids[start:]


class Refuse(Exception):
    def __init__(self, status: int, kind: str, error: str) -> None:
        self.status, self.kind, self.error = status, kind, error


class TestServer:
    """One server in a thread of its own; used as `with TestServer("tgi", model) as server: server.url`.

    Args:
        flavour: tgi, vllm, llama or sglang.
        model: What answers.
        capacity: Requests at once; more get 429.
        latency: Seconds that each request takes at least.
        prefill: Whether log-probabilities of prompts are given (TGI's start flag).
        key: The API key that requests must carry; a wrong one is repeated in the 401, as careless servers do.
        muddle: Whether log-probabilities come out wrong while other requests run (TGI issue 2502).
        fault: For the number of a request, the fault to play: reset, 429, 503, stall, truncated, malformed, count, or None.
        tokenizes: Whether there is a route that tells tokens.
        longest: Most tokens in a prompt.
    """

    __test__ = False

    def __init__(
        self, flavour: str, model=None, *, capacity: int | None = None, latency: float = 0.0, prefill: bool = True,
        key: str | None = None, muddle: bool = False, fault: Callable[[int], str | None] = lambda _: None,
        tokenizes: bool = True, longest: int = 4096, stall: float = 3.0,
    ) -> None:  # fmt: skip
        self.flavour, self.model = flavour, model or HashModel()
        self.capacity, self.latency, self.prefill, self.key = capacity, latency, prefill, key
        self.muddle, self.fault, self.tokenizes, self.longest, self.stall = muddle, fault, tokenizes, longest, stall
        self.requests: Counter[str] = Counter()
        self.seen: list[dict] = []
        self.in_flight = self.most_in_flight = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._ready = threading.Event()

    def __enter__(self) -> "TestServer":
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())
        self._loop.close()

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        self._tasks: set = set()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # closed connections leave the loop in its next turn

    async def _connection(self, reader, writer) -> None:
        self._tasks.add(asyncio.current_task())
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lines = head.split("\r\n")
                headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                method, path, _ = lines[0].split(" ")
                await self._request(writer, method, path, headers, json.loads(body or b"null"))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._tasks.discard(asyncio.current_task())
            writer.close()

    async def _request(self, writer, method: str, path: str, headers: dict, body) -> None:
        number = self.requests[path]
        self.requests[path] += 1
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            return self._send(
                writer, 401, {"error": f"bad key in {headers.get('authorization')}", "error_type": "auth"}
            )
        route = getattr(self, "_" + (self.flavour + path).replace("/", "_").replace(".", "_"), None)
        if route is None or ("tokenize" in path and not self.tokenizes):
            return self._send(writer, 404, {"error": "Not Found"})
        if "tokenize" in path or path == "/info":
            return self._send(writer, 200, route(body))
        fault = self.fault(number)
        if fault == "reset":
            writer.transport.abort()
            raise ConnectionResetError
        if fault in ("429", "503"):
            return self._send(
                writer, int(fault), {"error": "busy", "error_type": "overloaded"}, "Retry-After: 0.05\r\n"
            )
        if fault == "malformed":
            return self._send(writer, 200, None, raw=b'{"choices": [{"tex')
        if self.capacity is not None and self.in_flight >= self.capacity:
            return self._send(writer, 429, {"error": "Model is overloaded", "error_type": "overloaded"})
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.stall if fault == "stall" else self.latency)
            crowded = self.muddle and self.in_flight > 1
            answer = route(body)
        except Refuse as error:
            return self._send(writer, error.status, {"error": error.error, "error_type": error.kind})
        finally:
            self.in_flight -= 1
        text = json.dumps(answer if not crowded else _muddled(answer))
        if fault == "count":
            text = json.dumps(_shortened(answer))
        if fault == "truncated":
            self._send(writer, 200, None, raw=text.encode()[: len(text) // 2], length=len(text.encode()))
            writer.transport.close()
            raise ConnectionResetError
        self.seen.append(body)
        self._send(writer, 200, None, raw=text.encode())

    def _send(
        self, writer, status: int, answer, extra: str = "", *, raw: bytes | None = None, length: int | None = None
    ):
        raw = json.dumps(answer).encode() if raw is None else raw
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length or len(raw)}\r\n{extra}\r\n"
        writer.write(head.encode() + raw)

    # TGI

    def _tgi_info(self, _) -> dict:
        return {"model_id": self.model.name, "model_sha": "abc123", "max_concurrent_requests": self.capacity or 128}

    def _tgi_tokenize(self, body: dict) -> list:
        return [{"id": i, "text": self.model.text_of(i), "start": 0, "stop": 0} for i in self.model.ids(body["inputs"])]

    def _tgi_generate(self, body: dict) -> dict:
        how = body.get("parameters") or {}
        count = how.get("max_new_tokens", 100)
        temperature = how.get("temperature")
        if count is not None and count < 1:
            raise Refuse(422, "validation", "Input validation error: `max_new_tokens` must be strictly positive")
        if temperature is not None and temperature <= 0:
            raise Refuse(422, "validation", "Input validation error: `temperature` must be strictly positive")
        ids = self.model.ids(body["inputs"])
        if len(ids) > self.longest:
            raise Refuse(
                422, "validation", f"Input validation error: `inputs` must have less than {self.longest} tokens"
            )
        prefill = []
        if how.get("decoder_input_details") and self.prefill:
            values = self.model.logprobs(ids)
            prefill = [{"id": i, "text": self.model.text_of(i), "logprob": v} for i, v in zip(ids, values, strict=True)]
        written, text, ended = self._write(body["inputs"], count, how.get("stop") or [], keep_stop=True)
        tokens = [{"id": i, "text": self.model.text_of(i), "logprob": -1.0, "special": False} for i in written]
        details = {
            "finish_reason": "stop_sequence" if ended else "length", "generated_tokens": len(written), "seed": how.get("seed"),
            "prefill": prefill, "tokens": tokens,
        }  # fmt: skip
        return {"generated_text": text, "details": details}

    # OpenAI-style: vLLM and llama-cpp-python

    def _vllm_tokenize(self, body: dict) -> dict:
        ids = self.model.ids(body["prompt"])
        return {"tokens": ids, "count": len(ids), "max_model_len": self.longest}

    def _llama_extras_tokenize(self, body: dict) -> dict:
        return {"tokens": self.model.ids(body["input"])}

    def _vllm_v1_completions(self, body: dict, *, bos: bool = True) -> dict:
        ids = self.model.ids(body["prompt"])
        if len(ids) > self.longest:
            raise Refuse(400, "BadRequestError", f"maximum context length is {self.longest} tokens")
        written, text, ended = self._write(body["prompt"], body["max_tokens"], body.get("stop") or [])
        logprobs = None
        if body.get("logprobs") is not None and self.prefill:
            listed = ids if bos else ids[1:]
            values = self.model.logprobs(ids)[0 if bos else 1 :]
            values[0] = None
            logprobs = {
                "tokens": [self.model.text_of(i) for i in [*listed, *written]],
                "token_logprobs": [*values, *(-1.0 for _ in written)],
                "text_offset": [0] * (len(listed) + len(written)),
            }
        usage = {"prompt_tokens": len(ids), "completion_tokens": len(written)}
        choice = {
            "text": (body["prompt"] if body.get("echo") else "") + text, "logprobs": logprobs, "index": 0,
            "finish_reason": "stop" if ended else "length",
        }  # fmt: skip
        return {"choices": [choice], "usage": usage}

    def _llama_v1_completions(self, body: dict) -> dict:
        return self._vllm_v1_completions(body, bos=False)

    # SGLang

    def _sglang_tokenize(self, body: dict) -> dict:
        return {"tokens": self.model.ids(body["prompt"])}

    def _sglang_generate(self, body: dict) -> dict:
        how = body["sampling_params"]
        ids = self.model.ids(body["text"])
        written, text, ended = self._write(body["text"], how["max_new_tokens"], how.get("stop") or [])
        meta = {
            "prompt_tokens": len(ids), "completion_tokens": len(written),
            "finish_reason": {"type": "stop" if ended else "length"},
        }  # fmt: skip
        if body.get("return_logprob") and self.prefill:
            meta["input_token_logprobs"] = [[v, i, None] for v, i in zip(self.model.logprobs(ids), ids, strict=True)]
        return {"text": text, "meta_info": meta}

    def _write(self, prompt: str, count: int, stops: list[str], *, keep_stop: bool = False):
        """Tokens, text and whether a stop string ended it; decoded token by token, as a stream would be."""
        written, raw = [], ""
        for token in self.model.complete(prompt, count):
            written.append(token)
            raw += self.model.text_of(token)
            found = [raw.index(s) + (len(s) if keep_stop else 0) for s in stops if s in raw]
            if found:
                return written, raw[: min(found)], True
        return written, raw, False


def _muddled(answer: dict) -> dict:
    """Log-probabilities as they came out under concurrency: off, but plausible."""
    for token in answer.get("details", {}).get("prefill", ()):
        token["logprob"] = token["logprob"] and token["logprob"] - 0.5
    for choice in answer.get("choices", ()):
        if choice["logprobs"]:
            values = choice["logprobs"]["token_logprobs"]
            choice["logprobs"]["token_logprobs"] = [v and v - 0.5 for v in values]
    for entry in answer.get("meta_info", {}).get("input_token_logprobs", ()):
        entry[0] = entry[0] and entry[0] - 0.5
    return answer


def _shortened(answer: dict) -> dict:
    """One token lost on the way."""
    if answer.get("details", {}).get("prefill"):
        answer["details"]["prefill"].pop(1)
    for choice in answer.get("choices", ()):
        if choice["logprobs"]:
            choice["logprobs"]["token_logprobs"] = choice["logprobs"]["token_logprobs"][2:]
    if answer.get("meta_info", {}).get("input_token_logprobs"):
        answer["meta_info"]["input_token_logprobs"].pop(1)
    return answer
