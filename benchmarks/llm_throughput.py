"""Is an endpoint kept busy? 5,000 short requests to a server of fixed latency and capacity.

`python benchmarks/llm_throughput.py` asks one server (benchmarks/llm_server.py: 64 requests at once, 50 ms each, then 429) in
turns: ours, which is told nothing and finds the capacity out, and ours told it; asyncio.gather with a semaphore that is told it,
over httpx2 and over aiohttp; and datatrove's InferenceRunner, told it too. The ideal is requests / capacity x latency. Client and
server share the machine's cores.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable
from typing import Any

from common import Clock, ratio, record, say
from llm_calls import Served, take_usage

from gecko_hf.llm.annotator import map_in_order
from gecko_hf.llm.base import Sampling
from gecko_hf.llm.endpoints.openai import OpenAIModel

PEERS = ("aiohttp", "httpx2", "datatrove")
GREEDY = Sampling(temperature=0.0, max_tokens=4)
Post = Callable[[dict[str, Any]], Awaitable[Any]]


def body(i: int) -> dict[str, Any]:
    """A request."""
    return {"model": "m", "prompt": f"prompt {i}", "max_tokens": 4, "temperature": 0.0}


def main() -> None:
    """Measure in turns and print a row each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--capacity", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds a request")
    parser.add_argument("--cache-tokens", type=int, nargs="*", default=[], help=argparse.SUPPRESS)
    options = parser.parse_args()
    ideal = options.requests / options.capacity * options.latency
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in WAYS}
    with Served(options) as url:
        for _ in range(options.rounds):
            for name, ask in WAYS.items():
                take_usage(url)
                clock = ask(url, options.requests, options.capacity)
                usage = take_usage(url)
                assert usage["requests"] == options.requests, f"{name}: {usage}"
                found[name].append((clock.seconds, clock.processor or 0.0, usage["refused"]))
                sys.stderr.write(f"{name}: {clock.seconds:.2f} s\n")
    say(f"{options.requests:,} requests, {options.capacity} at once, {options.latency} s each: ideal {ideal:.2f} s")
    say("| | seconds | to the ideal | ours to it | client's processor s | refused |\n|---|---:|---:|---:|---:|---:|")
    ours_seconds = [seconds for seconds, *_ in next(iter(found.values()))]
    for name, rows in found.items():
        seconds, used, refused = (list(column) for column in zip(*rows, strict=True))
        middle, least, most = ratio(ours_seconds, seconds)
        say(
            f"| {name} | {statistics.median(seconds):.2f} | {statistics.median(seconds) / ideal:.2f} ({min(seconds) / ideal:.2f} "
            f"to {max(seconds) / ideal:.2f}) | {middle:.2f} ({least:.2f} to {most:.2f}) "
            f"| {statistics.median(used):.2f} | {statistics.median(refused):.0f} |"
        )
        shape = {"requests": options.requests, "capacity": options.capacity, "latency": options.latency}
        costs = {"seconds": seconds, "processor_seconds": used, "refused": refused}
        record("llm_throughput", peers=PEERS, who=name, **shape, ideal=ideal, **costs)


def timed(work: Callable[[], object]) -> Clock:
    """What a piece of work takes, imports done."""
    clock = Clock()
    with clock.running():
        work()
    return clock


def ours(url: str, count: int, capacity: int, most: int = 512) -> Clock:
    """Told nothing but the most that it may try; asked as the annotator asks."""

    async def session() -> None:
        async with OpenAIModel([url], model="m", concurrency=most) as llm:
            await map_in_order(lambda i: llm.generate(f"prompt {i}", GREEDY), range(count))

    return timed(lambda: asyncio.run(session()))


def ours_told(url: str, count: int, capacity: int) -> Clock:
    """Told the capacity, which it still begins below."""
    return ours(url, count, capacity, most=capacity)


def over_httpx2(url: str, count: int, capacity: int) -> Clock:
    """gather, a semaphore and one httpx2 client with kept connections."""
    import httpx2

    async def session() -> None:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=capacity)
        async with httpx2.AsyncClient(limits=limits, timeout=120) as client:

            async def post(sent: dict[str, Any]) -> Any:
                answer = await client.post(f"{url}/v1/completions", json=sent)
                return answer.raise_for_status().json()

            await _gather(post, count, capacity)

    return timed(lambda: asyncio.run(session()))


def over_aiohttp(url: str, count: int, capacity: int) -> Clock:
    """gather, a semaphore and one aiohttp session."""
    import aiohttp

    async def session() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:

            async def post(sent: dict[str, Any]) -> Any:
                async with client.post(f"{url}/v1/completions", json=sent) as answer:
                    answer.raise_for_status()
                    return await answer.json()

            await _gather(post, count, capacity)

    return timed(lambda: asyncio.run(session()))


async def _gather(post: Post, count: int, capacity: int) -> None:
    places = asyncio.Semaphore(capacity)

    async def ask(i: int) -> Any:
        async with places:
            return await post(body(i))

    await asyncio.gather(*(ask(i) for i in range(count)))


def inference_runner(url: str, count: int, capacity: int) -> Clock:
    """The runner of datatrove, one request a document."""
    from datatrove.data import Document
    from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
    from datatrove.pipeline.writers import JsonlWriter
    from loguru import logger

    logger.remove()

    async def rollout(document: Document, generate: Post) -> str:
        return str((await generate(body(int(document.id)))).text)

    with tempfile.TemporaryDirectory() as folder:
        config = InferenceConfig(
            server_type="endpoint", model_name_or_path="m", use_chat=False, endpoint_url=url,
            max_concurrent_generations=capacity,
        )  # fmt: skip
        runner = InferenceRunner(rollout, config, JsonlWriter(folder))
        return timed(lambda: list(runner.run((Document(f"text {i}", str(i)) for i in range(count)), 0, 1) or ()))


WAYS: dict[str, Callable[[str, int, int], Clock]] = {
    "gecko_hf, told nothing": ours,
    "gecko_hf, told the capacity": ours_told,
    "gather + semaphore, httpx2": over_httpx2,
    "gather + semaphore, aiohttp": over_aiohttp,
    "datatrove's InferenceRunner": inference_runner,
}

if __name__ == "__main__":
    main()
