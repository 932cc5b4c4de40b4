"""An endpoint is kept busy without being told how much it takes. Slow, and only meaningful on a machine with idle cores."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gecko_hf.llm.base import Sampling
from gecko_hf.llm.endpoints.openai import OpenAIModel

REQUESTS, CAPACITY, LATENCY = 5000, 64, 0.05
IDEAL = REQUESTS / CAPACITY * LATENCY
GREEDY = Sampling(temperature=0, max_tokens=4)


@pytest.fixture
def url():
    """A server in a process of its own: 64 requests at once, 50 ms each, then 429."""
    script = (
        "import sys; from servers import TestServer\n"
        f"with TestServer('vllm', capacity={CAPACITY}, latency={LATENCY}) as server:\n"
        " print(server.url, flush=True); sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield child.stdout.readline().strip()
    child.stdin.close()
    child.stdout.close()
    assert child.wait(30) == 0


async def adaptive(url: str) -> float:
    async with OpenAIModel([url], model="m", concurrency=512) as llm:
        start = time.perf_counter()
        await asyncio.gather(*(llm.generate(f"p {i}", GREEDY) for i in range(REQUESTS)))
        return time.perf_counter() - start


async def plain(url: str) -> float:
    """asyncio.gather and a semaphore that is told the server's capacity: what a script would do."""
    places = asyncio.Semaphore(CAPACITY)
    async with OpenAIModel([url], model="m") as llm:

        async def ask(i: int) -> None:
            async with places:
                await llm._generate(url, f"p {i}", GREEDY)

        start = time.perf_counter()
        await asyncio.gather(*(ask(i) for i in range(REQUESTS)))
        return time.perf_counter() - start


@pytest.mark.slow
def test_5000_requests_end_within_a_tenth_of_the_ideal_time(url, capsys):
    told, found = asyncio.run(plain(url)), asyncio.run(adaptive(url))
    with capsys.disabled():
        sys.stdout.write(f"\nideal {IDEAL:.2f} s, gather + semaphore {told:.2f} s, adaptive {found:.2f} s\n")
    assert found < 1.10 * max(IDEAL, told)
