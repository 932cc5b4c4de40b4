"""FRet as three datatrove pipeline steps over parts of the seeds: write queries, drop duplicates, judge and label.

A step is one task a part. Parts are cut by the recipe (`fret.part`), never by the number of workers, every part is a function
of the recipe and the input alone, and its file is written whole. So the rows are the same, in the same order, whatever the
executor, the number of workers, the order in which parts end, and how often the work was stopped; a part whose file is there
is not done again.

    seeds.parquet        row of each seed in the corpus and the task that it is asked for
    llm.json             who writes and judges
    queries/00000.jsonl  what was written for a part's seeds, or why it was set aside
    dropped.jsonl        duplicates, over all parts
    default/, labels/    the finished rows and labels of a part
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Protocol, SupportsInt

import datasets
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from datatrove.pipeline.base import PipelineStep

from gecko_hf.corpus.passages import Passage
from gecko_hf.errors import LLMError
from gecko_hf.fret.build import labels_table, parquet, rows_table, training_rows
from gecko_hf.fret.decontaminate import TestSets
from gecko_hf.fret.generate import GeneratedQuery, Rejected, draw_tasks, generate_queries
from gecko_hf.fret.label import Judged, label
from gecko_hf.fret.mine import Miner
from gecko_hf.fret.quality import check, duplicates
from gecko_hf.fret.rank import judge
from gecko_hf.fret.recipe import FRetRecipe
from gecko_hf.fret.work import WorkFolder
from gecko_hf.llm.base import Annotator, Told
from gecko_hf.model.vectors import Vectors
from gecko_hf.text import lead

Report = Callable[[int, int | None], None]  # (done, total)
SEEDS = "seeds.parquet"
LLM = "llm.json"
DROPPED = "dropped.jsonl"
CHUNK = 256  # queries whose candidates are looked up and judged together


class Workshop(Protocol):
    """What steps work with. Every process that runs a step opens its own, once."""

    recipe: FRetRecipe
    seed: int

    @property
    def corpus(self) -> Sequence[Passage]:
        """All passages."""

    @property
    def llm(self) -> Annotator:
        """Who writes and judges."""

    @property
    def miner(self) -> Miner:
        """Finds the neighbours of a vector among the passages."""

    @property
    def tests(self) -> TestSets | None:
        """Test sets that nothing may overlap."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """The retriever's vectors of queries, of unit length."""


def choose_seeds(corpus: Sequence[Passage], exclude: set[str], count: int, order: Iterable[SupportsInt]) -> list[int]:
    """The first `count` rows, in the given order, whose passage says something in prose and is not excluded."""
    chosen = []
    for row in map(int, order):
        passage = corpus[row]
        if passage.id not in exclude and lead(passage.text):
            chosen.append(row)
            if len(chosen) == count:
                break
    return chosen


def write_seeds(work: WorkFolder, rows: Sequence[int], recipe: FRetRecipe, seed: int) -> None:
    """Set down which passages are asked about, and for which task."""
    asked = draw_tasks(recipe.tasks, recipe.task_distribution, len(rows), seed)
    table = pa.table({"row": pa.array(rows, pa.int64()), "task": pa.array(asked, pa.string()).dictionary_encode()})
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    work.write(SEEDS, buffer.getvalue().to_pybytes())


def require_same_llm(work: WorkFolder, llm: Annotator) -> None:
    """Set down who writes and judges a build, and refuse anyone else when it goes on: parts of two would be mixed.

    A recipe need not name the served model, nor its revision, so the build's key does not tell.

    Raises:
        LLMError: If the build was begun with another model or revision.
    """
    now = {"id": llm.id, "revision": llm.revision}
    if not work.exists(LLM):
        work.write(LLM, json.dumps(now).encode())
    begun = json.loads(work.read(LLM))  # another process may have been faster
    if begun != now:
        raise LLMError(
            f"This build of FRet was begun with {begun['id']} at revision {begun['revision']}, and now "
            f"{now['id']} at revision {now['revision']} answers; their parts may not be mixed. Serve the first one again, or "
            f"delete {work.url} to begin anew."
        )


def write_and_check(
    shop: Workshop, seeds: Sequence[Passage], asked: Sequence[str | None], *, told: Told | None = None
) -> tuple[list[GeneratedQuery], list[Rejected]]:
    """A task and a query for each seed; what does not parse or fails a gate is set aside.

    Args:
        shop: Its writer, gates and test sets.
        seeds: The seed passages.
        asked: For each seed the task that is asked for; None lets the writer name one.
        told: Is told how many seeds have been written for.
    """
    written, rejected = generate_queries(shop.llm, seeds, asked, told=told)
    passages = {p.id: p for p in seeds}
    kept = []
    for query in written:
        failed = check(query, passages[query.seed_id], shop.recipe.quality, shop.tests)
        if failed:
            rejected.append(failed)
        else:
            kept.append(query)
    return kept, rejected


def parts_for(seeds: int, size: int) -> int:
    """How many parts hold that many seeds."""
    return max(1, -(-seeds // size))


class Step(PipelineStep):  # type: ignore[misc]  # datatrove has no types
    """One step of the build; each task makes one part.

    Args:
        work: Where parts are kept.
        open_workshop: Opens the workshop of this process; it travels to other processes by its name.
    """

    type = "FRet"
    makes = ""  # the file of a part, its last if it has several

    def __init__(self, work: WorkFolder, open_workshop: Callable[[], Workshop]) -> None:
        super().__init__()
        self.work = work
        self.open_workshop = open_workshop
        self.report: Report | None = None

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """Make a part, unless it is there; passes nothing on."""
        if not self.done(rank):
            self.make(rank, world_size)
        return iter(data or ())

    def done(self, rank: int) -> bool:
        """Whether a part is there."""
        return self.work.exists(self.makes.format(rank))

    def make(self, rank: int, world_size: int) -> None:
        """Make a part."""
        raise NotImplementedError

    def seeds(self, rank: int, size: int) -> tuple[pa.Table, Callable[[float], None]]:
        """The seeds of a part of that size, and whom to tell what share of them is done; what is told are seeds of the build."""
        table = self.work.read_table(SEEDS)
        part = table.slice(rank * size, size)

        def tell(share: float) -> None:
            if self.report:
                self.report(rank * size + round(share * part.num_rows), table.num_rows)

        return part, tell


class WriteQueries(Step):
    """A task and a query for each seed of a part."""

    name = "write queries"
    makes = "queries/{:05d}.jsonl"

    def make(self, rank: int, world_size: int) -> None:
        """Write the queries of a part."""
        shop = self.open_workshop()
        seeds, tell = self.seeds(rank, shop.recipe.part)
        require_same_llm(self.work, shop.llm)
        passages = [shop.corpus[row] for row in seeds["row"].to_pylist()]
        kept, rejected = write_and_check(
            shop, passages, seeds["task"].to_pylist(), told=lambda done: tell(done / len(passages))
        )
        self.stat_update("queries", value=len(kept))
        self.stat_update("set_aside", value=len(rejected))
        self.work.write_lines(self.makes.format(rank), [*map(asdict, kept), *map(asdict, rejected)])


class DropDuplicates(Step):
    """Over all parts: of queries that are (nearly) the same, the first stays."""

    name = "drop duplicates"
    makes = DROPPED

    def __init__(self, work: WorkFolder, open_workshop: Callable[[], Workshop], parts: int) -> None:
        super().__init__(work, open_workshop)
        self.parts = parts

    def make(self, rank: int, world_size: int) -> None:
        """List the duplicates."""
        threshold = self.open_workshop().recipe.quality.near_duplicate

        def written() -> Iterator[GeneratedQuery]:
            return (query for part in range(self.parts) for query in queries_of(self.work, part))

        dropped = duplicates(written, threshold) if threshold is not None else []
        self.stat_update("duplicates", value=len(dropped))
        self.work.write_lines(DROPPED, [asdict(item) for item in dropped])


class JudgeCandidates(Step):
    """Mine, judge and label the queries of a part."""

    name = "judge candidates"
    makes = "labels/{:05d}.parquet"

    def make(self, rank: int, world_size: int) -> None:
        """Make the labels and rows of a part; the labels are written last."""
        shop = self.open_workshop()
        dropped = {row["seed_id"] for row in self.work.read_lines(DROPPED)}
        queries = [q for q in queries_of(self.work, rank) if q.seed_id not in dropped]
        first = rank * shop.recipe.part
        seeds, tell = self.seeds(rank, shop.recipe.part)
        row_of = {shop.corpus[row].id: row for row in seeds["row"].to_pylist()}
        labels, rows = [labels_table([])], [rows_table([])]  # tables: rows in Python hold several objects a number
        for chosen, candidates in self._labels(shop, queries, [row_of[q.seed_id] for q in queries], tell):
            numbered = [{"query_id": i, **row} for i, row in enumerate(chosen, first)]
            first += len(numbered)
            labels.append(labels_table(numbered))
            rows.append(rows_table(training_rows(numbered, candidates.__getitem__)))
        made = datasets.concatenate_datasets(rows)
        self.stat_update("rows", value=len(made))
        self.work.write(f"default/{rank:05d}.parquet", parquet(made))
        self.work.write(self.makes.format(rank), parquet(datasets.concatenate_datasets(labels)))

    def _labels(
        self,
        shop: Workshop,
        queries: Sequence[GeneratedQuery],
        seed_rows: Sequence[int],
        tell: Callable[[float], None],
    ) -> Iterator[tuple[list[dict[str, Any]], dict[str, Passage]]]:
        """For each chunk of queries their labels, and all candidates by their ids."""
        if not queries:
            return
        require_same_llm(self.work, shop.llm)
        vectors = shop.encode([f"{q.task} {q.query}" for q in queries])
        mined = shop.miner.candidates(vectors, seed_rows, shop.recipe.candidates)
        settings = json.dumps(shop.llm.settings, sort_keys=True)
        provenance = {"llm": shop.llm.id, "llm_revision": shop.llm.revision, "llm_settings": settings}
        for start in range(0, len(queries), CHUNK):
            part = queries[start : start + CHUNK]
            found = [[shop.corpus[row] for row in rows] for rows in mined.rows[start : start + CHUNK].tolist()]
            told = partial(_tell_pairs, tell, start, mined.rows.shape)
            judged = judge(shop.llm, [q.query for q in part], found, one_pass=shop.recipe.one_pass, told=told)
            by_id = {p.id: p for passages in found for p in passages}
            labels = []
            for i, (query, passages, scores) in enumerate(zip(part, found, judged, strict=True), start):
                record = Judged(
                    query.task,
                    query.query,
                    query.seed_id,
                    candidate_ids=[p.id for p in passages],
                    retrieval_rank=mined.ranks(i),
                    retrieval_score=mined.scores[i].tolist(),
                    ql=[s.ql for s in scores],
                    grades=[list(s.grades) for s in scores],
                )
                labels.append(label(record, shop.recipe, shop.seed, by_id.__getitem__, shop.tests) | provenance)
            yield labels, by_id


def _tell_pairs(tell: Callable[[float], None], start: int, shape: tuple[int, int], pairs: int) -> None:
    """Tell the share of (queries, candidates) that is judged, of which `start` queries were before."""
    queries, candidates = shape
    tell((start + pairs / candidates) / queries)


def queries_of(work: WorkFolder, part: int) -> list[GeneratedQuery]:
    """The queries of a part that passed its gates."""
    rows = work.read_lines(WriteQueries.makes.format(part))
    return [GeneratedQuery(**row) for row in rows if "reason" not in row]


def rejected_of(work: WorkFolder, part: int) -> list[Rejected]:
    """What was set aside of a part before judging; duplicates come with the first part."""
    rows = work.read_lines(WriteQueries.makes.format(part))
    dropped = work.read_lines(DROPPED) if part == 0 else []
    return [Rejected(**row) for row in [*(row for row in rows if "reason" in row), *dropped]]
