"""A made-up results folder: what `gecko-hf evaluate` writes, for scores that a test chooses."""

import json
from pathlib import Path
from unittest import mock

from gecko_hf.evaluation.tasks import mteb_tasks, splits_of

PROMPTS = {  # of a Gecko model, by the type of a task
    "Retrieval": {
        "query": {"name": "Retrieval-query", "prefix": "task: search result | query: "},
        "document": {"name": "Retrieval-document", "prefix": "title: none | text: "},
    },
    "STS": {"both": {"name": "STS", "prefix": "task: semantic similarity | query: "}},
}
VERSIONS = {"mteb": "2.26.24", "sentence-transformers": "6.2.0", "transformers": "5.23.0", "torch": "2.13.0"}


def write(
    folder: Path,
    task: str,
    value: float,
    *,
    model="local/mine",
    revision="abc123def456",
    dim=32,
    width=32,
    queries=None,
    parts=None,
    splits=None,
    speed=None,
    machine="a machine, 2 cores",
    parameters=22_700_000,
    **changes,
) -> Path:
    """One result with its record, of all splits and subsets of the task unless said; returns mteb's file."""
    (made,) = mteb_tasks([task])
    metadata, splits = made.metadata, splits or splits_of(made)
    root = Path(model.replace("/", "__")) / revision
    root = root if dim == width else root / "experiments" / f"embed_dim_{dim}"
    subset = {"main_score": value, metadata.main_score: value, "languages": ["eng-Latn"]}
    scores = {split: [{**subset, "hf_subset": name} for name in names] for split, names in splits.items()}
    result = {
        "dataset_revision": metadata.revision, "task_name": task, "mteb_version": "2.26.24", "evaluation_time": 1.0,
        "scores": scores,
    } | changes  # fmt: skip
    record = {
        "task": task, "type": metadata.type, "metric": metadata.main_score, "local": False, "parts": [], "model": model,
        "revision": revision, "dim": dim, "width": width, "parameters": parameters, "texts": 100,
        "texts_per_second": speed, "device": "cpu",
        "settings": {
            "prompts": PROMPTS.get(metadata.type, {}), "dataset_revision": metadata.revision, "splits": splits,
            "dtype": "float32", "max_seq_length": 48, "mteb": "2.26.24",
        },
        "environment": {"machine": machine, "versions": VERSIONS},
        "finished_at": "2026-11-24T12:00:00+00:00", "queries": parts or {"test/default": queries or {}},
    }  # fmt: skip
    for kind, tree in (("results", result), ("records", record)):
        file = folder / kind / root / f"{task}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(tree))
    settings = folder / "results" / root / "run_settings.jsonl"
    line = {
        "task": task,
        "splits": sorted(scores),
        "subsets": made.hf_subsets,
        "version": VERSIONS,
        "encode_kwargs": {},
    }
    with settings.open("a") as lines:
        lines.write(json.dumps(line) + "\n")
    return folder / "results" / root / f"{task}.json"


def pushed(files: dict[str, str]) -> mock.Mock:
    """What the Hub says of a commit's files: name -> sha256."""
    siblings = [mock.Mock(rfilename=name, lfs=mock.Mock(sha256=digest)) for name, digest in files.items()]
    return mock.Mock(siblings=siblings)
