"""A loopback server that answers as vLLM does, takes a fixed time a request, and counts what a GPU would have to compute.

    python benchmarks/llm_server.py --capacity 64 --latency 0.1 --cache-tokens 8192 65536

Words are tokens. A prompt's blocks of 16 tokens that the prefix cache (the least recently used go first) holds are not
computed again; caches of several sizes are counted side by side. Every client is given that, also for log-probabilities of
prompts, for which a real server may go past its cache, as TGI does. More than `capacity` requests at once get 429.
`GET /usage` tells requests, tokens read, tokens computed and the seconds that places were taken, and starts anew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import zlib
from collections import OrderedDict
from typing import Any

BLOCK = 16


class PrefixCache:
    """Blocks of tokens by everything up to their end.

    Args:
        tokens: How many tokens it holds.
    """

    def __init__(self, tokens: int) -> None:
        self.most = tokens // BLOCK
        self.blocks: OrderedDict[int, None] = OrderedDict()

    def computed(self, ids: list[int]) -> int:
        """How many tokens of a prompt are not served; afterwards the cache holds its whole blocks."""
        key, served, hit = 0, 0, True
        for start in range(0, len(ids) - BLOCK + 1, BLOCK):
            key = hash((key, *ids[start : start + BLOCK]))
            hit = hit and key in self.blocks
            served += BLOCK * hit
            self.blocks[key] = None
            self.blocks.move_to_end(key)
        while len(self.blocks) > self.most:
            self.blocks.popitem(last=False)
        return len(ids) - min(served, len(ids) - 1)  # the last token's output is always needed


class Server:
    """`/v1/completions` with `echo` and `logprobs`, or without."""

    def __init__(self, capacity: int, latency: float, cache_tokens: list[int]) -> None:
        self.capacity, self.latency, self.cache_tokens = capacity, latency, cache_tokens
        self.in_flight = 0
        self.start_anew()

    def start_anew(self) -> None:
        """Nothing is cached, nothing counted."""
        self.caches = {tokens: PrefixCache(tokens) for tokens in self.cache_tokens}
        self.usage: dict[str, float] = {"requests": 0, "refused": 0, "read": 0, "busy": 0.0}
        self.computed = dict.fromkeys(self.cache_tokens, 0)

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = head.partition("content-length:")[2].partition("\r\n")[0]
                body = await reader.readexactly(int(length or 0))
                status, answer = await self.answer(head.split(" ", 2)[1], json.loads(body or b"null"))
                raw = json.dumps(answer).encode()
                start = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(raw)}\r\n\r\n"
                writer.write(start.encode() + raw)
                if "connection: close" in head:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def answer(self, path: str, body: dict[str, Any] | None) -> tuple[int, Any]:
        """Status and body."""
        if path == "/usage":
            usage = {**self.usage, "computed": self.computed}
            self.start_anew()
            return 200, usage
        if body is None:
            return 200, {"data": [{"id": "m"}]}  # GET /v1/models, which some clients wait for
        if self.in_flight >= self.capacity:
            self.usage["refused"] += 1
            return 429, {"error": "Model is overloaded"}
        self.in_flight += 1
        try:
            await asyncio.sleep(self.latency)
        finally:
            self.in_flight -= 1
        ids = [zlib.crc32(word.encode()) for word in body["prompt"].split()]
        for name, value in (("requests", 1), ("read", len(ids)), ("busy", self.latency)):
            self.usage[name] += value
        for tokens, cache in self.caches.items():
            self.computed[tokens] += cache.computed(ids)
        return 200, completion(body, ids)


def completion(body: dict[str, Any], ids: list[int]) -> dict[str, Any]:
    """The answer to a request."""
    query = zlib.crc32(
        body["prompt"].encode()
    )  # another one for each prompt, else equal pairs would be asked about once
    written = f" what is {query} or {ids[len(ids) // 2]} {len(ids)}" if body["max_tokens"] > 1 else " it"
    choice: dict[str, Any] = {"index": 0, "text": written, "finish_reason": "stop", "logprobs": None}
    if body.get("echo"):
        words = body["prompt"].split()
        values = [-(i % 997) / 100 - 0.01 for i in ids]
        choice |= {"text": body["prompt"] + written, "finish_reason": "length"}
        choice["logprobs"] = {"tokens": [*words, "it"], "token_logprobs": [None, *values[1:], -1.0], "text_offset": []}
    return {"choices": [choice], "usage": {"prompt_tokens": len(ids), "completion_tokens": len(written.split())}}


async def main() -> None:
    """Serve at a free port, which is printed, until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capacity", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.1)
    parser.add_argument("--cache-tokens", type=int, nargs="*", default=[65536])
    options = parser.parse_args()
    made = Server(options.capacity, options.latency, options.cache_tokens)
    server = await asyncio.start_server(made.connection, "127.0.0.1", 0, backlog=1024, limit=2**20)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
