"""Models to scores."""

from __future__ import annotations

from dataclasses import asdict, replace

from gecko_hf.evaluation.yardstick import read_queries
from gecko_hf.recipe import Recipe
from gecko_hf.run_folder import write_json
from gecko_hf.stages.run import Counts, Run


def evaluate_stage(run: Run) -> Counts:
    """Measure BM25, the untouched base, the pre-finetuned and the finished encoder on the yardstick."""
    from gecko_hf.evaluation.encoder import stored_encoder
    from gecko_hf.evaluation.score import BM25, Score, retrieval_task, score
    from gecko_hf.model.encoder import base_name, load_encoder

    recipe, paths = run.recipe, run.paths
    (paths.logs / "task_scores.json").unlink(missing_ok=True)  # of an earlier model, where this recipe has no tasks
    task = retrieval_task(*yardstick_name(recipe), run.passages, read_queries(paths.yardstick))
    scores: list[Score] = []
    if recipe.evaluation.bm25:
        with run.view.task("scoring BM25"):
            scores += score(BM25(), task, paths.results, label="BM25", role="bm25", dim=None)
    length = recipe.encoder.max_seq_length
    models = [
        (f"{base_name(recipe.encoder.base)} (untouched)", "base", run.base),
        ("pre-finetuned", "prefinetuned", lambda: load_encoder(str(paths.prefinetuned), length)),
        ("Gecko", "gecko", lambda: load_encoder(str(paths.model), length)),
    ]
    if not recipe.evaluation.prefinetuned:
        del models[1]
    for label, role, load in models:
        store = run.store(load())
        for dim in recipe.encoder.dims:
            with run.view.task(f"scoring {label} at {dim}") as report:
                encoder = stored_encoder(store, dim, f"{recipe.name}/{role}-{dim}", report)
                scores += score(encoder, task, paths.results, label=label, role=role, dim=dim)
    write_json([asdict(s) for s in scores], paths.logs / "scores.json")
    run.tell_computed("evaluate", store.model)
    counts = {"models": len(models) + recipe.evaluation.bm25, "scores": len(scores)}
    return counts | ({"tasks": _score_tasks(run)} if recipe.evaluation.tasks else {})


def _score_tasks(run: Run) -> int:
    """Measure the untouched base, at its own length and with its own prompts, and the finished encoder on the held-out tasks."""
    from gecko_hf.evaluation.evaluate import check_widths, evaluate
    from gecko_hf.evaluation.local_data import local_tasks
    from gecko_hf.evaluation.model import open_model
    from gecko_hf.evaluation.results import read_results

    recipe, paths = run.recipe, run.paths
    tasks = local_tasks(paths.tasks)
    names = {task.metadata.name for task in tasks}
    rows = []
    for role, source in (("base", recipe.encoder.base), ("gecko", str(paths.model))):
        opened = replace(
            open_model(source, revision=run.base_commit if role == "base" else None),
            precision=run.precision,
        )
        widths = check_widths(opened, recipe.encoder.dims)
        evaluate(opened, tasks, widths, paths.task_results, run.view)
        rows += [
            {
                "role": role,
                "model": s.model,
                "dim": s.dim,
                "task": s.task,
                "type": s.type,
                "metric": s.metric,
                "value": s.value,
            }
            for s in read_results(paths.task_results, run.view.say)
            if (s.model, s.revision) == (opened.name, opened.revision) and s.task in names and s.dim in widths
        ]
    write_json(rows, paths.logs / "task_scores.json")
    return len(tasks)


def yardstick_name(recipe: Recipe) -> tuple[str, str]:
    """Name and description of the yardstick."""
    if recipe.evaluation.yardstick == "see_also":
        return "SeeAlsoRetrieval", (
            "What the authors of Python documentation wrote in See Also sections about other functions; "
            "the functions they point at are relevant."
        )
    return "HeldOutQueries", (
        "Synthetic queries of seed passages that were held out of training. What wrote the training queries wrote these "
        "too, so the scores are optimistic."
    )
