"""Corpus to FRet."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gecko_hf.corpus.passages import Passage, plain_text, sample_rows
from gecko_hf.errors import CorpusError
from gecko_hf.evaluation.yardstick import YardstickQuery, split_of, write_queries
from gecko_hf.llm.base import Annotator
from gecko_hf.stages.run import Counts, Run

if TYPE_CHECKING:
    from gecko_hf.fret.build import FRet


def fret_stage(run: Run) -> Counts:
    """Write queries, mine, judge and label: the FRet data set."""
    from gecko_hf.fret.build import build_fret, choose_seeds, write_fret
    from gecko_hf.fret.decontaminate import load_test_sets

    recipe = run.recipe
    order = sample_rows(len(run.passages), len(run.passages), recipe.seed)
    seeds = choose_seeds(run.passages, run.held_out, recipe.fret.rows, order)
    tests = [p for p in run.passages if p.id in run.held_out]
    if not seeds:
        raise CorpusError("No passage of the corpus holds a sentence of prose, so there is nothing to ask about.")
    store = run.store(run.base())
    with run.view.task("embedding passages") as report:
        vectors = store.encode([plain_text(p) for p in run.passages], report=report)
    llm = run.llm()
    with run.view.task("judging candidates") as report:
        fret = build_fret(
            run.passages,
            seeds,
            llm,
            vectors,
            lambda queries: store.encode([f"{q.task} {q.query}" for q in queries]),
            recipe.fret,
            seed=recipe.seed,
            tests=load_test_sets(recipe.fret.quality),
            report=report,
        )
    shutil.rmtree(run.paths.fret, ignore_errors=True)
    if not fret.rows:
        raise CorpusError(
            f"None of {len(seeds)} seeds gave a row; the first was set aside for this: {first_reason(fret)}. "
            "Loosen fret.quality or fret.negative_margin, or look at what the LLM replies."
        )
    write_fret(fret, run.passages, run.paths.fret)
    if recipe.evaluation.yardstick == "held_out":
        _write_held_out_queries(run, llm, tests)
    return fret_counts(fret)


def first_reason(fret: FRet) -> str:
    """Why the first seed gave no row."""
    return str([*(r.reason for r in fret.rejected), *(row["set_aside"] for row in fret.labels)][0])


def fret_counts(fret: FRet) -> Counts:
    """Rows, how many positives are not the seed, and how many seeds and queries were set aside."""
    kept = [label for label in fret.labels if label["set_aside"] is None]
    relabelled = sum(label["positive_id"] != label["seed_id"] for label in kept)
    refused = len(fret.rejected) + len(fret.labels) - len(kept)
    return {"rows": len(fret.rows), "relabelled": relabelled, "set_aside": refused}


def _write_held_out_queries(run: Run, llm: Annotator, tests: Sequence[Passage]) -> None:
    """Queries of the held-out seeds; each is answered by the passage that it was written for."""
    from gecko_hf.fret.generate import draw_tasks, generate_queries

    fret = run.recipe.fret
    asked = draw_tasks(fret.tasks, fret.task_distribution, len(tests), run.recipe.seed)
    written, _ = generate_queries(llm, tests, asked)
    share = run.recipe.evaluation.dev_share
    queries = [
        YardstickQuery(f"q{i:05d}", q.query, [q.seed_id], split_of(q.query, share)) for i, q in enumerate(written)
    ]
    if not any(q.split == "test" for q in queries):
        raise CorpusError(
            f"{len(tests)} passages are held out and give no test query. Give more text, or raise evaluation.held_out "
            f"(now {run.recipe.evaluation.held_out})."
        )
    write_queries(queries, run.paths.yardstick)
