"""Data sets that a recipe holds out: written with the corpus, kept out of training, scored at the end, told in the card."""

import io
import json

import pytest
from rich.console import Console

from gecko_hf import pipeline
from gecko_hf.recipe import load_recipe
from gecko_hf.run_folder import Paths

RECIPE = """
name: tasks
precision: float32
corpus: {{path: "{library}"}}
encoder: {{base: "{base}", max_seq_length: 48, dims: [32, 8]}}
prefinetune: {{rows: 0}}
fret: {{rows: 24, candidates: 6}}
finetune:
  steps: 3
  batch_size: 4
  mixture:
    again: {{kind: reread, of: [labels, kept], tasks: {{search result: 1}}, learn: 0, keep: 1, weight: 1}}
    fret: {{kind: fret, weight: 1}}
    kept: {{kind: pairs, source: "{folder}/pairs.jsonl", keep: 1, learn: 0, weight: 1}}
    labels: {{kind: labels, source: "{folder}/labels.jsonl", weight: 1}}
evaluation:
  held_out: 0.2
  dev_share: 0.0
  bm25: false
  prefinetuned: false
  tasks:
    topics: {{kind: clustering, source: "{folder}/labels.jsonl", rows: 20}}
    questions: {{kind: retrieval, source: "{folder}/pairs.jsonl", columns: {{text: positive}}, rows: 8}}
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory, passages):
    folder = tmp_path_factory.mktemp("data")
    pairs = [{"query": f"what of {p.title}", "positive": " ".join(reversed(p.text.split()))} for p in passages]
    labels = [{"text": " ".join(p.text.split()[::2]), "label": p.title.split()[0]} for p in passages]
    for name, rows in (("pairs", pairs), ("labels", labels)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory, data, tiny_model_path, library_folder):
    folder = tmp_path_factory.mktemp("runs") / "tasks"
    file = folder.parent / "recipe.yaml"
    file.write_text(RECIPE.format(library=library_folder, base=tiny_model_path, folder=data), encoding="utf-8")

    def run(*overrides, redo=False):
        out = io.StringIO()
        recipe = load_recipe(file, [f"output={folder}", *overrides])
        pipeline.run(recipe, Console(file=out, width=140), redo=redo)
        return Paths(folder), out.getvalue()

    run()
    return run


def test_base_and_gecko_are_scored_on_every_task_at_every_width(run):
    paths, said = run()
    assert "Nothing to do" in said
    scores = json.loads((paths.report / "summary.json").read_text())["task_scores"]
    assert {(s["role"], s["dim"], s["task"]) for s in scores} == {
        (role, dim, task)
        for role in ("base", "gecko")
        for dim in (32, 8)
        for task in ("Local-topics", "Local-questions")
    }
    assert all(0 <= s["value"] <= 1 for s in scores)


def test_what_overlaps_with_a_task_is_not_trained_on(run):
    paths, _ = run()
    mixture = json.loads((paths.logs / "finetune_mixture.json").read_text())
    asked = (paths.tasks / "questions" / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(asked) == 8
    refused = sum(n for why, n in mixture["kept"]["set_aside"].items() if why.startswith("test text"))
    assert refused >= 8
    assert mixture["kept"]["rows"] + sum(mixture["kept"]["set_aside"].values()) == 64


def test_the_card_and_the_page_show_the_tasks_and_the_mixture(run):
    paths, _ = run()
    card = (paths.model / "README.md").read_text(encoding="utf-8")
    assert "| mean over types |" in card
    assert "| labels | labels |" in card
    assert "| again | reread | labels, kept |" in card
    assert "No human labels" not in card
    assert ": fine-tuned on a mixture of data sets" in card
    assert "pre-finetuned on" not in card  # with rows: 0
    assert "trained on one corpus" not in card
    assert "Held-out data sets" in (paths.report / "report.html").read_text(encoding="utf-8")


def test_another_task_sets_everything_apart_anew(run, data):
    _, said = run("evaluation.tasks.topics.rows=16", redo=True)
    assert "corpus: read the text" in said


def test_without_tasks_no_scores_of_an_earlier_model_are_shown(run):
    paths, _ = run("evaluation.tasks={}", redo=True)
    assert json.loads((paths.report / "summary.json").read_text())["task_scores"] == []
    assert not (paths.logs / "task_scores.json").exists()
    assert "Held-out data sets" not in (paths.report / "report.html").read_text(encoding="utf-8")
