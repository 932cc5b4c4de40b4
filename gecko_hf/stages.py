"""The arrows of the pipeline: each function reads what the one before it wrote, and writes what the next one reads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gecko_hf.corpus.passages import (
    Corpus,
    Passage,
    check_ids,
    merge_near_identical,
    read_corpus,
    sample_rows,
    write_corpus,
)
from gecko_hf.errors import CorpusError
from gecko_hf.evaluation.yardstick import (
    YardstickQuery,
    read_queries,
    see_also_queries,
    split_of,
    write_queries,
)
from gecko_hf.llm.base import LLM
from gecko_hf.progress import View
from gecko_hf.recipe import Recipe
from gecko_hf.run_folder import Paths, write_json

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from gecko_hf.fret.build import FRet
    from gecko_hf.model.vectors import VectorStore

Counts = dict[str, int]
JUDGED_PER_SECOND = 10_000  # ours: (query, passage) pairs that `unigram` judges on one core


@dataclass
class Run:
    """What the stages of one run share."""

    recipe: Recipe
    paths: Paths
    view: View
    key: str = ""  # of the stage that is running

    @cached_property
    def passages(self) -> list[Passage]:
        """The corpus."""
        return read_corpus(self.paths.corpus)

    @cached_property
    def held_out(self) -> set[str]:
        """Ids of the seeds that no training row may come from."""
        file = self.paths.corpus / "held_out.json"
        return set(json.loads(file.read_text(encoding="utf-8")))

    def base(self) -> SentenceTransformer:
        """The untouched base encoder."""
        from gecko_hf.model.encoder import check_dims, load_encoder

        model = load_encoder(self.recipe.encoder.base, self.recipe.encoder.max_seq_length)
        check_dims(model, self.recipe.encoder.dims)
        return model

    def store(self, model: SentenceTransformer) -> VectorStore:
        """The vectors of a model, kept in the run folder."""
        from gecko_hf.model.vectors import VectorStore

        return VectorStore(model, self.paths.vectors)

    def llm(self) -> LLM:
        """The LLM that the recipe names."""
        from gecko_hf.llm.unigram import UnigramLLM

        return UnigramLLM(
            ((p.title, p.text) for p in self.passages),
            drop_words=self.recipe.llm.drop_words,
            lead_weight=self.recipe.llm.lead_weight,
            seed=self.recipe.seed,
        )


def corpus_stage(run: Run) -> Counts:
    """Read the text, merge near-identical passages, set the yardstick apart."""
    recipe = run.recipe
    queries: list[YardstickQuery] = []
    with run.view.task("reading the corpus") as report:
        if recipe.corpus.source == "docstrings":
            from gecko_hf.corpus.docstrings import read_docstrings

            documentation = read_docstrings(recipe.corpus.packages)
            corpus = Corpus(documentation.passages)
        else:
            from gecko_hf.corpus.files import read_files

            corpus = read_files(recipe.corpus, report)
    check_ids(corpus.passages)
    with run.view.task("merging near-identical passages"):
        passages, merged = merge_near_identical(corpus.passages, recipe.corpus.near_duplicate)
    if len(passages) < recipe.fret.candidates:
        raise CorpusError(
            f"The corpus has {len(passages)} different passages, and every query needs {recipe.fret.candidates} "
            f"candidates. Give more text, or lower fret.candidates to at most {max(2, len(passages))}."
        )
    held_out: set[str] = set()
    if recipe.evaluation.yardstick == "see_also":
        queries = see_also_queries(documentation, passages, merged, recipe.evaluation.dev_share)
        write_queries(queries, run.paths.yardstick)
    else:
        held_out = {p.id for p in passages if split_of(f"{recipe.seed}:{p.id}", recipe.evaluation.held_out) == "dev"}
    write_corpus(passages, run.paths.corpus)
    write_json(sorted(held_out), run.paths.corpus / "held_out.json")
    write_json(merged, run.paths.corpus / "merged.json")
    lines = "".join(json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in corpus.set_aside)
    (run.paths.corpus / "set_aside.jsonl").write_text(lines, encoding="utf-8")
    run.__dict__.pop("passages", None)
    counts = {"passages": len(passages), "merged": len(merged), "set_aside": len(corpus.set_aside)}
    return counts | ({"queries": len(queries)} if queries else {"held_out": len(held_out)})


def prefinetune_stage(run: Run) -> Counts:
    """Train the base on (lead, body) pairs of the corpus."""
    from gecko_hf.model.encoder import save_encoder
    from gecko_hf.training.mixture import lead_body_pairs

    recipe = run.recipe.prefinetune
    model = run.base()
    rows = lead_body_pairs(run.passages, run.held_out, recipe.rows, run.recipe.seed)
    if recipe.rows:
        _train(run, model, rows, "prefinetune")
    save_encoder(model, run.paths.prefinetuned)
    return {"rows": len(rows)}


def fret_stage(run: Run) -> Counts:
    """Write queries, mine, judge and label: the FRet data set."""
    from gecko_hf.fret.build import build_fret, choose_seeds, write_fret

    recipe = run.recipe
    order = sample_rows(len(run.passages), len(run.passages), recipe.seed)
    seeds = choose_seeds(run.passages, run.held_out, recipe.fret.rows, order)
    tests = [p for p in run.passages if p.id in run.held_out]
    if not seeds:
        raise CorpusError("No passage of the corpus holds a sentence of prose, so there is nothing to ask about.")
    store = run.store(run.base())
    with run.view.task("embedding passages") as report:
        vectors = store.encode([plain_text(p) for p in run.passages], report=report)
    llm = run.llm()
    with run.view.task("judging candidates") as report:
        fret = build_fret(
            run.passages,
            seeds,
            llm,
            vectors,
            lambda queries: store.encode([f"{q.task} {q.query}" for q in queries]),
            recipe.fret,
            seed=recipe.seed,
            report=report,
        )
    shutil.rmtree(run.paths.fret, ignore_errors=True)
    write_fret(fret, run.passages, run.paths.fret)
    if recipe.evaluation.yardstick == "held_out":
        _write_held_out_queries(run, llm, tests)
    return _fret_counts(fret)


def _fret_counts(fret: FRet) -> Counts:
    relabelled = sum(label["positive_id"] != label["seed_id"] for label in fret.labels)
    return {"rows": len(fret.rows), "relabelled": relabelled, "set_aside": len(fret.rejected)}


def _write_held_out_queries(run: Run, llm: LLM, tests: Sequence[Passage]) -> None:
    """Queries of the held-out seeds; each is answered by the passage that it was written for."""
    from gecko_hf.fret.generate import generate_queries

    written, _ = generate_queries(llm, tests, run.recipe.fret.tasks, run.recipe.seed)
    share = run.recipe.evaluation.dev_share
    queries = [
        YardstickQuery(f"q{i:05d}", q.query, [q.seed_id], split_of(q.query, share)) for i, q in enumerate(written)
    ]
    if not any(q.split == "test" for q in queries):
        raise CorpusError(
            f"{len(tests)} passages are held out and give no test query. Give more text, or raise evaluation.held_out "
            f"(now {run.recipe.evaluation.held_out})."
        )
    write_queries(queries, run.paths.yardstick)


def finetune_stage(run: Run) -> Counts:
    """Train the pre-finetuned encoder on FRet."""
    from gecko_hf.fret.build import read_rows
    from gecko_hf.model.encoder import load_encoder, save_encoder
    from gecko_hf.training.mixture import fret_rows

    recipe = run.recipe.finetune
    model = load_encoder(str(run.paths.prefinetuned), run.recipe.encoder.max_seq_length)
    rows = fret_rows(read_rows(run.paths.fret)[: recipe.rows], recipe.cut_source, run.recipe.seed)
    _train(run, model, rows, "finetune")
    save_encoder(model, run.paths.model)
    return {"rows": len(rows)}


def _train(run: Run, model: SentenceTransformer, rows: Any, stage: str) -> None:
    from gecko_hf.training.stage import precision_of, remove_checkpoints, train_stage, write_curve

    checkpoints = run.paths.checkpoints / f"{stage}-{run.key[:12]}"
    with run.view.task("training") as report:
        curve = train_stage(
            model,
            rows,
            getattr(run.recipe, stage),
            dims=run.recipe.encoder.dims,
            precision=precision_of(run.recipe.precision),
            seed=run.recipe.seed,
            folder=checkpoints,
            report=report,
        )
    write_curve(curve, run.paths.logs / f"{stage}_curve.json")
    remove_checkpoints(checkpoints)


def evaluate_stage(run: Run) -> Counts:
    """Measure BM25, the untouched base, the pre-finetuned and the finished encoder on the yardstick."""
    from gecko_hf.evaluation.score import BM25, Score, StoredEncoder, retrieval_task, score
    from gecko_hf.model.encoder import base_name, load_encoder
    from gecko_hf.prompts import model_prompts

    recipe, paths = run.recipe, run.paths
    task = retrieval_task(*yardstick_name(recipe), run.passages, read_queries(paths.yardstick))
    scores: list[Score] = []
    if recipe.evaluation.bm25:
        with run.view.task("scoring BM25"):
            scores += score(BM25(), task, paths.results, label="BM25", role="bm25", dim=None)
    length = recipe.encoder.max_seq_length
    models = [
        (f"{base_name(recipe.encoder.base)} (untouched)", "base", run.base, {}),
        ("pre-finetuned", "prefinetuned", lambda: load_encoder(str(paths.prefinetuned), length), model_prompts()),
        ("Gecko", "gecko", lambda: load_encoder(str(paths.model), length), model_prompts()),
    ]
    if not recipe.evaluation.prefinetuned:
        del models[1]
    for label, role, load, prompts in models:
        store = run.store(load())
        for dim in recipe.encoder.dims:
            with run.view.task(f"scoring {label} at {dim}") as report:
                encoder = StoredEncoder(store, prompts, dim, f"{recipe.name}/{role}-{dim}", report)
                scores += score(encoder, task, paths.results, label=label, role=role, dim=dim)
    write_json([asdict(s) for s in scores], paths.logs / "scores.json")
    return {"models": len(models) + recipe.evaluation.bm25, "scores": len(scores)}


def report_stage(run: Run) -> Counts:
    """Write the summary, the report page and both cards."""
    from gecko_hf.fret.build import read_rows
    from gecko_hf.hub.cards import write_cards
    from gecko_hf.hub.report import write_report
    from gecko_hf.hub.summary import loss_curves, report_rows, summarise

    labels = read_rows(run.paths.fret, "labels")
    summary = summarise(run.recipe, run.paths, labels, yardstick_name(run.recipe))
    write_json(summary, run.paths.report / "summary.json")
    rows = report_rows(labels)
    shown = {row[key] for row in rows for key in ("seed_id", "positive_id", "negative_id")}
    passages = {p.id: {"title": p.title, "text": p.text} for p in run.passages if p.id in shown}
    write_report(summary, loss_curves(run.paths), rows, passages, run.paths.report)
    write_cards(summary, run.paths)
    return {"rows": len(rows)}


def yardstick_name(recipe: Recipe) -> tuple[str, str]:
    """Name and description of the yardstick."""
    if recipe.evaluation.yardstick == "see_also":
        return "SeeAlsoRetrieval", (
            "What the authors of Python documentation wrote in See Also sections about other functions; "
            "the functions they point at are relevant."
        )
    return "HeldOutQueries", (
        "Synthetic queries of seed passages that were held out of training. The LLM that wrote the training queries wrote "
        "these too, so the scores are optimistic."
    )


def plain_text(passage: Passage) -> str:
    """A passage as mteb hands it to a model: title and text in one string."""
    return f"{passage.title} {passage.text}".strip() if passage.title else passage.text.strip()


def estimate(run: Run) -> dict[str, float]:
    """Seconds that each stage may take."""
    from gecko_hf.estimate import encode_seconds, measure_speed, train_seconds

    recipe, speed = run.recipe, measure_speed()
    parameters = sum(p.numel() for name, p in run.base().named_parameters() if "embeddings" not in name)
    once = encode_seconds([plain_text(p) for p in run.passages], recipe.encoder.max_seq_length, parameters, speed)
    rows = min(recipe.fret.rows, len(run.passages))
    pairs = min(recipe.prefinetune.rows, len(run.passages)) * recipe.prefinetune.epochs
    columns = 1 if recipe.fret.negative == "none" else 2
    return {
        "prefinetune": train_seconds(pairs, 1, recipe, parameters, speed),
        "fret": once + rows * recipe.fret.candidates / JUDGED_PER_SECOND,
        "finetune": train_seconds(rows * recipe.finetune.epochs, columns, recipe, parameters, speed),
        "evaluate": once * (1 + recipe.evaluation.prefinetuned) + 15,
    }


def space_needed(run: Run) -> int:
    """Bytes that a run may write: three models, one checkpoint with its optimizer, vectors, and the texts three times."""
    weights = 4 * sum(p.numel() for p in run.base().parameters())
    vectors = 4 * max(run.recipe.encoder.dims) * len(run.passages) * 3
    return 6 * weights + vectors + 3 * sum(len(p.text.encode()) for p in run.passages)
