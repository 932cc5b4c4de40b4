"""Local search data: BEIR folders, and queries with their own candidates, in the form that mteb's search tasks keep."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets
from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData

from gecko_hf.errors import EvaluationError
from gecko_hf.file_state import file_state
from gecko_hf.source import TEXT

Relevance = dict[str, dict[str, int]]
SearchData = dict[str, dict[str, RetrievalSplitData]]
STRINGS = datasets.Features(dict.fromkeys(("id", "title", "text"), datasets.Value("string")))
_NONE = datasets.Value("null")  # of a column without any value
LISTS = tuple(datasets.List(value) for value in (*TEXT, _NONE)) + tuple(map(datasets.LargeList, TEXT))


def is_beir(folder: Path) -> bool:
    """Whether a folder has BEIR's layout."""
    return (folder / "corpus.jsonl").is_file() and (folder / "queries.jsonl").is_file()


def read_beir(folder: Path, splits: Iterable[str]) -> SearchData:
    """Read a BEIR folder.

    It has `corpus.jsonl` (_id, title, text), `queries.jsonl` (_id, text), `qrels/SPLIT.tsv`, and optionally
    `top_ranked.jsonl` (query-id, corpus-ids), the candidates that are reranked.

    Raises:
        EvaluationError: If a column is missing, a judgement names a query or document that is not there, a query that is judged
            has no candidates where others have, or a query has them in two lines.
    """
    corpus = _texts(folder / "corpus.jsonl")
    queries = _texts(folder / "queries.jsonl").remove_columns("title")
    known, asked = set(corpus["id"]), set(queries["id"])
    candidates = _top_ranked(folder / "top_ranked.jsonl", asked, known)
    data = {}
    for split in splits:
        qrels = _qrels(folder / "qrels" / f"{split}.tsv", asked, known)
        bare = sorted(q for q in qrels if not candidates.get(q)) if candidates is not None else []
        # mteb would score such a query as 0, whatever the model.
        _require(
            not bare,
            f"{folder / 'top_ranked.jsonl'} has no candidates for {len(bare)} queries that qrels/{split}.tsv judges, the first "
            f"{bare[:1]}. Add them, or take these judgements out.",
        )
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


def read_candidates(files: Mapping[str, Path], read: Callable[[Path], Any]) -> SearchData:
    """Rows of query, positive (list) and negative (list) as a reranking task.

    Args:
        files: Split name -> file.
        read: Reads a file as a data set.

    Raises:
        EvaluationError: If a column is missing or of another kind, or a row has no query or no positive.
    """
    data = {}
    for split, file in files.items():
        table = read(file)
        _check_candidates(table, file)
        queries, corpus, relevant, ranked = [], [], {}, {}
        for i, row in enumerate(table):
            _require(bool(row["query"]), f"{file}, row {i + 1}: no query.")
            _require(bool(row["positive"]), f"{file}, row {i + 1}: no positive for the query {row['query']!r}.")
            texts = {f"{i}-p{j:05d}": text for j, text in enumerate(row["positive"])}
            relevant[str(i)] = dict.fromkeys(texts, 1)
            texts |= {f"{i}-n{j:05d}": text for j, text in enumerate(row["negative"] or [])}
            _require(None not in texts.values(), f"{file}, row {i + 1}: a positive or negative is null.")
            queries.append({"id": str(i), "text": row["query"]})
            corpus += [{"id": key, "text": text} for key, text in texts.items()]
            ranked[str(i)] = list(texts)
        data[split] = search_split(
            datasets.Dataset.from_list(corpus), datasets.Dataset.from_list(queries), relevant, ranked
        )
    return {"default": data}


def _check_candidates(table: Any, file: Path) -> None:
    """Refuse columns of another kind: of a text in the place of a list, each character would be a document."""
    for column, kinds, what in (
        ("query", TEXT, "a text"),
        ("positive", LISTS, "a list of texts"),
        ("negative", (*LISTS, _NONE), "a list of texts"),
    ):
        found = table.features.get(column)
        _require(
            found in kinds,
            f"{file}: {column} holds {found or 'nothing'}; it must be {what} in every row."
            + (" A list is written in .jsonl or .parquet." if file.suffix in (".csv", ".tsv") else ""),
        )


def _texts(file: Path) -> Any:
    """Rows with id, title and text, all as they are written: a type that is guessed would take `2024-03-01` for a date."""
    state = str(file_state(file))  # the library would else give what it has made of an earlier file of this name
    try:
        table = datasets.Dataset.from_generator(_rows, features=STRINGS, gen_kwargs={"file": str(file), "state": state})
    except datasets.exceptions.DatasetGenerationError as error:
        raise error.__cause__ or error from error  # what _rows raised, which the library wraps
    except ValueError as error:  # the library's word for nothing
        raise EvaluationError(f"{file} cannot be read as JSON lines: it holds no row") from error
    if len(table.unique("id")) < len(table):
        raise EvaluationError(f"{file}: two rows have the same id.")
    return table


def _rows(file: str, state: str) -> Iterator[dict[str, str]]:
    for number, line in _lines(Path(file)):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise EvaluationError(f"{file}, line {number} is not JSON: {error}.") from error
        there = isinstance(row, dict) and row.keys() >= {"text"} and ("_id" in row or "id" in row)
        seen = ", ".join(row) if isinstance(row, dict) else type(row).__name__
        _require(there, f"{file}, line {number} has {seen or 'nothing'}; it needs _id and text.")
        name, title = row.get("_id", row.get("id")), row.get("title")
        _require(name is not None, f"{file}, line {number} has no id.")
        _require(
            isinstance(row["text"], str), f"{file}, line {number}: text holds {row['text']!r}, and texts are expected."
        )
        yield {"id": str(name), "title": "" if title is None else str(title), "text": row["text"]}


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file that are not empty, with their numbers."""
    try:
        with file.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{file} is not UTF-8: {error.reason} at byte {error.start}.") from error


def _qrels(file: Path, queries: set[str], documents: set[str]) -> Relevance:
    """A judgement file: query id, document id, grade, separated by tabs; a first line without a grade is a heading."""
    relevant: Relevance = {}
    for number, line in _lines(file):
        fields = line.split("\t")
        if len(fields) != 3 or not fields[2].lstrip("-").isdigit():
            if number == 1:
                continue
            raise EvaluationError(f"{file}, line {number}: {line!r}. Expected: query-id, corpus-id, score, by tabs.")
        query, document, grade = fields
        _require(query in queries, f"{file}, line {number}: no query {query!r} in queries.jsonl.")
        _require(document in documents, f"{file}, line {number}: no document {document!r} in corpus.jsonl.")
        relevant.setdefault(query, {})[document] = int(grade)
    found = any(grade > 0 for grades in relevant.values() for grade in grades.values())
    _require(found, f"{file} calls no document relevant: expected a line with a score of 1 or more.")
    return relevant


def _top_ranked(file: Path, queries: set[str], documents: set[str]) -> dict[str, list[str]] | None:
    if not file.is_file():
        return None
    ranked: dict[str, list[str]] = {}
    for number, line in _lines(file):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise EvaluationError(f"{file}, line {number} is not JSON: {error}.") from error
        there = isinstance(row, dict) and "query-id" in row and isinstance(row.get("corpus-ids"), list)
        _require(there, f"{file}, line {number}: expected query-id and corpus-ids, a list.")
        query, found = str(row["query-id"]), [str(d) for d in row["corpus-ids"]]
        missing = [d for d in found if d not in documents]
        _require(query in queries, f"{file}, line {number}: no query {query!r} in queries.jsonl.")
        _require(not missing, f"{file}, line {number}: no document {missing[:1]} in corpus.jsonl.")
        _require(query not in ranked, f"{file}, line {number}: a second line of the query {query!r}. Give it one line.")
        ranked[query] = found
    return ranked


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise EvaluationError(message)
