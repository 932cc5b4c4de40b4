"""Measuring a model: widths, records, resuming, and what is measured again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from unittest import mock

import httpx2
import local_folders
import mteb
import numpy as np
import pytest
import torch
from mteb.abstasks.aggregate_task_metadata import AggregateTaskMetadata
from mteb.abstasks.aggregated_task import AbsTaskAggregate
from rich.console import Console
from sentence_transformers import SentenceTransformer
from threadpoolctl import threadpool_info, threadpool_limits
from typer.testing import CliRunner

from gecko_hf.cli.main import app
from gecko_hf.errors import EvaluationError
from gecko_hf.evaluation import evaluate as module
from gecko_hf.evaluation.evaluate import check_widths, evaluate, model_meta, plan
from gecko_hf.evaluation.local_data import local_tasks
from gecko_hf.evaluation.model import open_model
from gecko_hf.evaluation.records import read_record, record_file
from gecko_hf.evaluation.results import read_results
from gecko_hf.evaluation.run_task import Results
from gecko_hf.model.encoder import load_encoder, save_encoder
from gecko_hf.progress import View

pytestmark = pytest.mark.filterwarnings("ignore")  # scikit-learn warns of small data


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    local_folders.beir(root / "search")
    local_folders.pairs(root / "similarity", "score")
    return root


@pytest.fixture(scope="module")
def model_folder(tiny_model_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "mine" / "model"
    save_encoder(load_encoder(str(tiny_model_path), 48), folder)
    return folder


@pytest.fixture
def opened(model_folder):
    return open_model(str(model_folder), device="cpu")


@pytest.fixture
def view(tmp_path):
    with (tmp_path / "view.txt").open("w") as file:
        yield View(Console(file=file, width=200))


def said(tmp_path):
    return (tmp_path / "view.txt").read_text()


def test_the_model_of_a_run_is_called_like_the_run(opened):
    assert (opened.name, opened.on_hub, opened.width) == ("local/mine", False, 32)
    assert len(opened.revision) == 12


def test_every_width_is_scored_as_a_truncated_model_is_by_mteb(opened, model_folder, tmp_path, view):
    data = local_folders.every_form(tmp_path / "data")
    tasks = local_tasks(data)
    evaluate(opened, tasks, [32, 8], tmp_path / "r", view)
    found = {(s.task, s.dim): s.value for s in read_results(tmp_path / "r")}
    assert found.keys() == {(task.metadata.name, dim) for task in tasks for dim in (32, 8)}
    for dim in (32, 8):
        plain = SentenceTransformer(str(model_folder), truncate_dim=dim, device="cpu")
        for task in local_tasks(data):
            expected = mteb.evaluate(plain, task, cache=None, co2_tracker=False, show_progress_bar=False)
            assert found[task.metadata.name, dim] == pytest.approx(expected.task_results[0].get_score(), abs=1e-6)


def test_a_task_is_embedded_once_for_all_widths(opened, data, tmp_path, view, monkeypatch):
    calls = []
    embed = module.RawVectors._compute
    monkeypatch.setattr(module.RawVectors, "_compute", lambda self, *a: calls.append(a[1]) or embed(self, *a))
    evaluate(opened, local_tasks(data / "search"), [32, 16, 8], tmp_path / "r", view)
    assert len(calls) == 2  # queries and documents
    assert not list((tmp_path / "r").glob(".vectors-*"))


def test_a_record_says_how_a_score_came_about(opened, data, tmp_path, view):
    (task,) = local_tasks(data / "search")
    evaluate(opened, [task], [32], tmp_path / "r", view)
    record = read_record(record_file(Results(tmp_path / "r"), task.metadata.name, model_meta(opened, 32)))
    assert record["settings"]["prompts"] == {
        "query": {"name": "Retrieval-query", "prefix": "task: search result | query: "},
        "document": {"name": "Retrieval-document", "prefix": "title: none | text: "},
    }
    assert record["settings"]["dtype"] == "float32"
    assert record["environment"]["versions"]["mteb"] == mteb.__version__
    assert record["texts"] == 64 + 24
    assert record["texts_per_second"] > 0
    assert record["local"]
    queries = record["queries"]["test/default"]
    assert len(queries) == 24
    (score,) = read_results(tmp_path / "r")
    assert sum(queries.values()) / 24 == pytest.approx(score.value, abs=1e-5)  # mteb rounds its nDCG to five digits


def test_what_is_measured_is_not_measured_again(opened, data, tmp_path, view, monkeypatch):
    evaluate(opened, local_tasks(data), [32], tmp_path / "r", view)
    monkeypatch.setattr(module.RawVectors, "_compute", lambda *_: pytest.fail("embedded again"))
    assert evaluate(opened, local_tasks(data), [32], tmp_path / "r", view) == []


def test_only_missing_widths_are_measured(opened, data, tmp_path, view):
    evaluate(opened, local_tasks(data), [32], tmp_path / "r", view)
    assert {job.dims for job in plan(opened, local_tasks(data), [32, 8], tmp_path / "r")} == {(8,)}


@pytest.mark.parametrize("change", ["prompts", "max_seq_length", "dataset_revision"])
def test_other_settings_are_measured_again_and_said(change, opened, tmp_path, view):
    folder = local_folders.beir(tmp_path / "search")
    evaluate(opened, local_tasks(folder), [32], tmp_path / "r", view)
    if change == "prompts":
        opened.model.prompts["Retrieval-query"] = "task: fact checking | query: "
    elif change == "max_seq_length":
        opened.model.max_seq_length = 16
    else:
        (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td5\t1\n")
    (job,) = evaluate(opened, local_tasks(folder), [32], tmp_path / "r", view)
    assert job.why == (change,)
    assert f"measured before with other {change}" in said(tmp_path)
    assert plan(opened, local_tasks(folder), [32], tmp_path / "r")[0].dims == ()


@pytest.fixture
def ask(tmp_path):
    """A task of two splits, or with some of them only, as a benchmark asks for it."""
    whole = local_folders.pairs(tmp_path / "pairs", "score") / "test.jsonl"
    lines = whole.read_text().splitlines(keepends=True)
    for split, part in (("dev", lines[:12]), ("validation", lines[12:])):
        whole.with_stem(split).write_text("".join(part))
    whole.unlink()
    return lambda *splits: [local_tasks(tmp_path / "pairs")[0].filter_eval_splits(splits)]


def test_other_splits_than_before_are_measured_again_and_scored_alone(opened, ask, tmp_path, view):
    def score(folder, *splits):
        evaluate(opened, ask(*splits), [32], folder, view)
        return [s.value for s in read_results(folder)]

    both, dev = score(tmp_path / "both"), score(tmp_path / "dev", "dev")
    assert both != dev
    assert score(tmp_path / "both", "dev") == dev
    assert "measured before with other splits" in said(tmp_path)
    assert score(tmp_path / "both") == both


def test_a_record_that_does_not_name_its_splits_is_measured_again(opened, ask, tmp_path, view):
    evaluate(opened, ask("dev"), [32], tmp_path / "r", view)
    assert plan(opened, ask("dev"), [32], tmp_path / "r")[0].dims == ()
    (file,) = (tmp_path / "r" / "records").rglob("*.json")
    record = json.loads(file.read_text())
    del record["settings"]["splits"]
    file.write_text(json.dumps(record))
    assert plan(opened, ask("dev"), [32], tmp_path / "r")[0].why == ("splits",)


def test_a_result_that_a_killed_process_left_half_written_is_measured_again(opened, data, tmp_path, view):
    evaluate(opened, local_tasks(data), [32], tmp_path / "r", view)
    before = {s.task: s.value for s in read_results(tmp_path / "r")}
    (file,) = (tmp_path / "r" / "results").rglob("Local-search.json")
    file.write_text(file.read_text()[:100])
    (job,) = evaluate(opened, local_tasks(data), [32], tmp_path / "r", view)
    assert job.task.metadata.name == "Local-search"
    assert {s.task: s.value for s in read_results(tmp_path / "r")} == before


def test_what_a_killed_process_left_of_another_model_is_no_result_and_stops_nothing(opened, data, tmp_path, view):
    evaluate(opened, local_tasks(data), [32], tmp_path / "r", view)
    for kind in ("results", "records"):
        shutil.copytree(tmp_path / "r" / kind / "local__mine", tmp_path / "r" / kind / "local__other")
    (cut_off,) = (tmp_path / "r" / "results" / "local__other").rglob("Local-search.json")
    cut_off.write_text(cut_off.read_text()[:100])
    (unwritten,) = (tmp_path / "r" / "records" / "local__other").rglob("Local-similarity.json")
    unwritten.unlink()
    (tmp_path / "r" / "results" / "paths.json").write_text("{}")  # mteb's own repository of results has one
    assert {s.model for s in read_results(tmp_path / "r")} == {"local/mine"}


def test_another_similarity_is_measured_again(opened, data, tmp_path, view):
    tasks = local_tasks(data / "similarity")
    for similarity in ("cosine", "dot", "cosine"):
        opened.model.similarity_fn_name = similarity
        assert evaluate(opened, tasks, [32], tmp_path / "r", view)
        assert not evaluate(opened, tasks, [32], tmp_path / "r", view)


def test_another_precision_gives_other_vectors_and_is_measured_again(opened, data, tmp_path, view, monkeypatch):
    made = {}
    embed = module.RawVectors._compute

    def look(self, *asked):
        made[self.precision] = embed(self, *asked)
        return made[self.precision]

    monkeypatch.setattr(module.RawVectors, "_compute", look)
    tasks = local_tasks(data / "similarity")
    evaluate(opened, tasks, [32], tmp_path / "r", view)
    (job,) = evaluate(replace(opened, precision="bfloat16"), tasks, [32], tmp_path / "r", view)
    assert job.why == ("precision",)
    assert not np.array_equal(made["bfloat16"], made["float32"])
    np.testing.assert_allclose(made["bfloat16"], made["float32"], atol=0.02)


def prompted(opened, prompt):
    """The model with another prompt for pairs: the same weights, other scores."""
    opened.model.prompts = {**opened.model.prompts, "STS": prompt}
    return opened


def test_a_result_without_a_record_is_measured_again(opened, data, tmp_path, view):
    def score(prompt):
        evaluate(prompted(opened, prompt), tasks, [32], tmp_path / "r", view)
        return [s.value for s in read_results(tmp_path / "r")]

    tasks = local_tasks(data / "similarity")
    bread = score("bread ")
    assert score("sailing anchor ") != bread
    shutil.rmtree(tmp_path / "r" / "records")
    assert score("bread ") == bread


def test_a_record_does_not_outlive_the_result_that_it_is_of(opened, data, tmp_path, view, monkeypatch):
    tasks, here = local_tasks(data / "similarity"), tmp_path / "r"
    evaluate(prompted(opened, "bread "), tasks, [32], here, view)
    before = [s.value for s in read_results(here)]
    monkeypatch.setattr(module, "write_record", mock.Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        evaluate(prompted(opened, "sailing anchor "), tasks, [32], here, view)
    monkeypatch.undo()
    evaluate(prompted(opened, "bread "), tasks, [32], here, view)
    assert [s.value for s in read_results(here)] == before


@pytest.fixture
def mean(tmp_path):
    """A task that is the mean of two others."""
    parts = [local_tasks(local_folders.pairs(tmp_path / name, "score"))[0] for name in ("one", "two")]
    metadata = AggregateTaskMetadata(
        name="Mean", description="Of two.", tasks=parts, main_score="cosine_spearman", type="STS", eval_splits=["test"]
    )
    return type("Mean", (AbsTaskAggregate,), {"metadata": metadata})()


def test_a_part_of_a_mean_that_is_also_asked_for_by_itself_is_measured_once(opened, mean, tmp_path):
    jobs = plan(opened, [mean, *local_tasks(tmp_path / "two")], [32], tmp_path / "r")
    assert [job.task.metadata.name for job in jobs] == ["Local-one", "Local-two"]


def test_a_mean_over_tasks_follows_its_parts(opened, mean, tmp_path, view):
    for prompt in ("bread ", "sailing anchor "):
        evaluate(prompted(opened, prompt), [mean], [32], tmp_path / "r", view)
        found = {s.task: s.value for s in read_results(tmp_path / "r")}
        assert found["Mean"] == pytest.approx((found["Local-one"] + found["Local-two"]) / 2, abs=1e-5)


@pytest.mark.parametrize(
    "error", [ConnectionError, RuntimeError, httpx2.ConnectError]
)  # what `datasets` and its client raise
def test_a_task_whose_data_cannot_be_loaded_does_not_stop_the_others(opened, data, tmp_path, view, monkeypatch, error):
    tasks = local_tasks(data)

    def unreachable(num_proc=None, **kwargs):
        raise error("no route to the Hub")

    monkeypatch.setattr(tasks[0], "load_data", unreachable)
    with pytest.raises(EvaluationError, match=r"- Local-search: no route to the Hub"):
        evaluate(opened, tasks, [32], tmp_path / "r", view)
    assert [s.task for s in read_results(tmp_path / "r")] == ["Local-similarity"]


def test_a_width_that_the_model_does_not_have_is_refused(opened):
    assert check_widths(opened, [8, 32, 8]) == (32, 8)
    assert check_widths(opened, []) == (32,)
    with pytest.raises(EvaluationError, match="ask for widths from 1 to 32"):
        check_widths(opened, [64])


def test_a_kill_in_the_middle_loses_at_most_the_task_under_way(model_folder, data, tmp_path):
    """Kills the real command after its first task, runs it again, and compares with a run that nobody touched."""
    command = [sys.executable, "-m", "gecko_hf", "evaluate", str(model_folder), "--local", str(data), "--results"]
    child = subprocess.Popen([*command, str(tmp_path / "killed")], env=os.environ, stdout=subprocess.PIPE)
    first = tmp_path / "killed" / "records" / "local__mine"
    deadline = time.monotonic() + 300
    while not list(first.rglob("Local-search.json")) and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    kept = {file: file.stat().st_mtime_ns for file in first.rglob("*.json")}
    assert kept
    assert CliRunner().invoke(app, [*command[3:], str(tmp_path / "killed")], catch_exceptions=False).exit_code == 0
    assert all(file.stat().st_mtime_ns == when for file, when in kept.items())  # not measured again
    CliRunner().invoke(app, [*command[3:], str(tmp_path / "whole")], catch_exceptions=False)
    scores = [{(s.task, s.dim): s.value for s in read_results(tmp_path / name)} for name in ("killed", "whole")]
    assert scores[0] == scores[1]
    assert len(scores[0]) == 2


class TestCommand:
    def test_a_dry_run_shows_prompts_and_plan_and_measures_nothing(self, model_folder, data, tmp_path):
        command = ["evaluate", str(model_folder), "--local", str(data), "--dims", "8", "--results", str(tmp_path / "r")]
        shown = CliRunner().invoke(app, [*command, "--dry-run"], catch_exceptions=False).output
        assert "Retrieval-query" in shown
        assert "Retrieval-document" in shown
        assert "Tasks: 2, widths: 1; 2 to measure, 0 done." in shown
        assert not list((tmp_path / "r").rglob("*.json"))

    def test_scores_are_marked_as_local(self, model_folder, data, tmp_path):
        command = ["evaluate", str(model_folder), "--local", str(data / "search"), "--results", str(tmp_path / "r")]
        shown = CliRunner().invoke(app, command, catch_exceptions=False).output
        assert "Local-search (local)" in shown
        meta = json.loads(next((Path(tmp_path) / "r" / "results").rglob("model_meta.json")).read_text())
        assert meta["name"] == "local/mine"

    def test_only_the_widths_that_are_asked_for_are_shown_since_others_may_be_of_earlier_data(
        self, model_folder, tmp_path
    ):
        folder = local_folders.beir(tmp_path / "search")
        command = ["evaluate", str(model_folder), "--local", str(folder), "--results", str(tmp_path / "r"), "--dims"]
        CliRunner().invoke(app, [*command, "32,8"], catch_exceptions=False)
        (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td5\t1\n")
        shown = CliRunner().invoke(app, [*command, "8"], catch_exceptions=False).output
        (head,) = (line.split() for line in shown.splitlines() if "metric" in line)
        assert [word for word in head if word.isdigit()] == ["8"]

    def test_widths_may_be_separated_by_commas_or_repeated(self, model_folder, data, tmp_path):
        command = ["evaluate", str(model_folder), "--local", str(data), "--results", str(tmp_path / "r"), "--dry-run"]
        for widths in (["--dims", "32,8"], ["--dims", "32", "--dims", "8"]):
            shown = CliRunner().invoke(app, [*command, *widths], catch_exceptions=False).output
            assert "Tasks: 2, widths: 2;" in shown
        with pytest.raises(EvaluationError, match="--dims takes numbers, as in --dims 384,128, and not 'wide'"):
            CliRunner().invoke(app, [*command, "--dims", "8,wide"], catch_exceptions=False)

    @pytest.mark.parametrize(("prompts", "has"), [({}, "no prompts"), ({"query": "q: "}, "prompts of its own")])
    def test_a_model_of_others_keeps_what_it_has_on_the_papers_tasks(self, opened, tmp_path, monkeypatch, prompts, has):
        opened.model.prompts = prompts
        monkeypatch.setattr("gecko_hf.evaluation.model.open_model", lambda *_, **__: opened)
        command = ["evaluate", "x", "--paper", "--dry-run", "--results", str(tmp_path / "r")]
        shown = CliRunner().invoke(app, command, catch_exceptions=False).output
        assert f"local/mine has {has}; the paper's task names are not used." in shown

    def test_nothing_to_measure_is_refused(self, model_folder):
        with pytest.raises(EvaluationError, match="Nothing to measure"):
            CliRunner().invoke(app, ["evaluate", str(model_folder)], catch_exceptions=False)


def test_clustering_has_one_thread_and_the_encoder_its_own(opened, tmp_path, view, monkeypatch):
    seen = []
    embed = module.RawVectors._compute

    def beside_torch():
        return {pool["num_threads"] for pool in threadpool_info() if "torch" not in pool["filepath"]}

    def look(self, *arguments):
        seen.append((beside_torch(), torch.get_num_threads()))
        return embed(self, *arguments)

    monkeypatch.setattr(module.RawVectors, "_compute", look)
    local_folders.labelled(tmp_path / "groups", train=False)
    with threadpool_limits(2):  # one is what the tests run with side by side
        evaluate(opened, local_tasks(tmp_path / "groups"), [8], tmp_path / "r", view)
        assert seen == [({1}, 2)]
        assert beside_torch() == {2}
        assert torch.get_num_threads() == 2
