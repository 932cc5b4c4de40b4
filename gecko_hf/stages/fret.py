"""Corpus to FRet."""

from __future__ import annotations

import json
import shutil
from functools import partial
from typing import TYPE_CHECKING

from gecko_hf.corpus.passages import sample_rows
from gecko_hf.corpus.store import FILE
from gecko_hf.errors import CorpusError
from gecko_hf.evaluation.yardstick import YardstickQuery, split_of, write_queries
from gecko_hf.recipe import as_dict
from gecko_hf.run_folder import write_json
from gecko_hf.spending import task_with_spending
from gecko_hf.stages.corpus import require_candidates
from gecko_hf.stages.run import Counts, Run
from gecko_hf.stages.workshop import RunWorkshop, open_workshop, publish

if TYPE_CHECKING:
    from gecko_hf.fret.build import FRet
    from gecko_hf.fret.work import WorkFolder


def fret_stage(run: Run) -> Counts:
    """Write queries, mine, judge and label: the FRet data set."""
    from gecko_hf.fret import steps
    from gecko_hf.fret.executors import run_steps
    from gecko_hf.fret.work import WorkFolder
    from gecko_hf.hub.facts import FRET_PROMPTS, prompts_read

    recipe = run.recipe
    require_candidates(len(run.passages), recipe.fret.candidates)
    shop = RunWorkshop(run)
    place = recipe.executor.storage or str(run.paths.root.absolute())
    work = WorkFolder(f"{place}/{run.paths.fret_work.name}/{run.key[:12]}")
    if not work.exists(steps.SEEDS):
        order = sample_rows(len(run.passages), len(run.passages), recipe.seed)
        rows = steps.choose_seeds(run.passages, run.held_out, recipe.fret.rows, order)
        if not rows:
            raise CorpusError("No passage of the corpus holds a sentence of prose, so there is nothing to ask about.")
        steps.write_seeds(work, rows, recipe.fret, recipe.seed)
    seeds = work.read_table(steps.SEEDS).num_rows
    parts = steps.parts_for(seeds, recipe.fret.part)
    _prepare_mining(run, shop)
    # This process works in the workshop that it has; others open one of their own.
    here = recipe.executor.kind == "local" and (recipe.executor.workers == 1 or parts == 1)
    if recipe.executor.storage:
        publish(run.paths, recipe.executor.storage)
    opener = (lambda: shop) if here else partial(open_workshop, place, run.precision)
    run_steps(
        [
            (steps.WriteQueries(work, opener), parts),
            (steps.DropDuplicates(work, opener, parts), 1),
            (steps.JudgeCandidates(work, opener), parts),
        ],
        recipe.executor,
        partial(task_with_spending, run.view, recipe, run.paths),
    )
    counts = _assemble(run, shop, work, parts)
    if recipe.evaluation.yardstick == "held_out":
        steps.require_same_llm(work, shop.llm)
        counts["held_out_set_aside"] = _write_held_out_queries(run, shop)
    # For card and provenance: the files may be others by then.
    write_json(prompts_read(as_dict(recipe)), run.paths.logs / FRET_PROMPTS)
    shutil.rmtree(run.paths.fret_work, ignore_errors=True)  # parts in remote storage stay there
    return counts


def _prepare_mining(run: Run, shop: RunWorkshop) -> None:
    """Embed the passages and, of a corpus too large for exact search, build the index that all workers share."""
    from gecko_hf.fret.mine import build_index, facts_file

    with run.view.task("embedding passages") as report:
        vectors = shop.embed_passages(report)
    if not shop.indexed:
        return
    if not shop.index_file.exists():
        with run.view.task("building the index") as report:
            build_index(vectors, shop.index_file, shop.recipe.candidates, report)
    facts = json.loads(facts_file(shop.index_file).read_text(encoding="utf-8"))
    run.view.say(
        "  mining with {index}: recall@{recall_at} {recall:.1%} of exact search ({queries} passages)".format(**facts)
    )


def _assemble(run: Run, shop: RunWorkshop, work: WorkFolder, parts: int) -> Counts:
    """Put the parts together as the FRet folder; the old one is replaced last, and whole."""
    from gecko_hf.fret.build import FRet, write_labels
    from gecko_hf.fret.mine import facts_file
    from gecko_hf.fret.steps import rejected_of

    folder = run.paths.fret.with_name(".fret.partial")
    shutil.rmtree(folder, ignore_errors=True)
    total: Counts = {}
    for part in range(parts):
        rows, labels = (work.read_table(f"{name}/{part:05d}.parquet").to_pylist() for name in ("default", "labels"))
        fret = FRet(rows, labels, rejected_of(work, part))
        write_labels(fret, folder, part, parts)
        counts = fret_counts(fret)
        total = {name: total.get(name, 0) + count for name, count in counts.items()}
    if not total["rows"]:
        first = (folder / "set_aside.jsonl").read_text(encoding="utf-8").partition("\n")[0]
        raise CorpusError(
            f"No seed gave a row; {total['set_aside']} were set aside, the first as {first}. Loosen fret.quality or "
            "fret.negative_margin, or look at what the LLM replies."
        )
    (folder / "corpus").mkdir()
    shutil.copy(run.paths.corpus / FILE, folder / "corpus")
    if shop.indexed:
        shutil.copy(facts_file(shop.index_file), folder / "mining.json")
    shutil.rmtree(run.paths.fret, ignore_errors=True)
    folder.replace(run.paths.fret)
    return total


def fret_counts(fret: FRet) -> Counts:
    """Rows, how many positives are not the seed, and how many seeds and queries were set aside."""
    kept = [label for label in fret.labels if label["set_aside"] is None]
    relabelled = sum(label["positive_id"] != label["seed_id"] for label in kept)
    refused = len(fret.rejected) + len(fret.labels) - len(kept)
    return {"rows": len(fret.rows), "relabelled": relabelled, "set_aside": refused}


def _write_held_out_queries(run: Run, shop: RunWorkshop) -> int:
    """Queries of the held-out seeds, each answered by the passage that it was written for; returns how many have none."""
    from gecko_hf.fret.generate import draw_tasks
    from gecko_hf.fret.steps import write_and_check

    fret = run.recipe.fret
    tests = [p for p in run.passages if p.id in run.held_out]
    asked = draw_tasks(fret.tasks, fret.task_distribution, len(tests), run.recipe.seed)
    with task_with_spending(run.view, run.recipe, run.paths, "write held-out queries") as report:
        written, rejected = write_and_check(shop, tests, asked, told=lambda done: report(done, len(tests)))
    share = run.recipe.evaluation.dev_share
    queries = [
        YardstickQuery(f"q{i:05d}", q.query, [q.seed_id], split_of(q.query, share)) for i, q in enumerate(written)
    ]
    if not any(q.split == "test" for q in queries):
        raise CorpusError(
            f"{len(tests)} passages are held out and give no test query; {len(rejected)} were set aside. Give more text, or "
            f"raise evaluation.held_out (now {run.recipe.evaluation.held_out})."
        )
    write_queries(queries, run.paths.yardstick)
    return len(rejected)
