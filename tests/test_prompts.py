"""The prompt contract: literal strings of the paper, and keys that mteb accepts."""

import typing

import pytest
from mteb.abstasks.task_metadata import TaskMetadata, TaskType
from mteb.models.abs_encoder import AbsEncoder, get_prompt
from mteb.types import PromptType

from gecko_hf import prompts


def test_a_query_is_written_as_in_table_7_of_the_paper():
    assert prompts.format_query("fact checking", "Cats bark.") == "task: fact checking | query: Cats bark."


def test_a_document_is_written_as_in_table_7_of_the_paper():
    assert prompts.format_document("They meow.", "Cats") == "title: Cats | text: They meow."


@pytest.mark.parametrize("title", ["", "   "])
def test_a_document_without_a_title_says_none(title):
    assert prompts.format_document("They meow.", title) == "title: none | text: They meow."


@pytest.mark.parametrize(
    ("given", "default", "found"),
    [
        ({}, None, {"query": "", "document": ""}),
        ({"query": "q: ", "passage": "p: "}, None, {"query": "q: ", "document": "p: "}),
        ({"query": "q: ", "corpus": "c: ", "document": "d: "}, None, {"query": "q: ", "document": "d: "}),
        ({"s": "say: ", "query": "q: "}, "s", {"query": "q: ", "document": "say: "}),
    ],
)
def test_a_models_own_prompts_are_those_that_it_puts_first_by_itself(tiny_model, given, default, found):
    tiny_model.prompts, tiny_model.default_prompt_name = dict(given), default
    own = prompts.own_prompts(tiny_model)
    assert own == found
    for side, encode in (("query", tiny_model.encode_query), ("document", tiny_model.encode_document)):
        assert (encode("bread") == tiny_model.encode(own[side] + "bread", prompt="")).all()


@pytest.mark.parametrize("text", ["x", "a | text: b", "task: t | query: y", ""])
def test_without_its_prompt_a_text_is_what_it_was(text):
    assert prompts.without_prompt(prompts.format_query("fact checking", text)) == text
    assert prompts.without_prompt(prompts.format_document(text)) == text
    assert prompts.without_prompt(prompts.format_document(text, "Cats")) == f"Cats {text}".strip()


@pytest.mark.parametrize(
    ("form", "query", "document", "untitled"),
    [
        ("gecko", "task: fact checking | query: x", "title: Cats | text: y", "title: none | text: y"),
        ("sentence", "The task is fact checking, and the query is x", "The title is Cats, and the text is y",
         "The title is none, and the text is y"),
        ("plain", "fact checking x", "Cats y", "y"),
    ],
)  # fmt: skip
def test_what_was_written_is_reworded_in_the_other_formats_of_table_7(form, query, document, untitled):
    assert prompts.reworded(prompts.format_query("fact checking", "x"), form) == query
    assert prompts.reworded(prompts.format_document("y", "Cats"), form) == document
    assert prompts.reworded(prompts.format_document("y"), form) == untitled
    saved = prompts.model_prompts(form)
    assert saved["document"] + "y" == untitled
    assert saved.keys() == prompts.model_prompts().keys()
    assert saved["query"] + "x" == query.replace("fact checking", "search result")
    assert prompts.format_of(saved) == form


def test_the_prompts_of_another_model_are_of_no_format_of_ours():
    assert prompts.format_of({"query": "query: ", "document": "passage: "}) is None
    assert prompts.format_of({}) is None


def test_a_type_can_be_read_under_a_name_of_its_own():
    ours, named = prompts.model_prompts(), prompts.model_prompts(tasks={"Clustering": "clustering"})
    assert named == ours | {"Clustering": "task: clustering | query: "}
    sides = prompts.model_prompts(tasks={"Reranking": "ranking"})
    changed = {"Reranking-query": "task: ranking | query: "}  # a document's side has no task
    assert sides == ours | changed


def test_saved_prompts_are_prefixes_of_the_formatted_texts():
    saved = prompts.model_prompts()
    assert saved["query"] + "x" == prompts.format_query("search result", "x")
    assert saved["document"] + "x" == prompts.format_document("x")


def test_every_text_task_type_of_mteb_gets_a_prompt_on_both_sides():
    saved = prompts.model_prompts()
    known, invalid = AbsEncoder.validate_task_to_prompt_name(saved, raise_for_invalid_keys=False)
    assert not invalid
    text_types = set(prompts.MTEB_TASK_TYPES)
    assert text_types <= set(typing.get_args(TaskType))
    for name, (task, symmetric) in prompts.MTEB_TASK_TYPES.items():
        metadata = TaskMetadata.model_construct(name="Any", type=name)
        query = get_prompt(known, metadata, PromptType.query)
        document = get_prompt(known, metadata, PromptType.document)
        assert query == f"task: {task} | query: "
        assert document == (query if symmetric else "title: none | text: ")
        if symmetric or name == "Summarization":  # mteb asks for these without a side
            assert get_prompt(known, metadata, None) == query
