"""A made-up run, small enough to read."""

import json
import os
import shutil
import warnings
from pathlib import Path

import pytest
from clients import Clients
from hub_server import WRITE_TOKEN, HubServer
from rich.console import Console

from gecko_hf.run_folder import Paths


def _scores(role, model, dim, value):
    rest = {"recall_at_10": 0.7, "recall_at_100": 0.9, "mrr_at_10": 0.5}
    return {"model": model, "role": role, "dim": dim, "ndcg_at_10": value, **rest}


@pytest.fixture
def summary():
    return {
        "name": "made-up",
        "finished_at": "2026-11-24T04:00:00+00:00",
        "seconds_total": 75.0,
        "stages": [{"name": "corpus", "seconds": 3.0, "counts": {"passages": 3}},
            {"name": "fret", "seconds": 72.0, "counts": {"rows": 2}}],
        "main_metric": "ndcg_at_10",
        "yardstick": {
            "name": "Made", "description": "Made up.", "kind": "human",
            "queries": 1600, "dev_queries": 400, "passages": 3, "split": "test",
        },
        "scores": [
            _scores("bm25", "BM25", None, 0.5),
            _scores("base", "base (untouched)", 32, 0.40),
            _scores("base", "base (untouched)", 8, 0.30),
            _scores("prefinetuned", "pre-finetuned", 32, 0.45),
            _scores("gecko", "Gecko", 32, 0.475),
            _scores("gecko", "Gecko", 8, 0.36),
        ],
        "dev_scores": [],
        "task_scores": [],
        "mixtures": {},
        "fret": {"rows": 2, "relabelled": 1, "relabelled_share": 0.5, "tasks": {"search result": 2},
            "llm": "unigram", "candidates": 3},
        "corpus": {"passages": 3, "merged": 1, "set_aside": 0},
        "base": {"id": "org/base", "name": "base"},
        "dims": [32, 8],
        "notes": ["No LLM was used: `unigram` wrote the queries."],
        "seed": 1,
        "versions": {"gecko-hf": "0.1.0", "mteb": "2.26.24"},
        "python": "3.11.7",
        "machine": "a machine, 2 cores",
        "recipe": {
            "name": "made-up",
            "corpus": {"source": "files", "packages": [], "path": "docs"},
            "encoder": {"max_seq_length": 48},
        },
    }  # fmt: skip


@pytest.fixture
def rows():
    row = {
        "id": 0, "task": "search result", "query": "where is </script><b>it</b>?", "seed_id": "a", "positive_id": "b",
        "negative_id": "c", "relabelled": True, "ql_positive": -2.0, "ql_negative": -5.0, "rc_positive": -0.1,
        "rc_negative": -6.0, "positive_rank": 1, "seed_fused_rank": 2,
    }  # fmt: skip
    other = row | {
        "id": 1, "query": "plain", "positive_id": "a", "negative_id": None, "relabelled": False, "ql_negative": None,
        "rc_negative": None, "positive_rank": None, "seed_fused_rank": 1,
    }  # fmt: skip
    return [row, other]


@pytest.fixture
def texts():
    return {
        "a": {"title": "A & B", "text": 'Plain text.\u2028Second "line".'},
        "b": {"title": "", "text": "</script><script>alert(1)</script>"},
        "c": {"title": "C", "text": "x" * 5000},
    }


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory, tiny_model_path, library_folder):
    """A whole small run: a corpus of 64 passages, a tiny encoder, FRet, scores, cards. Tests copy it before they change it."""
    from gecko_hf import pipeline
    from gecko_hf.recipe import load_recipe

    folder = tmp_path_factory.mktemp("finished")
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        f"""
name: tiny
seed: 3
precision: float32
corpus: {{path: "{library_folder}"}}
encoder: {{base: "{tiny_model_path}", max_seq_length: 48, dims: [32, 8]}}
prefinetune: {{rows: 40, batch_size: 8, learning_rate: 1e-3}}
fret: {{rows: 40, candidates: 6}}
finetune: {{batch_size: 8, learning_rate: 1e-3}}
evaluation: {{held_out: 0.2, dev_share: 0.0}}
""",
        encoding="utf-8",
    )
    with Path(os.devnull).open("w") as sink, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pipeline.run(load_recipe(recipe, [f"output={folder / 'run'}"]), Console(file=sink))
    return folder / "run"


@pytest.fixture(scope="session")
def paths(finished_run):
    """Its folder."""
    return Paths(finished_run)


@pytest.fixture(scope="session")
def real(paths):
    """Its summary."""
    return json.loads((paths.report / "summary.json").read_text())


@pytest.fixture(scope="session")
def hub():
    """The Hub of all tests; each test writes to repositories of its own, or takes back what it changes."""
    with HubServer() as server:
        yield server


@pytest.fixture(scope="session")
def clients(hub, tmp_path_factory):
    with Clients(hub.url, tmp_path_factory.mktemp("home")) as warm:
        yield warm


@pytest.fixture(scope="session")
def run(finished_run, tmp_path_factory):
    """A copy of the finished run, since a push leaves its record there."""
    return shutil.copytree(finished_run, tmp_path_factory.mktemp("pushed") / "run")


@pytest.fixture(scope="session")
def pushed(clients, run):
    """Data set and model on the Hub as org/fret and org/gecko, public and tagged; what the two commands said."""
    said = [
        clients.gecko("push", kind, run, name, "--public", "--tag", "v1", token=WRITE_TOKEN)
        for kind, name in (("fret", "org/fret"), ("model", "org/gecko"))
    ]
    assert [child.returncode for child in said] == [0, 0], said
    return said
