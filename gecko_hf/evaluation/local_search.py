"""Local search data: BEIR folders, and queries with their own candidates, in the form that mteb's search tasks keep."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData

from gecko_hf.errors import EvaluationError

Relevance = dict[str, dict[str, int]]
SearchData = dict[str, dict[str, RetrievalSplitData]]


def is_beir(folder: Path) -> bool:
    """Whether a folder has BEIR's layout."""
    return (folder / "corpus.jsonl").is_file() and (folder / "queries.jsonl").is_file()


def read_beir(folder: Path, splits: Iterable[str]) -> SearchData:
    """Read a BEIR folder.

    It has `corpus.jsonl` (_id, title, text), `queries.jsonl` (_id, text), `qrels/SPLIT.tsv`, and optionally
    `top_ranked.jsonl` (query-id, corpus-ids), the candidates that are reranked.

    Raises:
        EvaluationError: If a column is missing, or a judgement names a query or document that is not there.
    """
    corpus = _texts(folder / "corpus.jsonl")
    queries = _texts(folder / "queries.jsonl")
    known, asked = set(corpus["id"]), set(queries["id"])
    candidates = _top_ranked(folder / "top_ranked.jsonl", asked, known)
    data = {}
    for split in splits:
        qrels = _qrels(folder / "qrels" / f"{split}.tsv", asked, known)
        chosen = queries.select([i for i, query in enumerate(queries["id"]) if query in qrels])
        data[split] = search_split(corpus, chosen, qrels, candidates)
    return {"default": data}


def search_split(
    corpus: Any, queries: Any, relevant: Relevance, candidates: dict[str, list[str]] | None = None
) -> RetrievalSplitData:
    """One split of a search task.

    Args:
        corpus: Data set with id, text and maybe title.
        queries: Data set with id and text.
        relevant: Query id -> document id -> grade.
        candidates: Query id -> documents to rerank; None searches the whole corpus.
    """
    return RetrievalSplitData(corpus=corpus, queries=queries, relevant_docs=relevant, top_ranked=candidates)


def read_candidates(tables: Mapping[str, Callable[[], Any]]) -> SearchData:
    """Rows of query, positive (list) and negative (list) as a reranking task.

    Raises:
        EvaluationError: If a row has no positive.
    """
    data = {}
    for split, read in tables.items():
        queries, corpus, relevant, ranked = [], [], {}, {}
        for i, row in enumerate(read()):
            if not row["positive"]:
                raise EvaluationError(f"{split}, row {i + 1}: no positive for the query {row['query']!r}.")
            texts = {f"{i}-p{j:05d}": text for j, text in enumerate(row["positive"])}
            relevant[str(i)] = dict.fromkeys(texts, 1)
            texts |= {f"{i}-n{j:05d}": text for j, text in enumerate(row["negative"] or [])}
            queries.append({"id": str(i), "text": row["query"]})
            corpus += [{"id": key, "text": text} for key, text in texts.items()]
            ranked[str(i)] = list(texts)
        data[split] = search_split(
            datasets.Dataset.from_list(corpus), datasets.Dataset.from_list(queries), relevant, ranked
        )
    return {"default": data}


def _texts(file: Path) -> Any:
    """Rows with id, text and, where there is one, title."""
    try:
        table = datasets.Dataset.from_json(str(file))
    except datasets.exceptions.DatasetGenerationError as error:
        raise EvaluationError(f"{file} cannot be read as JSON lines: {error.__cause__ or error}") from error
    key = "_id" if "_id" in table.column_names else "id"
    if not {key, "text"} <= set(table.column_names):
        raise EvaluationError(f"{file} has the columns {', '.join(table.column_names)}; it needs _id and text.")
    table = table.select_columns([c for c in (key, "title", "text") if c in table.column_names])
    if key != "id":
        table = table.rename_column(key, "id")
    if table.data.column("text").null_count or table.data.column("id").null_count:
        raise EvaluationError(f"{file}: a row has no text or no id.")
    if len(table.unique("id")) < len(table):
        raise EvaluationError(f"{file}: two rows have the same id.")
    if "title" in table.column_names and table.data.column("title").null_count:
        table = table.map(lambda row: {"title": row["title"] or ""})
    return table.cast_column("id", datasets.Value("string"))


def _qrels(file: Path, queries: set[str], documents: set[str]) -> Relevance:
    """A judgement file: query id, document id, grade, separated by tabs, with a heading."""
    relevant: Relevance = {}
    with file.open(encoding="utf-8") as lines:
        next(lines, None)
        for number, line in enumerate(lines, start=2):
            fields = line.rstrip("\r\n").split("\t")
            if len(fields) != 3 or not fields[2].lstrip("-").isdigit():
                raise EvaluationError(
                    f"{file}, line {number}: {line.strip()!r}. Expected: query-id, corpus-id, score, by tabs."
                )
            query, document, grade = fields
            _require(query in queries, f"{file}, line {number}: no query {query!r} in queries.jsonl.")
            _require(document in documents, f"{file}, line {number}: no document {document!r} in corpus.jsonl.")
            relevant.setdefault(query, {})[document] = int(grade)
    _require(bool(relevant), f"{file} holds no judgement.")
    return relevant


def _top_ranked(file: Path, queries: set[str], documents: set[str]) -> dict[str, list[str]] | None:
    if not file.is_file():
        return None
    ranked: dict[str, list[str]] = {}
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            row = json.loads(line)
            _require(
                {"query-id", "corpus-ids"} <= row.keys(), f"{file}, line {number}: expected query-id and corpus-ids."
            )
            query, found = str(row["query-id"]), [str(d) for d in row["corpus-ids"]]
            missing: Sequence[str] = [d for d in found if d not in documents]
            _require(query in queries, f"{file}, line {number}: no query {query!r} in queries.jsonl.")
            _require(
                not missing, f"{file}, line {number}: no document {missing[0] if missing else ''!r} in corpus.jsonl."
            )
            ranked[query] = found
    return ranked


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise EvaluationError(message)
