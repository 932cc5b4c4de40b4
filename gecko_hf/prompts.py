"""The prompt contract: every prefix that any stage puts in front of a text comes from here.

Gecko reads queries as `task: {task} | query: {text}` and documents as `title: {title} | text: {text}` (paper, Appendix B,
Table 7). Symmetric tasks read both sides as queries. Training formats its rows with `format_query` and `format_document`;
the saved model carries `model_prompts()`, whose keys are the ones that mteb and sentence-transformers look up; the cards
print the same table. A prefix plus the text is always the same string on every route.
"""

from __future__ import annotations

from typing import NamedTuple

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


def query_prefix(task: str) -> str:
    """The prefix of a query of this task."""
    return f"task: {task} | query: "


def document_prefix(title: str = "") -> str:
    """The prefix of a document; without a title the word `none` stands in its place."""
    return f"title: {title.strip() or NO_TITLE} | text: "


def format_query(task: str, text: str) -> str:
    """A query as the model reads it: `task: {task} | query: {text}`."""
    return query_prefix(task) + text


def format_document(text: str, title: str = "") -> str:
    """A document as the model reads it: `title: {title} | text: {text}`."""
    return document_prefix(title) + text


def without_prompt(text: str) -> str:
    """What stands behind the prefix that `format_query` or `format_document` wrote; a title is joined to the text."""
    if text.startswith("task: "):
        return text.partition(" | query: ")[2]
    title, _, body = text.removeprefix("title: ").partition(" | text: ")
    return title_and_text("" if title == NO_TITLE else title, body)


def title_and_text(title: str, text: str) -> str:
    """A document as one string, as mteb hands it to a model."""
    return f"{title} {text}".strip() if title else text.strip()


def model_prompts() -> dict[str, str]:
    """The `prompts` of a saved model: prompt name -> literal prefix.

    `query` and `document` serve `encode_query` and `encode_document`; every mteb task type that reads text has its own
    key. Asymmetric types have `-query` and `-document` keys; a bare one only where mteb asks for no side.
    """
    return {"query": query_prefix(SEARCH_RESULT), "document": document_prefix(), **_keys(MTEB_TASK_TYPES)}


def paper_prompts() -> dict[str, str]:
    """`model_prompts()` and a key for each task to which Table 9 of the paper gives another name than to its type."""
    return model_prompts() | _keys(PAPER_TASKS)


def _keys(table: dict[str, TaskPrompt]) -> dict[str, str]:
    """The prompt names under which mteb looks for these tasks or types, with their prefixes."""
    prompts = {}
    for name, (task, symmetric) in table.items():
        if symmetric or name in ASKED_WITHOUT_A_SIDE:
            prompts[name] = query_prefix(task)
        if not symmetric:
            prompts[f"{name}-query"] = query_prefix(task)
            prompts[f"{name}-document"] = document_prefix()
    return prompts
