"""The summary of a run: every number that the table, the report page and the cards show, gathered from what the run wrote."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from gecko_hf.evaluation.yardstick import read_queries
from gecko_hf.fret.build import label_counts, set_aside_counts
from gecko_hf.hub.provenance import base_record
from gecko_hf.model.base_commit import known_commit
from gecko_hf.model.encoder import base_name
from gecko_hf.model.recipe import EncoderRecipe, RetrieverRecipe
from gecko_hf.recipe import RECIPE_FILE, Recipe, as_dict
from gecko_hf.run_folder import Paths, read_record
from gecko_hf.spending import totals

STAGE_NAMES = ("corpus", "prefinetune", "fret", "finetune", "evaluate")
SHOWN_TASKS = 50  # an LLM that names tasks itself names very many
MAIN_METRIC = "ndcg_at_10"
UNIGRAM_NOTE = (
    "No LLM was used: the embedded `unigram` backend wrote the queries (extractive) and judged the candidates "
    "(Dirichlet-smoothed query likelihood and BM25)."
)
SYNTHETIC_NOTE = (
    "The yardstick is synthetic: held-out queries by the same writer as the training queries. It is optimistic; "
    "it shows that training worked, not how good search is for people's questions."
)


def summarise(recipe: Recipe, paths: Paths, yardstick: tuple[str, str]) -> dict[str, Any]:
    """Gather the summary of a run: of a whole one, or of a FRet that was built alone and has no scores.

    Args:
        recipe: What ran.
        paths: Where.
        yardstick: Its name and description.
    """
    writer, judge = recipe.llms
    records = {name: record for name in STAGE_NAMES if (record := read_record(paths, name))}
    trained, scored = (_environment(paths, records, last) for last in ("finetune", "evaluate"))
    queries = read_queries(paths.yardstick)
    human = recipe.evaluation.yardstick == "see_also"
    rows, relabelled, tasks = label_counts(paths.fret)
    corpus = records["corpus"]["counts"]
    scores = _read(paths.logs / "scores.json") if "evaluate" in records else []
    return {
        "name": recipe.name,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds_total": round(sum(r["seconds"] for r in records.values()), 1),
        "stages": [
            {
                "name": name,
                **{key: record[key] for key in ("key", "seconds", "counts")},
                "environment": _environment(paths, records, name),
            }
            for name, record in records.items()
        ],
        "main_metric": MAIN_METRIC,
        "yardstick": {
            "name": yardstick[0],
            "description": yardstick[1],
            "kind": "human" if human else "synthetic",
            "queries": sum(q.split == "test" for q in queries),
            "dev_queries": sum(q.split == "dev" for q in queries),
            "passages": corpus["passages"],
            "split": "test",
        },
        "scores": [_score_row(s) for s in scores if s["split"] == "test"],
        "task_scores": _read(paths.logs / "task_scores.json")
        if recipe.evaluation.tasks and "evaluate" in records
        else [],
        "mixtures": _mixtures(paths, recipe),
        "dev_scores": [_score_row(s) for s in scores if s["split"] == "dev"],
        "fret": {
            "rows": rows,
            "relabelled": relabelled,
            "relabelled_share": round(relabelled / max(1, rows), 4),
            "tasks": dict(tasks.most_common(SHOWN_TASKS)),
            "set_aside": set_aside_counts(paths.fret),
            "test_sets": [*recipe.fret.quality.test_sets, *recipe.evaluation.tasks],
            "llm": writer.name,
            "judge": judge.name,
            "candidates": recipe.fret.candidates,
            "spent": totals(recipe, paths),
        },
        "corpus": {name: corpus[name] for name in ("passages", "merged", "set_aside")},
        "base": base_record(_encoder(recipe.encoder, paths)) | {"name": base_name(recipe.encoder.base)},
        "retriever": base_record(_encoder(recipe.retriever or recipe.encoder, paths)),
        "dims": sorted(recipe.encoder.dims, reverse=True),
        "notes": ([UNIGRAM_NOTE] if writer.backend == judge.backend == "unigram" else [])
        + ([] if human else [SYNTHETIC_NOTE]),
        "seed": recipe.seed,
        "versions": scored["versions"],
        "python": scored["python"],
        "machine": trained["machine"],
        "computed": _computed(paths),
        "recipe": as_dict(recipe),
    }


def _environment(paths: Paths, records: dict[str, dict[str, Any]], last: str) -> dict[str, Any]:
    """Machine and versions of a stage, or of the last one before it where it is not done, as when FRet is built alone."""
    done = [records[name] for name in STAGE_NAMES[: STAGE_NAMES.index(last) + 1] if name in records]
    if "environment" in done[-1]:
        noted: dict[str, Any] = done[-1]["environment"]
        return noted
    # Records of an earlier version do not tell it; the folder does, of the day on which it was made.
    first: dict[str, Any] = yaml.safe_load((paths.root / RECIPE_FILE).read_text(encoding="utf-8"))["environment"]
    return first


def read_summary(paths: Paths) -> dict[str, Any] | None:
    """The summary that lies in a run folder; None where there is none."""
    file = paths.report / "summary.json"
    found: dict[str, Any] | None = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    return found


def outdated(summary: dict[str, Any] | None, paths: Paths, stages: Sequence[str] = STAGE_NAMES) -> list[str]:
    """Those of the stages that were not finished, or ran again, since the summary was gathered; all without a summary."""
    told = {stage["name"]: stage for stage in summary["stages"]} if summary else {}
    found = []
    for name in stages:
        record = read_record(paths, name)
        # Summaries from before there were keys in them are believed.
        if record is None or name not in told or told[name].get("key", record["key"]) != record["key"]:
            found.append(name)
    return found


def _mixtures(paths: Paths, recipe: Recipe) -> dict[str, Any]:
    """Stage -> data set -> its rows, what was set aside, and its block with the commit that was read."""
    files = {stage: paths.logs / f"{stage}_mixture.json" for stage in ("prefinetune", "finetune")}
    return {
        stage: json.loads(file.read_text(encoding="utf-8"))
        for stage, file in files.items()
        if getattr(recipe, stage).mixture and file.exists()  # a FRet that is built alone has trained nothing
    }


def _computed(paths: Paths) -> dict[str, Any]:
    """Stage -> precision, kind of device and number of processes that it trained or scored with."""
    files = {stage: paths.logs / f"{stage}_computed.json" for stage in ("prefinetune", "finetune", "evaluate")}
    return {stage: json.loads(f.read_text(encoding="utf-8")) for stage, f in files.items() if f.exists()}


def _encoder(block: EncoderRecipe | RetrieverRecipe, paths: Paths) -> dict[str, Any]:
    """The block of the encoder or the retriever, with the commit that was read where its base is on the Hub."""
    commit = known_commit(block, paths.logs)
    return asdict(block) | ({"revision": commit} if commit else {})


def _read(file: Path) -> list[dict[str, Any]]:
    """A list of rows; none if there is no such file."""
    rows: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return rows


def _score_row(score: dict[str, Any]) -> dict[str, Any]:
    return {"model": score["model"], "role": score["role"], "dim": score["dim"], **score["metrics"]}


def loss_curves(paths: Paths) -> dict[str, list[dict[str, Any]]]:
    """The loss curve of each training stage that has one."""
    curves = {}
    for stage in ("prefinetune", "finetune"):
        file = paths.logs / f"{stage}_curve.json"
        if file.exists():
            curves[stage] = json.loads(file.read_text(encoding="utf-8"))
    return curves
