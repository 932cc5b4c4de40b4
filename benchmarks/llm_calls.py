"""FRet's calls of a language model: ours with its two savings on and off, a plain asyncio loop, and datatrove's InferenceRunner.

`python benchmarks/llm_calls.py` writes a query for each seed and scores its candidates with the same few-shot prompts, against
one server (benchmarks/llm_server.py) whose prefix cache starts empty for each of them. Passages are numpy's and scipy's
docstrings; a seed's candidates are the 20 passages around it, so that a passage is a candidate of some 20 queries, as it is
where a corpus is densely sampled. The loop and the runner are told the server's capacity; ours finds it out. 64 requests at
once of 0.2 s each are 320 a second.

With `--distilabel-python PATH`, the Python of an environment with distilabel, its client takes a turn
(benchmarks/distilabel_client.py). The start of that process and the loading of our tokenizer are not counted in the seconds, the
latter is in the client's processor; that of the process is not known.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import record, say

from gecko_hf.corpus.docstrings import read_docstrings
from gecko_hf.corpus.passages import Passage
from gecko_hf.fret.generate import generate_queries
from gecko_hf.fret.rank import judge
from gecko_hf.llm.annotator import PromptedAnnotator
from gecko_hf.llm.base import RELEVANCE_LABELS, PassagePrompt, Sampling
from gecko_hf.llm.endpoints.openai import OpenAIModel
from gecko_hf.llm.fewshot import load_prompts, one_line
from gecko_hf.llm.reply import parse_reply

TASK, CANDIDATES, CHUNK = "search result", 20, 256  # a chunk, as in the build
LABELS = [f" {label}" for label in RELEVANCE_LABELS]
GREEDY = Sampling(temperature=0.0, max_tokens=32)


@dataclass(frozen=True)
class Job:
    """The server, what is asked of it, and the tokenizer of its model."""

    url: str
    seeds: Sequence[Passage]
    candidates: Sequence[Sequence[Passage]]
    capacity: int
    tokenizer: str
    distilabel: str | None


def main() -> None:
    """Measure in turns and print a row each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--capacity", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds a request")
    parser.add_argument("--cache-tokens", type=int, default=65_536, help="tokens that the server's prefix cache holds")
    parser.add_argument("--distilabel-python", help="python of an environment with distilabel")
    options = parser.parse_args()
    passages = [
        Passage(p.id, p.title, " ".join(p.text.split()[:120])) for p in read_docstrings(["numpy", "scipy"]).passages
    ]
    around = [max(0, min(len(passages) - CANDIDATES, i - CANDIDATES // 2)) for i in range(options.seeds)]
    with tempfile.TemporaryDirectory() as folder, Served(options) as url:
        job = Job(
            url, passages[: options.seeds], [passages[i : i + CANDIDATES] for i in around], options.capacity,
            write_tokenizer(passages, Path(folder)), options.distilabel_python,
        )  # fmt: skip
        ways = WAYS if options.distilabel_python else {n: ask for n, ask in WAYS.items() if ask is not distilabel}
        found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, ask in ways.items():
                take_usage(url)
                start, used = time.perf_counter(), time.process_time()
                begun = ask(job) or start
                seconds, used = time.perf_counter() - begun, time.process_time() - used
                found[name].append({"seconds": seconds, "client": used, **take_usage(url)})
                sys.stderr.write(f"{name}: {seconds:.1f} s\n")
    show(found, options)


def show(found: dict[str, list[dict[str, float]]], options: argparse.Namespace) -> None:
    """Print and record a row a way."""
    say(
        f"{options.seeds:,} seeds, {CANDIDATES} candidates each; {options.capacity} requests at once, {options.latency} s each"
    )
    say("| | requests | prompt tokens | computed | plain loop's to it | seconds | server busy | client's processor |")
    say("|---|---:|---:|---:|---:|---:|---:|---:|")
    plain = found["plain loop"][0]["computed"]
    for name, rows in found.items():
        row = {key: statistics.median(r[key] for r in rows) for key in rows[0]}
        busy = statistics.median(r["busy"] / (r["seconds"] * options.capacity) for r in rows)
        say(
            f"| {name} | {row['requests']:,.0f} | {row['read'] / 1e6:.2f} M | {row['computed'] / 1e6:.2f} M | "
            f"{plain / row['computed']:.1f} | {row['seconds']:.1f} | {busy:.0%} "
            f"| {1e3 * row['client'] / row['requests']:.2f} ms a request |"
        )
        shape = {"seeds": options.seeds, "capacity": options.capacity, "latency": options.latency}
        record("llm_calls", who=name, **shape, cache_tokens=options.cache_tokens, busy_share=round(busy, 3), **row)


class Served:
    """The server, in a process of its own."""

    def __init__(self, options: argparse.Namespace) -> None:
        names = ("capacity", "latency", "cache_tokens")
        rest = [f"--{name.replace('_', '-')}={getattr(options, name)}" for name in names]
        self.command = [sys.executable, str(Path(__file__).with_name("llm_server.py")), *rest]

    def __enter__(self) -> str:
        """Start it; returns its URL."""
        self.child = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.child.stdout
        return self.child.stdout.readline().strip()

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.child.communicate()


def take_usage(url: str) -> dict[str, float]:
    """What the server counted since the last time."""
    with urllib.request.urlopen(f"{url}/usage") as answer:
        usage: dict[str, float] = json.load(answer)
    return usage


def write_tokenizer(passages: Sequence[Passage], folder: Path) -> str:
    """A tokenizer whose tokens are words, as the server's are."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = sorted({word for p in passages for word in f"{p.title} {p.text}".split()})
    made = Tokenizer(models.WordLevel({"[UNK]": 0, **{w: i for i, w in enumerate(words, 1)}}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]").save_pretrained(folder)
    return str(folder)


def ours(*, one_pass: bool, by_passage: bool) -> Callable[[Job], float]:
    """FRet's own path: all queries, then the scores chunk by chunk. Tells when the tokenizer had been loaded."""

    def ask(job: Job) -> float:
        model = OpenAIModel([job.url], model="m", concurrency=512, tokenizer=job.tokenizer)
        begun = time.perf_counter()
        llm = PromptedAnnotator(model, load_prompts(), GREEDY)
        written, rejected = generate_queries(llm, job.seeds, [TASK] * len(job.seeds))
        assert not rejected, rejected[0]
        for start in range(0, len(written), CHUNK):
            queries = [w.query for w in written[start : start + CHUNK]]
            rows = job.candidates[start : start + CHUNK]
            if by_passage:
                judge(llm, queries, rows, one_pass=one_pass)
                continue
            prompts = [
                PassagePrompt(p.id, p.title, p.text, query=q) for q, row in zip(queries, rows, strict=True) for p in row
            ]
            llm.judge(prompts, RELEVANCE_LABELS, one_pass=one_pass)
        return begun

    return ask


def texts_of(passage: Passage, query: str) -> list[str]:
    """The four texts that are scored of a pair: P_QL with the query, P_RC with each label."""
    prompts, asked = load_prompts(), PassagePrompt(passage.id, passage.title, passage.text, query=query)
    return [f"{prompts.likelihood(asked)} {one_line(query)}", *(prompts.relevance(asked) + label for label in LABELS)]


def writing(passage: Passage) -> dict[str, Any]:
    """The request for a query."""
    prompt = load_prompts().generation(PassagePrompt(passage.id, passage.title, passage.text, task=TASK))
    return {"model": "m", "prompt": prompt, "max_tokens": 32, "temperature": 0.0, "stop": ["\n"]}


def scoring(text: str) -> dict[str, Any]:
    """The request for the log-probabilities of a text."""
    return {"model": "m", "prompt": text, "max_tokens": 1, "temperature": 0.0, "echo": True, "logprobs": 1}


async def of_seed(i: int, job: Job, post: Callable[[dict[str, Any]], Any]) -> None:
    """What a script does for a seed: a query, then candidate by candidate side by side, each text after the other."""
    reply = await post(writing(job.seeds[i]))
    _, query = parse_reply(f"Task: {TASK}\nQuery:{reply}")

    async def of_candidate(passage: Passage) -> None:
        for text in texts_of(passage, query):
            await post(scoring(text))

    await asyncio.gather(*(of_candidate(p) for p in job.candidates[i]))


def plain_loop(job: Job) -> None:
    """asyncio.gather over seeds, a semaphore and one HTTP client with kept connections."""
    import httpx2

    async def session() -> None:
        places = asyncio.Semaphore(job.capacity)
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=job.capacity)
        async with httpx2.AsyncClient(limits=limits, timeout=120) as client:

            async def post(body: dict[str, Any]) -> str:
                async with places:
                    answer = await client.post(f"{job.url}/v1/completions", json=body)
                answer.raise_for_status()
                return str(answer.json()["choices"][0]["text"])

            await asyncio.gather(*(of_seed(i, job, post) for i in range(len(job.seeds))))

    asyncio.run(session())


def inference_runner(job: Job) -> None:
    """The runner of datatrove with the same requests; it keeps texts only, so the scores themselves would be lost."""
    from datatrove.data import Document
    from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
    from datatrove.pipeline.writers import JsonlWriter
    from loguru import logger

    logger.remove()

    async def rollout(document: Document, generate: Callable[[dict[str, Any]], Any]) -> str:
        async def post(body: dict[str, Any]) -> str:
            return str((await generate(body)).text)

        await of_seed(int(document.id), job, post)
        return ""

    with tempfile.TemporaryDirectory() as folder:
        config = InferenceConfig(
            server_type="endpoint", model_name_or_path="m", use_chat=False, endpoint_url=job.url,
            max_concurrent_generations=job.capacity,
        )  # fmt: skip
        runner = InferenceRunner(rollout, config, JsonlWriter(folder))
        list(runner.run((Document(p.text, str(i)) for i, p in enumerate(job.seeds)), 0, 1) or ())


def distilabel(job: Job) -> float:
    """Its client for OpenAI-style servers, as many texts a batch as the server takes: all queries, then all scores.

    Returns when it was ready to begin.
    """
    script = str(Path(__file__).with_name("distilabel_client.py"))
    command = [str(job.distilabel), script, job.url, str(job.capacity)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as client:
        assert client.stdin
        assert client.stdout
        client.stdout.readline()
        begun = time.perf_counter()

        def ask(texts: list[str], **settings: Any) -> list[str]:
            client.stdin.write(json.dumps({"texts": texts, "settings": settings}) + "\n")
            client.stdin.flush()
            written: list[str] = json.loads(client.stdout.readline())
            return written

        prompts = [str(writing(p)["prompt"]) for p in job.seeds]
        replies = ask(prompts, max_new_tokens=32, temperature=0.0)
        queries = [parse_reply(f"Task: {TASK}\nQuery:{reply}")[1] for reply in replies]
        texts = [t for q, row in zip(queries, job.candidates, strict=True) for p in row for t in texts_of(p, q)]
        ask(texts, max_new_tokens=1, temperature=0.0, echo=True, top_logprobs=1)
    return begun


WAYS: dict[str, Callable[[Job], float | None]] = {
    "plain loop": plain_loop,
    "datatrove's InferenceRunner": inference_runner,
    "distilabel's OpenAILLM, batches of the capacity": distilabel,
    "gecko_hf, pairs as they come": ours(one_pass=False, by_passage=False),
    "gecko_hf": ours(one_pass=False, by_passage=True),
    "gecko_hf, one pass, pairs as they come": ours(one_pass=True, by_passage=False),
    "gecko_hf, one pass": ours(one_pass=True, by_passage=True),
}

if __name__ == "__main__":
    main()
