"""Data on disk becomes real mteb tasks: the scores are mteb's own, and what cannot be used is refused with the line."""

import json
import random

import datasets
import local_folders
import mteb
import numpy as np
import pytest
from mteb.abstasks.classification import AbsTaskClassification
from mteb.abstasks.clustering import AbsTaskClustering
from mteb.abstasks.pair_classification import AbsTaskPairClassification
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
from mteb.abstasks.sts import AbsTaskSTS
from mteb.abstasks.task_metadata import TaskMetadata

from gecko_hf.errors import EvaluationError
from gecko_hf.evaluation.encoder import ModelEncoder, RawVectors
from gecko_hf.evaluation.evaluate import model_meta
from gecko_hf.evaluation.local_data import content_hash, local_tasks
from gecko_hf.evaluation.local_task import is_local
from gecko_hf.evaluation.run_task import Results, run_task
from gecko_hf.evaluation.tasks import choose_tasks
from gecko_hf.prompts import model_prompts

TYPES = {
    "search": "Retrieval",
    "answers": "Reranking",
    "similarity": "STS",
    "paraphrase": "PairClassification",
    "topics": "Classification",
    "groups": "Clustering",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return local_folders.every_form(tmp_path_factory.mktemp("local"))


def rows(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def _mteb_task(kind, base, main_score, dataset, **attributes):
    """The task as a person would write it for mteb by hand, without this package."""
    metadata = TaskMetadata(
        name=f"ByHand{kind}", description="By hand.", type=kind, category="t2t", main_score=main_score,
        dataset={"path": "by/hand", "revision": "1"}, eval_splits=["test"], eval_langs=["eng-Latn"],
    )  # fmt: skip
    task = type(metadata.name, (base,), {"metadata": metadata, **attributes})()
    task.dataset, task.data_loaded = dataset, True
    return task


def search(corpus, queries, qrels, ranked):
    tables = {"corpus": datasets.Dataset.from_list(corpus), "queries": datasets.Dataset.from_list(queries)}
    return RetrievalSplitData(**tables, relevant_docs=qrels, top_ranked=ranked)


def by_hand(name, folder):
    """The same data through mteb alone."""
    if name == "search":
        corpus = [{"id": r["_id"], "title": r["title"], "text": r["text"]} for r in rows(folder / "corpus.jsonl")]
        qrels = {}
        for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
            query, document, grade = line.split("\t")
            qrels.setdefault(query, {})[document] = int(grade)
        queries = [{"id": r["_id"], "text": r["text"]} for r in rows(folder / "queries.jsonl") if r["_id"] in qrels]
        data = search(corpus, queries, qrels, None)
        return _mteb_task("Retrieval", AbsTaskRetrieval, "ndcg_at_10", {"default": {"test": data}})
    table = rows(folder / "test.jsonl")
    if name == "answers":
        corpus, qrels, ranked = [], {}, {}
        for i, row in enumerate(table):
            own = [(f"p{i}-{j}", t) for j, t in enumerate(row["positive"])]
            qrels[f"q{i}"] = {key: 1 for key, _ in own}
            own += [(f"n{i}-{j}", t) for j, t in enumerate(row["negative"])]
            corpus += [{"id": key, "text": text} for key, text in own]
            ranked[f"q{i}"] = [key for key, _ in own]
        queries = [{"id": f"q{i}", "text": row["query"]} for i, row in enumerate(table)]
        data = search(corpus, queries, qrels, ranked)
        return _mteb_task("Reranking", AbsTaskRetrieval, "map_at_1000", {"default": {"test": data}})
    if name == "similarity":
        return _mteb_task("STS", AbsTaskSTS, "cosine_spearman", {"test": datasets.Dataset.from_list(table)})
    if name == "paraphrase":
        table = [{**row, "labels": row.pop("label")} for row in table]
        return _mteb_task(
            "PairClassification", AbsTaskPairClassification, "max_ap", {"test": datasets.Dataset.from_list(table)}
        )
    number = {label: i for i, label in enumerate(sorted({row["label"] for row in table}))}
    test = datasets.Dataset.from_list([{"text": r["text"], "label": number[r["label"]]} for r in table])
    if name == "topics":
        train = [{"text": r["text"], "label": number[r["label"]]} for r in rows(folder / "train.jsonl")]
        data = datasets.DatasetDict(train=datasets.Dataset.from_list(train), test=test)
        return _mteb_task("Classification", AbsTaskClassification, "accuracy", data)
    test = test.rename_columns({"text": "sentences", "label": "labels"})
    return _mteb_task(
        "Clustering", AbsTaskClustering, "v_measure", {"test": test},
        max_fraction_of_documents_to_embed=None, max_documents_per_cluster=2048, n_clusters=50,
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # scikit-learn and mteb warn of small data
@pytest.mark.parametrize("prompted", [False, True], ids=["bare", "prompted"])
@pytest.mark.parametrize("name", TYPES)
def test_minilm_through_local_scores_what_mteb_alone_gives_it(name, prompted, folder, minilm, tmp_path):
    if prompted:
        minilm.model.prompts = dict(model_prompts())
    (task,) = local_tasks(folder / name)
    assert (task.metadata.name, task.metadata.type) == (f"Local-{name}", TYPES[name])
    assert is_local(task)
    encoder = ModelEncoder(minilm.model, RawVectors(minilm.model), minilm.width, model_meta(minilm, minilm.width))
    ours, _ = run_task(encoder, task, Results(tmp_path))
    theirs = mteb.evaluate(
        minilm.model, by_hand(name, folder / name), cache=None, co2_tracker=False, show_progress_bar=False
    )
    (expected,), (found,) = theirs.task_results[0].scores["test"], ours.scores["test"]
    numbers = [k for k, v in expected.items() if isinstance(v, float) and not np.isnan(v) and "nauc" not in k.lower()]
    assert len(numbers) >= 5
    for metric in numbers:
        assert found[metric] == pytest.approx(expected[metric], abs=1e-6), metric
    assert 0.05 < found["main_score"] <= 1


def test_a_clustering_score_does_not_depend_on_what_ran_before(folder, minilm, tmp_path):
    (task,) = local_tasks(folder / "groups")
    encoder = ModelEncoder(minilm.model, RawVectors(minilm.model), 64, model_meta(minilm, 64))
    first, _ = run_task(encoder, task, Results(tmp_path / "a"))
    random.random()
    again, _ = run_task(encoder, task, Results(tmp_path / "b"))
    assert first.scores == again.scores


def test_a_clustering_is_measured_by_fifty_starts_of_k_means(folder, minilm, tmp_path):
    (task,) = local_tasks(folder / "groups")
    encoder = ModelEncoder(minilm.model, RawVectors(minilm.model), 64, model_meta(minilm, 64))
    result, _ = run_task(encoder, task, Results(tmp_path))
    (scores,) = result.scores["test"]
    starts = scores["v_measures"]["Level 0"]
    assert len(starts) == 50
    assert scores["main_score"] == pytest.approx(np.mean(starts))


def test_a_clustering_result_of_other_settings_is_not_taken_for_this_one(folder, monkeypatch):
    (before,) = local_tasks(folder / "groups")
    monkeypatch.setattr("gecko_hf.evaluation.local_data.CLUSTER_EXPERIMENTS", 10)
    (after,) = local_tasks(folder / "groups")
    assert before.metadata.revision != after.metadata.revision


def test_a_folder_of_folders_is_many_tasks(folder):
    assert {t.metadata.name: t.metadata.type for t in local_tasks(folder)} == {
        f"Local-{n}": t for n, t in TYPES.items()
    }


def test_candidates_beside_a_beir_folder_make_it_reranking(tmp_path):
    local_folders.beir(tmp_path / "search")
    ranked = [{"query-id": f"q{i}", "corpus-ids": [f"d{i}", f"d{i + 1}"]} for i in range(24)]
    local_folders.jsonl(ranked, tmp_path / "search" / "top_ranked.jsonl")
    (task,) = local_tasks(tmp_path / "search")
    assert task.metadata.type == "Reranking"
    task.load_data()
    assert task.dataset["default"]["test"]["top_ranked"]["q3"] == ["d3", "d4"]


@pytest.mark.parametrize(("suffix", "separator"), [("csv", ","), ("tsv", "\t")])
def test_tables_may_be_csv_or_tsv(tmp_path, suffix, separator):
    lines = [
        separator.join(["sentence1", "sentence2", "score"]),
        separator.join(["a", "b", "3"]),
        separator.join(["c", "d", "4.5"]),
    ]
    (tmp_path / f"dev.{suffix}").write_text("\n".join(lines) + "\n")
    (task,) = local_tasks(tmp_path)
    task.load_data()
    assert task.dataset["dev"]["score"][:] == [3.0, 4.5]
    assert list(task.eval_splits) == ["dev"]


def test_changed_data_has_another_revision(tmp_path):
    local_folders.pairs(tmp_path / "p", "score")
    before = content_hash(tmp_path / "p")
    file = tmp_path / "p" / "test.jsonl"
    file.write_text(file.read_text().replace("4.0", "3.9"))
    assert content_hash(tmp_path / "p") != before


def test_what_is_not_read_changes_no_revision(tmp_path):
    """Results and a README in the folder, as `--local .` leaves them there."""
    for folder in (local_folders.pairs(tmp_path / "p", "score"), local_folders.beir(tmp_path / "b")):
        before = content_hash(folder)
        (folder / "results").mkdir()
        (folder / "results" / "a.json").write_text("{}")
        (folder / "README.md").write_text("# Mine")
        assert content_hash(folder) == before


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no data set"),
        ({"test.jsonl": '{"a": 1}\n'}, "has the columns a. Expected sentence1"),
        ({"test.jsonl": "{broken\n"}, "cannot be read as jsonl"),
        ({"train.jsonl": '{"text": "a", "label": 1}\n'}, "only a train split"),
        ({"test.jsonl": '{"sentence1": "a", "sentence2": "b", "label": 2}\n'}, "need both 0 and 1"),
        ({"test.jsonl": '{"text": "a", "label": 1}\n{"text": null, "label": 1}\n'}, "a row has no 'text'"),
        (
            {"train.jsonl": '{"text": "a", "label": "x"}\n', "test.jsonl": '{"text": "b", "label": "y"}\n'},
            "no example of the label 'y'",
        ),
        ({"test.jsonl": '{"query": "a", "positive": [], "negative": ["b"]}\n'}, "no positive"),
        ({"test.jsonl": '{"query": "a", "positive": "abc", "negative": ["b"]}\n'}, "positive holds .* a list of texts"),
        ({"test.csv": "query,positive,negative\na,abc,b\n"}, "A list is written in .jsonl or .parquet"),
        ({"test.jsonl": '{"query": null, "positive": ["b"], "negative": ["c"]}\n'}, "query holds .* a text"),
        ({"test.jsonl": '{"query": "a", "positive": ["b", null], "negative": ["c"]}\n'}, "row 1: a positive .* null"),
        ({"test.jsonl": ""}, "it holds no row"),
        ({"test.jsonl": '{"text": 1, "label": "x"}\n{"text": 2, "label": "y"}\n'}, "'text' holds .*texts are expected"),
        ({"test.jsonl": '{"text": "a", "label": ["x"]}\n{"text": "b", "label": ["y"]}\n'}, "Give one word or number"),
        ({"test.jsonl": '{"text": "a", "label": "x"}\n{"text": "b", "label": "x"}\n'}, "has one label alone"),
        ({"test.jsonl": '{"sentence1": "a", "sentence2": "b", "score": "high"}\n'}, "a score is no number"),
        ({"test.csv": "sentence1,sentence2,score\na,b,NaN\nc,d,1\n"}, "a score is NaN or infinite"),
        ({"test.jsonl": '{"sentence1": "a", "sentence2": "b", "score": 1}\n' * 2}, "all scores are the same"),
        (
            {"dev.jsonl": '{"text": "a", "label": "x"}\n', "train.jsonl": '{"words": "b", "label": "x"}\n'},
            "train.jsonl has the columns words, label, and another file beside it has 'text'",
        ),
        (
            {"test.jsonl": '{"text": "a", "label": "x"}\n', "test.csv": "text,label\nb,y\n"},
            "test.csv and test.jsonl are both the split test",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(EvaluationError, match=message):
        local_tasks(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q0\td0", "line 26.*Expected: query-id"),
        ("q0\td999\t1", "line 26: no document 'd999'"),
        ("q999\td0\t1", "line 26: no query 'q999'"),
    ],
)
def test_a_wrong_judgement_is_named_with_its_line(tmp_path, line, message):
    folder = local_folders.beir(tmp_path / "search")
    with (folder / "qrels" / "test.tsv").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(EvaluationError, match=message):
        local_tasks(folder)


def test_judgements_may_stand_without_a_heading(tmp_path):
    file = local_folders.beir(tmp_path / "search") / "qrels" / "test.tsv"
    lines = file.read_text().partition("\n")[2]
    file.write_text(lines)
    (task,) = local_tasks(tmp_path / "search")
    task.load_data()
    assert len(task.dataset["default"]["test"]["relevant_docs"]) == len(lines.splitlines()) == 24


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("qrels/test.tsv", b"query-id\tcorpus-id\tscore\nq0\td\xe9\t1\n", "is not UTF-8"),
        ("qrels/test.tsv", b"query-id\tcorpus-id\tscore\nq0\td0\t0\n", "calls no document relevant"),
        ("corpus.jsonl", b"", "corpus.jsonl cannot be read as JSON lines: it holds no row"),
        ("corpus.jsonl", b'{"_id": "d0", "text": 7}\n', "text holds .*texts are expected"),
        ("top_ranked.jsonl", b"{broken\n", "line 1 is not JSON"),
        ("top_ranked.jsonl", b"[1]\n", "line 1: expected query-id and corpus-ids"),
        ("top_ranked.jsonl", b'{"query-id": "q0", "corpus-ids": "d0"}\n', "line 1: expected .*, a list"),
        ("top_ranked.jsonl", b'{"query-id": "q0", "corpus-ids": ["d0"]}\n', "no candidates for 23 queries"),
        ("top_ranked.jsonl", b'{"query-id": "q0", "corpus-ids": []}\n', "no candidates for 24 queries"),
        (
            "top_ranked.jsonl",
            b'{"query-id": "q0", "corpus-ids": ["d0"]}\n' * 2,
            "line 2: a second line of the query 'q0'",
        ),
    ],
)
def test_search_data_that_cannot_be_used_is_refused(tmp_path, name, text, message):
    folder = local_folders.beir(tmp_path / "search")
    (folder / name).write_bytes(text)
    with pytest.raises(EvaluationError, match=message):
        local_tasks(folder)


def test_search_without_judgements_says_so(tmp_path):
    folder = local_folders.beir(tmp_path / "search")
    (folder / "qrels" / "test.tsv").unlink()
    with pytest.raises(EvaluationError, match=r"qrels/ holds no \.tsv file"):
        local_tasks(folder)


def test_a_subfolder_that_cannot_be_read_is_not_left_out_silently(tmp_path):
    local_folders.labelled(tmp_path / "good", train=False)
    (tmp_path / ".git").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "test.json").write_text("[]")
    with pytest.raises(EvaluationError, match="in other there is none that can be read"):
        local_tasks(tmp_path)


def test_words_that_pandas_takes_for_nothing_are_words(tmp_path):
    (tmp_path / "test.csv").write_text("text,label\nnull,none\nNone,NA\n")
    (task,) = local_tasks(tmp_path)
    task.load_data()
    assert task.dataset["test"]["text"][:] == ["null", "None"]


def test_columns_that_no_task_reads_may_be_empty(tmp_path):
    (tmp_path / "test.jsonl").write_text(
        '{"text": "a", "label": 1, "note": null}\n{"text": "b", "label": 2, "note": "x"}\n'
    )
    (task,) = local_tasks(tmp_path)
    assert task.metadata.type == "Clustering"


def test_data_sets_are_told_apart_by_the_whole_name_of_their_folder(tmp_path):
    for name in ("日本", "中文"):
        local_folders.labelled(tmp_path / name, train=False)
    assert [task.metadata.name for task in local_tasks(tmp_path)] == ["Local-中文", "Local-日本"]


def test_two_data_sets_of_one_name_are_refused_and_one_that_is_named_twice_is_measured_once(tmp_path):
    one = local_folders.labelled(tmp_path / "a" / "mine", train=False)
    other = local_folders.pairs(tmp_path / "b" / "mine", "score")
    assert len(choose_tasks([], None, [one, one], paper=False)) == 1
    with pytest.raises(EvaluationError, match="Two different data sets are called Local-mine"):
        choose_tasks([], None, [one, other], paper=False)


def test_ids_and_titles_that_look_like_dates_stay_as_they_are(tmp_path):
    (tmp_path / "qrels").mkdir()
    documents = [
        {"_id": "2024-03-01", "title": "2024-03-01", "text": "one"},
        {"_id": "2024-03-02", "title": 7, "text": "two"},
    ]
    local_folders.jsonl(documents, tmp_path / "corpus.jsonl")
    local_folders.jsonl([{"_id": 1, "text": "2024-03-01"}], tmp_path / "queries.jsonl")
    (tmp_path / "qrels" / "test.tsv").write_text("1\t2024-03-01\t1\n")
    (task,) = local_tasks(tmp_path)
    task.load_data()
    data = task.dataset["default"]["test"]
    assert data["corpus"]["id"][:] == ["2024-03-01", "2024-03-02"]
    assert data["corpus"]["title"][:] == ["2024-03-01", "7"]
    assert data["queries"]["text"][:] == ["2024-03-01"]


def test_a_changed_file_of_the_same_name_is_read_anew(tmp_path):
    folder = local_folders.beir(tmp_path / "search")
    for text in ("first", "second"):
        rows = [{"_id": f"d{i}", "text": text} for i in range(64)]
        local_folders.jsonl(rows, folder / "corpus.jsonl")
        (task,) = local_tasks(folder)
        task.load_data()
        assert set(task.dataset["default"]["test"]["corpus"]["text"]) == {text}


def test_two_documents_of_one_id_are_refused(tmp_path):
    folder = local_folders.beir(tmp_path / "search")
    with (folder / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "d0", "title": "", "text": "again"}\n')
    with pytest.raises(EvaluationError, match="two rows have the same id"):
        local_tasks(folder)
