"""A run that reads base and corpus from the Hub: the commits that it read are on record, and stay the same to its end."""

import json

import pytest

RECIPE = """
name: tiny
seed: 3
precision: float32
corpus: {path: org/fret, config: corpus}
encoder: {base: org/gecko, max_seq_length: 48, dims: [32, 8]}
prefinetune: {rows: 40, batch_size: 8, learning_rate: 1e-3}
fret: {rows: 30, candidates: 6}
finetune: {batch_size: 8, learning_rate: 1e-3}
evaluation: {held_out: 0.2, dev_share: 0.0}
"""


@pytest.fixture(scope="module")
def commits(hub, pushed):
    """What main stands at when the run begins: (base, corpus)."""
    return tuple(hub.store.repos[key].branches["main"] for key in (("model", "org/gecko"), ("dataset", "org/fret")))


@pytest.fixture(scope="module")
def folder(clients, commits, tmp_path_factory):
    """The run folder of a recipe that names no revision."""
    at = tmp_path_factory.mktemp("commits")
    (at / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    child = clients.gecko("run", at / "recipe.yaml", f"output={at / 'run'}")
    assert child.returncode == 0, child.stderr
    return at / "run"


def read(file):
    return json.loads(file.read_text(encoding="utf-8"))


def test_base_and_corpus_are_on_record_at_their_commits(folder, commits):
    base, corpus = commits
    assert read(folder / "report" / "summary.json")["base"]["version"] == base
    assert read(folder / "corpus" / "input.json") == {"hub": "org/fret", "revision": corpus, "split": "train"}


def test_a_base_that_moves_on_the_hub_stays_what_it_was_for_this_run(folder, commits, clients, hub):
    repo = hub.store.repos["model", "org/gecko"]
    repo.add({}, "everything is gone")
    child = clients.gecko("run", folder.parent / "recipe.yaml", f"output={folder}", "--redo", "prefinetune.rows=30")
    repo.branches["main"] = commits[0]
    assert child.returncode == 0, child.stderr
    assert read(folder / "logs" / "base.json")["commit"] == commits[0]


def test_no_link_to_what_was_read_is_broken(folder, clients, hub, commits):
    from hub_server import WRITE_TOKEN

    for kind in ("fret", "model"):
        child = clients.gecko("push", kind, folder, f"org/again-{kind}", "--public", token=WRITE_TOKEN)
        assert child.returncode == 0, child.stderr
    child = clients.gecko("trace", "org/again-model")
    assert child.returncode == 0, child.stderr + child.stdout
    assert all(commit in child.stdout for commit in commits)


def test_a_base_that_is_not_there_is_refused(clients, pushed, tmp_path):
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    child = clients.gecko("run", tmp_path / "recipe.yaml", f"output={tmp_path / 'run'}", "encoder.base=org/nothing")
    assert child.returncode == 2
    assert "encoder.base is 'org/nothing', and no encoder loads from there" in " ".join(child.stderr.split())
