"""FRet's calls of a language model: ours with its two savings on and off, a plain asyncio loop, and datatrove's InferenceRunner.

`python benchmarks/llm_calls.py` writes a query for each seed and scores its candidates with the same few-shot prompts, against
one server (benchmarks/llm_server.py: 64 requests at once of 0.2 s each, which are 320 a second) whose prefix cache starts empty
for each of them. Passages are numpy's and scipy's docstrings. Seeds are drawn from all of them, as in a build, and a seed's
candidates are the 20 passages around it; with `--dense` the first passages are the seeds, so that a passage is a candidate of
some 20 of them. The loop and the runner are told the server's capacity; ours finds it out, checks that every score covers the
query's own tokens, and keeps every answer on disk, as a build does.

With `--distilabel-python PATH`, the Python of an environment with distilabel, its client takes a turn
(benchmarks/distilabel_client.py). Imports, the start of processes and the loading of our tokenizer are not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import Clock, ratio, record, say

from gecko_hf.corpus.docstrings import read_docstrings
from gecko_hf.corpus.passages import Passage
from gecko_hf.fret.generate import generate_queries
from gecko_hf.fret.rank import judge
from gecko_hf.llm.annotator import PromptedAnnotator
from gecko_hf.llm.answers import Answers, StoredModel
from gecko_hf.llm.base import RELEVANCE_LABELS, PassagePrompt, Sampling
from gecko_hf.llm.endpoints.openai import OpenAIModel
from gecko_hf.llm.fewshot import load_prompts, one_line
from gecko_hf.llm.reply import parse_reply

TASK, CANDIDATES, CHUNK = "search result", 20, 256  # a chunk, as in the build
LABELS = [f" {label}" for label in RELEVANCE_LABELS]
GREEDY = Sampling(temperature=0.0, max_tokens=32)
PEERS = ("aiohttp", "datatrove")


@dataclass(frozen=True)
class Job:
    """The server, what is asked of it, the tokenizer of its model, and the clock that runs meanwhile."""

    url: str
    seeds: Sequence[Passage]
    candidates: Sequence[Sequence[Passage]]
    capacity: int
    tokenizer: str
    distilabel: str | None
    clock: Clock = field(default_factory=Clock)


def main() -> None:
    """Measure in turns and print a row each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=150)
    parser.add_argument("--dense", action="store_true", help="seeds side by side, whose candidates are partly the same")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--capacity", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds a request")
    parser.add_argument("--cache-tokens", type=int, nargs="*", default=[8192, 65_536, 524_288], help="of prefix caches")
    parser.add_argument("--distilabel-python", help="python of an environment with distilabel")
    options = parser.parse_args()
    passages = [
        Passage(p.id, p.title, " ".join(p.text.split()[:120])) for p in read_docstrings(["numpy", "scipy"]).passages
    ]
    order = range(len(passages))
    chosen = order[: options.seeds] if options.dense else random.Random(0).sample(order, options.seeds)
    around = [max(0, min(len(passages) - CANDIDATES, i - CANDIDATES // 2)) for i in chosen]
    with tempfile.TemporaryDirectory() as folder, Served(options) as url:
        job = Job(
            url, [passages[i] for i in chosen], [passages[i : i + CANDIDATES] for i in around], options.capacity,
            write_tokenizer(passages, Path(folder)), options.distilabel_python,
        )  # fmt: skip
        ways = WAYS if options.distilabel_python else {n: ask for n, ask in WAYS.items() if ask is not distilabel}
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, ask in ways.items():
                take_usage(url)
                ask(job)
                found[name].append({"seconds": job.clock.seconds, "client": job.clock.processor, **take_usage(url)})
                sys.stderr.write(f"{name}: {job.clock.seconds:.1f} s\n")
    say(
        f"{options.seeds:,} seeds of {len(passages):,} passages, {CANDIDATES} candidates each; {options.capacity} requests at "
        f"once, {options.latency} s each; computed: with prefix caches of {options.cache_tokens} tokens, and the loop's to it"
    )
    show(found, options)


def show(found: dict[str, list[dict[str, Any]]], options: argparse.Namespace) -> None:
    """Print and record a row a way."""
    say("| | requests | prompt tokens | computed | seconds | to the loop's | server busy | client's processor |")
    say("|---|---:|---:|---:|---:|---:|---:|---:|")
    loop = next(iter(found.values()))
    for name, rows in found.items():
        seconds, requests = [row["seconds"] for row in rows], rows[0]["requests"]
        middle, least, most = ratio(seconds, [row["seconds"] for row in loop])
        busy = statistics.median(row["busy"] / (row["seconds"] * options.capacity) for row in rows)
        client = [row["client"] for row in rows if row["client"] is not None]
        cost = f"{1e3 * statistics.median(client) / requests:.2f} ms" if client else "not known"
        computed = {size: statistics.median(row["computed"][size] for row in rows) for size in rows[0]["computed"]}
        fewer = {size: statistics.median(row["computed"][size] for row in loop) / n for size, n in computed.items()}
        say(
            f"| {name} | {requests:,} | {rows[0]['read'] / 1e6:.2f} M "
            f"| {'; '.join(f'{n / 1e6:.2f} M, {fewer[size]:.2f}' for size, n in computed.items())} "
            f"| {statistics.median(seconds):.1f} | {middle:.2f} ({least:.2f} to {most:.2f}) | {busy:.0%} | {cost} |"
        )
        asked = {k: v for k, v in vars(options).items() if k != "distilabel_python"}
        record(
            "llm_calls", peers=PEERS, who=name, **asked, busy_share=round(busy, 3), ratio=round(middle, 3), runs=rows
        )


class Served:
    """The server, in a process of its own."""

    def __init__(self, options: argparse.Namespace) -> None:
        names = ("capacity", "latency")
        rest = [f"--{name}={getattr(options, name)}" for name in names]
        caches = ["--cache-tokens", *map(str, options.cache_tokens)]
        self.command = [sys.executable, str(Path(__file__).with_name("llm_server.py")), *rest, *caches]

    def __enter__(self) -> str:
        """Start it; returns its URL."""
        self.child = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.child.stdout
        return self.child.stdout.readline().strip()

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.child.communicate()


def take_usage(url: str) -> dict[str, Any]:
    """What the server counted since the last time."""
    with urllib.request.urlopen(f"{url}/usage") as answer:
        usage: dict[str, Any] = json.load(answer)
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


def ours(*, one_pass: bool, by_passage: bool) -> Callable[[Job], None]:
    """FRet's own path: all queries, then the scores chunk by chunk, all kept in a store."""

    def ask(job: Job) -> None:
        model = OpenAIModel([job.url], model="m", concurrency=512, tokenizer=job.tokenizer)
        with tempfile.TemporaryDirectory() as folder:
            answers = Answers(Path(folder) / "answers.sqlite")
            llm = PromptedAnnotator(StoredModel(model, answers), load_prompts(), GREEDY)
            with job.clock.running():
                written, rejected = generate_queries(llm, job.seeds, [TASK] * len(job.seeds))
                assert not rejected, rejected[0]
                for start in range(0, len(written), CHUNK):
                    queries = [w.query for w in written[start : start + CHUNK]]
                    rows = job.candidates[start : start + CHUNK]
                    if by_passage:
                        judge(llm, queries, rows, one_pass=one_pass)
                    else:
                        asked = [_about(p, q) for q, row in zip(queries, rows, strict=True) for p in row]
                        llm.judge(asked, RELEVANCE_LABELS, one_pass=one_pass)
            answers.close()

    return ask


def _about(passage: Passage, query: str) -> PassagePrompt:
    return PassagePrompt(passage.id, passage.title, passage.text, query=query)


def texts_of(passage: Passage, query: str) -> list[str]:
    """The four texts that are scored of a pair: P_QL with the query, P_RC with each label."""
    prompts, asked = load_prompts(), _about(passage, query)
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
    """asyncio.gather over seeds, a semaphore and one aiohttp session; nothing is checked, and the scores are thrown away."""
    import aiohttp

    async def session() -> None:
        places = asyncio.Semaphore(job.capacity)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:

            async def post(body: dict[str, Any]) -> str:
                async with places, client.post(f"{job.url}/v1/completions", json=body) as answer:
                    answer.raise_for_status()
                    read = await answer.json()
                return str(read["choices"][0]["text"])

            await asyncio.gather(*(of_seed(i, job, post) for i in range(len(job.seeds))))

    with job.clock.running():
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
        with job.clock.running():
            list(runner.run((Document(p.text, str(i)) for i, p in enumerate(job.seeds)), 0, 1) or ())


def distilabel(job: Job) -> None:
    """Its client for OpenAI-style servers, as many texts a batch as the server takes: all queries, then all scores."""
    script = str(Path(__file__).with_name("distilabel_client.py"))
    command = [str(job.distilabel), script, job.url, str(job.capacity)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as client:
        assert client.stdin
        assert client.stdout
        client.stdout.readline()

        def ask(texts: list[str], **settings: Any) -> list[str]:
            client.stdin.write(json.dumps({"texts": texts, "settings": settings}) + "\n")
            client.stdin.flush()
            written: list[str] = json.loads(client.stdout.readline())
            return written

        with job.clock.running():
            prompts = [str(writing(p)["prompt"]) for p in job.seeds]
            replies = ask(prompts, max_new_tokens=32, temperature=0.0)
            queries = [parse_reply(f"Task: {TASK}\nQuery:{reply}")[1] for reply in replies]
            texts = [t for q, row in zip(queries, job.candidates, strict=True) for p in row for t in texts_of(p, q)]
            ask(texts, max_new_tokens=1, temperature=0.0, echo=True, top_logprobs=1)
    job.clock.processor = None  # another process's


WAYS: dict[str, Callable[[Job], None]] = {
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
