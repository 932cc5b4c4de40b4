"""The prompt contract: every prefix that any stage puts in front of a text comes from here.

Gecko reads queries as `task: {task} | query: {text}` and documents as `title: {title} | text: {text}` (paper, Appendix B,
Table 7). Symmetric tasks read both sides as queries. Training formats its rows with `format_query` and `format_document`;
the saved model carries `model_prompts()`, whose keys are the ones that mteb and sentence-transformers look up; the cards
print the same table. A prefix plus the text is always the same string on every route.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PromptFormat = Literal["gecko", "sentence", "plain"]
# Paper, Table 7: the format that won, and the two that it was compared with. A passage's side of `sentence` is ours, and so is
# that of a missing title. `{}` is the task, or the title.
QUERY_PREFIX: dict[PromptFormat, str] = {
    "gecko": "task: {} | query: ",
    "sentence": "The task is {}, and the query is ",
    "plain": "{} ",
}
DOCUMENT_PREFIX: dict[PromptFormat, str] = {
    "gecko": "title: {} | text: ",
    "sentence": "The title is {}, and the text is ",
    "plain": "{} ",
}
# What encode_query and encode_document of sentence-transformers try when they are handed no prompt.
SIDE_NAMES = {"query": ("query",), "document": ("document", "passage", "corpus")}
NO_TITLE = "none"  # ours: the paper does not say what stands in for a missing title; EmbeddingGemma writes this word


class TaskPrompt(NamedTuple):
    """How a kind of task is read: its name in the prefix, and whether both sides are queries."""

    task: str
    symmetric: bool


SEARCH_RESULT = "search result"
QUESTION_ANSWERING = "question answering"
FACT_CHECKING = "fact checking"
SEMANTIC_SIMILARITY = "semantic similarity"
CLASSIFICATION = "classification"

# mteb task type -> task name. Paper, Table 9; types that the paper did not run take the nearest name (marked ours).
MTEB_TASK_TYPES: dict[str, TaskPrompt] = {
    "Retrieval": TaskPrompt(SEARCH_RESULT, symmetric=False),
    "Reranking": TaskPrompt(QUESTION_ANSWERING, symmetric=False),
    "InstructionRetrieval": TaskPrompt(SEARCH_RESULT, symmetric=False),  # ours
    "InstructionReranking": TaskPrompt(SEARCH_RESULT, symmetric=False),  # ours
    "Summarization": TaskPrompt(SEARCH_RESULT, symmetric=False),
    "STS": TaskPrompt(SEMANTIC_SIMILARITY, symmetric=True),
    "PairClassification": TaskPrompt(SEMANTIC_SIMILARITY, symmetric=True),
    "BitextMining": TaskPrompt(SEMANTIC_SIMILARITY, symmetric=True),  # ours
    "Classification": TaskPrompt(CLASSIFICATION, symmetric=True),
    "MultilabelClassification": TaskPrompt(CLASSIFICATION, symmetric=True),  # ours
    "Regression": TaskPrompt(CLASSIFICATION, symmetric=True),  # ours
    "ZeroShotClassification": TaskPrompt(CLASSIFICATION, symmetric=True),  # ours
    "Clustering": TaskPrompt(SEARCH_RESULT, symmetric=True),
}
# Asymmetric in the paper, but mteb encodes both sides without saying which one it is and would find neither key.
ASKED_WITHOUT_A_SIDE = frozenset({"Summarization"})

# mteb task -> task name, where Table 9 of the paper names another one than the type's. CQADupstack is twelve tasks in mteb.
CQADUPSTACK = "Android English Gaming Gis Mathematica Physics Programmers Stats Tex Unix Webmasters Wordpress".split()
PAPER_TASKS: dict[str, TaskPrompt] = {
    **{f"CQADupstack{forum}Retrieval": TaskPrompt(QUESTION_ANSWERING, symmetric=False) for forum in CQADUPSTACK},
    **{
        name: TaskPrompt(QUESTION_ANSWERING, symmetric=False)
        for name in ("DBPedia", "FiQA2018", "MSMARCO", "NQ", "SCIDOCS", "Touche2020")
    },
    "NFCorpus": TaskPrompt(FACT_CHECKING, symmetric=False),
    "SciFact": TaskPrompt(FACT_CHECKING, symmetric=False),
    "ArguAna": TaskPrompt(SEMANTIC_SIMILARITY, symmetric=False),
    "QuoraRetrieval": TaskPrompt(SEARCH_RESULT, symmetric=True),
    "MindSmallReranking": TaskPrompt(SEMANTIC_SIMILARITY, symmetric=False),
    "StackOverflowDupQuestions": TaskPrompt(SEARCH_RESULT, symmetric=False),
}


def query_prefix(task: str, form: PromptFormat = "gecko") -> str:
    """The prefix of a query of this task."""
    return QUERY_PREFIX[form].format(task)


def document_prefix(title: str = "", form: PromptFormat = "gecko") -> str:
    """The prefix of a document; without a title the word `none` stands in its place, or nothing in the plain format."""
    title = title.strip()
    return "" if form == "plain" and not title else DOCUMENT_PREFIX[form].format(title or NO_TITLE)


def format_query(task: str, text: str) -> str:
    """A query as the model reads it: `task: {task} | query: {text}`."""
    return query_prefix(task) + text


def format_document(text: str, title: str = "") -> str:
    """A document as the model reads it: `title: {title} | text: {text}`."""
    return document_prefix(title) + text


def without_prompt(text: str) -> str:
    """What stands behind the prefix that `format_query` or `format_document` wrote; a title is joined to the text."""
    task, title, body = _parts(text)
    return body if task else title_and_text(title, body)


def reworded(text: str, form: PromptFormat) -> str:
    """What `format_query` or `format_document` wrote, in another format."""
    task, title, body = _parts(text)
    return (query_prefix(task, form) if task else document_prefix(title, form)) + body


def _parts(text: str) -> tuple[str, str, str]:
    """Task, title and text of what `format_query` or `format_document` wrote; one of the first two is empty, or both."""
    if text.startswith("task: "):
        task, _, query = text.removeprefix("task: ").partition(" | query: ")
        return task, "", query
    title, _, body = text.removeprefix("title: ").partition(" | text: ")
    return "", "" if title == NO_TITLE else title, body


def format_of(prompts: Mapping[str, str | None]) -> PromptFormat | None:
    """The format of a model's prompt table; None where it is not one of ours."""
    return next((form for form in QUERY_PREFIX if prompts.get("query") == query_prefix(SEARCH_RESULT, form)), None)


def own_prompts(model: SentenceTransformer) -> dict[str, str]:
    """What `encode_query` and `encode_document` of a model put first by themselves, under `query` and `document`."""
    names = {side: side_prompt_name(model, side) or model.default_prompt_name for side in SIDE_NAMES}
    return {side: (model.prompts.get(name) or "") if name else "" for side, name in names.items()}


def side_prompt_name(model: SentenceTransformer, side: str) -> str | None:
    """The name that a model's `encode_query` or `encode_document` finds for its side; None where it has the default only."""
    return next((name for name in SIDE_NAMES[side] if name in model.prompts), None)


def title_and_text(title: str, text: str) -> str:
    """A document as one string, as mteb hands it to a model."""
    return f"{title} {text}".strip() if title else text.strip()


def model_prompts(form: PromptFormat = "gecko", tasks: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """The `prompts` of a saved model: prompt name -> literal prefix.

    `query` and `document` serve `encode_query` and `encode_document`; every mteb task type that reads text has its own
    key. Asymmetric types have `-query` and `-document` keys; a bare one only where mteb asks for no side.

    Args:
        form: The format.
        tasks: mteb task type -> task name, of types that are read under another name than Table 9's.
    """
    sides = {"query": query_prefix(SEARCH_RESULT, form), "document": document_prefix(form=form)}
    named = {kind: prompt._replace(task=tasks.get(kind, prompt.task)) for kind, prompt in MTEB_TASK_TYPES.items()}
    return sides | _keys(named, form)


def paper_prompts() -> dict[str, str]:
    """A key for each task to which Table 9 of the paper gives another name than to its type."""
    return _keys(PAPER_TASKS)


def _keys(table: dict[str, TaskPrompt], form: PromptFormat = "gecko") -> dict[str, str]:
    """The prompt names under which mteb looks for these tasks or types, with their prefixes."""
    prompts = {}
    for name, (task, symmetric) in table.items():
        if symmetric or name in ASKED_WITHOUT_A_SIDE:
            prompts[name] = query_prefix(task, form)
        if not symmetric:
            prompts[f"{name}-query"] = query_prefix(task, form)
            prompts[f"{name}-document"] = document_prefix(form=form)
    return prompts
