"""Text to corpus and yardstick."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict

from gecko_hf.corpus.fingerprint import input_state
from gecko_hf.corpus.passages import Corpus, check_ids, merge_near_identical, write_corpus
from gecko_hf.errors import CorpusError
from gecko_hf.evaluation.yardstick import YardstickQuery, see_also_queries, split_of, write_queries
from gecko_hf.run_folder import write_json
from gecko_hf.stages.run import Counts, Run


def corpus_stage(run: Run) -> Counts:
    """Read the text, merge near-identical passages, set the yardstick apart."""
    recipe = run.recipe
    queries: list[YardstickQuery] = []
    with run.view.task("reading the corpus") as report:
        if recipe.corpus.source == "docstrings":
            from gecko_hf.corpus.docstrings import read_docstrings

            documentation = read_docstrings(recipe.corpus.packages)
            corpus = Corpus(documentation.passages)
        else:
            from gecko_hf.corpus.files import read_files

            corpus = read_files(recipe.corpus, report)
    check_ids(corpus.passages)
    with run.view.task("merging near-identical passages"):
        passages, merged = merge_near_identical(corpus.passages, recipe.corpus.near_duplicate)
    if len(passages) < recipe.fret.candidates:
        raise CorpusError(
            f"The corpus has {len(passages)} different passages, and every query needs {recipe.fret.candidates} "
            f"candidates. Give more text, or lower fret.candidates to at most {max(2, len(passages))}."
        )
    held_out: set[str] = set()
    if recipe.evaluation.yardstick == "see_also":
        queries = see_also_queries(documentation, passages, merged, recipe.evaluation.dev_share)
        write_queries(queries, run.paths.yardstick)
    else:
        held_out = {p.id for p in passages if split_of(f"{recipe.seed}:{p.id}", recipe.evaluation.held_out) == "dev"}
    tasks = _write_tasks(run)
    write_corpus(passages, run.paths.corpus)
    write_json(sorted(held_out), run.paths.corpus / "held_out.json")
    write_json(merged, run.paths.corpus / "merged.json")
    write_json(input_state(recipe.corpus), run.paths.corpus / "input.json")
    lines = "".join(json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in corpus.set_aside)
    (run.paths.corpus / "set_aside.jsonl").write_text(lines, encoding="utf-8")
    run.__dict__.pop("passages", None)
    counts = {"passages": len(passages), "merged": len(merged), "set_aside": len(corpus.set_aside)}
    counts |= {"queries": len(queries)} if queries else {"held_out": len(held_out)}
    return counts | ({"tasks": tasks} if tasks else {})


def _write_tasks(run: Run) -> int:
    """Write the held-out data sets as tasks; what an earlier recipe wrote is removed."""
    from gecko_hf.evaluation.held_out import write_held_out
    from gecko_hf.evaluation.local_data import local_tasks

    shutil.rmtree(run.paths.tasks, ignore_errors=True)
    if not run.recipe.evaluation.tasks:
        return 0
    with run.view.task("setting data sets apart"):
        read = write_held_out(run.recipe.evaluation.tasks, run.paths.tasks, run.recipe.seed)
        local_tasks(run.paths.tasks)  # what cannot be scored is refused now and not after the training
    write_json({name: asdict(task) for name, task in read.items()}, run.paths.tasks / "tasks.json")
    return len(read)
