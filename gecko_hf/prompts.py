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
    "Clustering": TaskPrompt(SEARCH_RESULT, symmetric=True),
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


def model_prompts() -> dict[str, str]:
    """The `prompts` of a saved model: prompt name -> literal prefix.

    `query` and `document` serve `encode_query` and `encode_document`; every mteb task type has its own key. Asymmetric
    types have `-query` and `-document` keys and no bare one, since mteb would put a bare key before documents as well.
    """
    prompts = {"query": query_prefix(SEARCH_RESULT), "document": document_prefix()}
    for name, (task, symmetric) in MTEB_TASK_TYPES.items():
        if symmetric:
            prompts[name] = query_prefix(task)
        else:
            prompts[f"{name}-query"] = query_prefix(task)
            prompts[f"{name}-document"] = document_prefix()
    return prompts
