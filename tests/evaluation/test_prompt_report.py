"""Which prefix every task is read with, and what is said where one is missing."""

import typing

import mteb
import pytest
from mteb.abstasks.task_metadata import TaskType
from mteb.mocks import mock_tasks
from mteb.mocks.mock_tasks.clustering import MockClusteringTask
from mteb.types import PromptType
from sentence_transformers import SentenceTransformer

from gecko_hf import prompts
from gecko_hf.errors import EvaluationError
from gecko_hf.evaluation.model import use_paper_prompts
from gecko_hf.evaluation.prompt_report import SEARCH_TYPES, prompt_warnings, sides_of, task_rows, type_rows
from gecko_hf.evaluation.tasks import benchmark_tasks, mteb_tasks, paper_tasks

MOCKS = {
    "Retrieval": mock_tasks.MockRetrievalTask,
    "Reranking": mock_tasks.MockRerankingTask,
    "InstructionRetrieval": mock_tasks.MockInstructionRetrieval,
    "InstructionReranking": mock_tasks.MockInstructionReranking,
    "Summarization": mock_tasks.MockSummarizationTask,
    "STS": mock_tasks.MockSTSTask,
    "PairClassification": mock_tasks.MockPairClassificationTask,
    "BitextMining": mock_tasks.MockBitextMiningTask,
    "Classification": mock_tasks.MockClassificationTask,
    "MultilabelClassification": mock_tasks.MockMultilabelClassification,
    "Regression": mock_tasks.MockRegressionTask,
    "ZeroShotClassification": mock_tasks.MockTextZeroShotClassificationTask,
    "Clustering": MockClusteringTask,
}


@pytest.fixture
def gecko(tiny_model) -> SentenceTransformer:
    tiny_model.prompts = dict(prompts.model_prompts())
    return tiny_model


def test_every_mteb_task_type_is_one_that_we_prompt_or_one_that_reads_no_plain_text():
    others = {t for t in typing.get_args(TaskType) if t not in prompts.MTEB_TASK_TYPES}
    seen_or_heard = ("Any2Any", "Vis", "Image", "Audio", "Video", "Document", "Compositionality")
    assert all(t.startswith(seen_or_heard) for t in others)
    assert MOCKS.keys() == prompts.MTEB_TASK_TYPES.keys()


@pytest.mark.filterwarnings("ignore")  # mteb's mock data is smaller than scikit-learn likes
@pytest.mark.parametrize("task_type", MOCKS)
def test_the_report_names_the_sides_and_prefixes_that_mteb_really_asks_for(task_type, gecko, monkeypatch):
    """Runs mteb's own evaluator of the type on mteb's own mock data, and watches the texts that reach the model."""
    task = MOCKS[task_type]()
    assert task.metadata.type == task_type
    asked = set()
    encode = SentenceTransformer.encode

    def spy(self, inputs, *args, prompt=None, prompt_name=None, **kwargs):
        asked.add(prompt)
        return encode(self, inputs, *args, prompt=prompt, prompt_name=prompt_name, **kwargs)

    monkeypatch.setattr(SentenceTransformer, "encode", spy)
    mteb.evaluate(gecko, task, cache=None, co2_tracker=False, show_progress_bar=False)
    assert {row.prefix for row in task_rows(gecko, [task])} == asked
    assert "" not in asked
    assert None not in asked


@pytest.mark.parametrize("task_type", MOCKS)
def test_types_and_tasks_are_reported_alike(task_type, gecko):
    by_type = {(r.side, r.prefix) for r in type_rows(gecko) if r.task == task_type}
    assert by_type == {(r.side, r.prefix) for r in task_rows(gecko, [MOCKS[task_type]()])}
    assert (task_type in SEARCH_TYPES) == (sides_of(MOCKS[task_type]()) == [PromptType.query, PromptType.document])


def test_a_gecko_model_misses_nothing(gecko):
    assert prompt_warnings(gecko, type_rows(gecko)) == []


@pytest.mark.parametrize("key", ["STS", "Clustering", "Summarization", "Classification"])
def test_a_missing_key_is_named(gecko, key):
    del gecko.prompts[key]
    assert prompt_warnings(gecko, type_rows(gecko)) == [
        f"{key} (both) would be read without a prompt: the model's prompts have no key {key!r}."
    ]


def test_a_missing_side_is_named(gecko):
    del gecko.prompts["Reranking-document"], gecko.prompts["document"]
    (warning,) = prompt_warnings(gecko, type_rows(gecko))
    assert "'Reranking-document'" in warning


def test_a_key_that_nobody_reads_is_named(gecko):
    gecko.prompts["s2s"] = "query: "
    assert prompt_warnings(gecko, type_rows(gecko)) == [
        "The prompt 's2s' is never read: mteb knows no task, task type or side of that name."
    ]


def test_a_model_without_prompts_is_read_bare_on_purpose(tiny_model):
    assert {row.prefix for row in type_rows(tiny_model)} == {""}
    assert prompt_warnings(tiny_model, type_rows(tiny_model)) == []


def test_documents_fall_back_on_the_names_that_sentence_transformers_knows(tiny_model):
    tiny_model.prompts = {"query": "query: ", "passage": "passage: "}
    rows = {row.side: row.prefix for row in type_rows(tiny_model) if row.task == "Retrieval"}
    assert rows == {"query": "query: ", "document": "passage: "}


def test_the_paper_gives_some_tasks_another_name_than_their_type(gecko):
    assert use_paper_prompts(gecko)
    tasks = paper_tasks()
    assert len(tasks) == 56
    rows = {(row.task, row.side): row.prefix for row in task_rows(gecko, tasks)}
    named = {
        "question answering": "CQADupstackTexRetrieval DBPedia FiQA2018 MSMARCO NQ SCIDOCS Touche2020 AskUbuntuDupQuestions "
        "SciDocsRR",
        "search result": "ClimateFEVER FEVER HotpotQA TRECCOVID QuoraRetrieval StackOverflowDupQuestions",
        "fact checking": "NFCorpus SciFact",
        "semantic similarity": "ArguAna MindSmallReranking",
    }
    for task, names in named.items():
        for name in names.split():
            assert rows[name, "query"] == f"task: {task} | query: "
            symmetric = name == "QuoraRetrieval"
            assert rows[name, "document"] == (rows[name, "query"] if symmetric else "title: none | text: ")
    assert rows["TwentyNewsgroupsClustering", "both"] == "task: search result | query: "
    assert rows["SummEval", "both"] == "task: search result | query: "
    assert prompt_warnings(gecko, task_rows(gecko, tasks)) == []


def test_a_type_that_the_model_was_trained_to_read_under_another_name_keeps_it(gecko):
    gecko.prompts = prompts.model_prompts(tasks={"Clustering": "clustering"})
    assert use_paper_prompts(gecko)
    assert gecko.prompts["Clustering"] == "task: clustering | query: "
    assert gecko.prompts["SciFact-query"] == "task: fact checking | query: "


def test_another_model_keeps_its_own_prompts_for_the_papers_tasks(tiny_model):
    tiny_model.prompts = {"query": "q: ", "document": "d: "}
    assert not use_paper_prompts(tiny_model)
    assert tiny_model.prompts == {"query": "q: ", "document": "d: "}


@pytest.mark.parametrize("choose", [lambda: mteb_tasks(["STS13x"]), lambda: benchmark_tasks("MTEB(eng, v9)")])
def test_an_unknown_name_gets_the_nearest_one(choose):
    with pytest.raises(EvaluationError, match="Did you mean"):
        choose()
