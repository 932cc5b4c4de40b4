"""Text to corpus and yardstick."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict

from gecko_hf.corpus.fingerprint import input_state
from gecko_hf.corpus.gather import Draft
from gecko_hf.errors import CorpusError
from gecko_hf.evaluation.yardstick import YardstickQuery, held_out_ids, see_also_queries, write_queries
from gecko_hf.run_folder import write_json
from gecko_hf.stages.run import Counts, Run


def corpus_stage(run: Run) -> Counts:
    """Read the text, merge near-identical passages, set the yardstick apart."""
    recipe, source = run.recipe, run.recipe.corpus
    with Draft(run.paths.corpus_draft) as draft:
        with run.view.task("reading the corpus") as report:
            if source.source == "docstrings":
                from gecko_hf.corpus.docstrings import read_docstrings

                documentation = read_docstrings(source.packages)
                draft.write(documentation.passages)
            else:
                from gecko_hf.corpus.files import at_commit, read_files

                source = at_commit(source)
                draft.write(read_files(source, report))
        with run.view.task("merging near-identical passages") as report:
            found = draft.finish(source.near_duplicate, run.paths.corpus, report)
    run.__dict__.pop("passages", None)
    require_candidates(found.passages, recipe.fret.candidates)
    counts = {"passages": found.passages, "merged": len(found.merged), "set_aside": found.set_aside}
    held_out: list[str] = []
    if recipe.evaluation.yardstick == "see_also":
        queries = see_also_queries(documentation, run.passages, found.merged, recipe.evaluation.dev_share)
        _require_test_query(queries, source.packages)
        write_queries(queries, run.paths.yardstick)
        counts["queries"] = len(queries)
    else:
        block = recipe.evaluation
        held_out = held_out_ids((p.id for p in run.passages), block.held_out, block.held_out_most, recipe.seed)
        counts["held_out"] = len(held_out)
    write_json(held_out, run.paths.corpus / "held_out.json")
    write_json(found.merged, run.paths.corpus / "merged.json")
    write_json(input_state(source), run.paths.corpus / "input.json")
    tasks = _write_tasks(run)
    return counts | ({"tasks": tasks} if tasks else {})


def require_candidates(passages: int, candidates: int) -> None:
    """Refuse a corpus with fewer passages than each query has candidates; asked again by FRet, whose recipe may change alone.

    Raises:
        CorpusError: With both numbers.
    """
    if passages < candidates:
        lower = f", or lower fret.candidates to at most {passages}" if passages > 1 else ""
        raise CorpusError(
            f"The corpus has {passages} different passages, and every query needs {candidates} candidates. "
            f"Give more text{lower}."
        )


def _require_test_query(queries: Sequence[YardstickQuery], packages: Sequence[str]) -> None:
    """Refuse a yardstick that no model could be scored on: hours of training should not end at it."""
    if not any(query.split == "test" for query in queries):
        raise CorpusError(
            f"The See Also sections of {', '.join(packages)} give {len(queries)} queries, none of them of the split test, and "
            "the models are scored on these. Set evaluation.yardstick=held_out, or name more packages in corpus.packages."
        )


def require_held_out(run: Run) -> None:
    """Refuse a share that no passage falls into, before a language model is paid for the queries of the others.

    A plan does not need one: it may be made of a few passages that stand for a corpus.
    """
    block = run.recipe.evaluation
    if block.yardstick == "held_out" and not run.held_out:
        raise CorpusError(
            f"evaluation.held_out is {block.held_out:g}, and none of the {len(run.passages)} passages falls into this share, so "
            "the models could not be scored. Raise evaluation.held_out (at most 0.5), or give more text."
        )


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
