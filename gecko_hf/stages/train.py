"""Corpus and FRet, or a mixture of data sets, to a model: the two training stages.

Under `accelerate launch` every process runs these; the first one writes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gecko_hf.run_folder import hash_of, write_json
from gecko_hf.stages.run import Counts, Run
from gecko_hf.training.processes import is_main, processes
from gecko_hf.training.recipe import StageRecipe

if TYPE_CHECKING:
    import datasets
    from sentence_transformers import SentenceTransformer

    from gecko_hf.model.vectors import Vectors
    from gecko_hf.training.data import TrainingSet

ROTATED_BY = 8_192  # ours: rows whose texts say where the principal axes lie


def prefinetune_stage(run: Run) -> Counts:
    """Train the base on pairs: (lead, body) pairs of the corpus, or a mixture."""
    from gecko_hf.model.encoder import read_as_trained

    recipe = run.recipe.prefinetune
    model = run.base()
    read_as_trained(model)
    aside: Counter[str] = Counter()
    rows: Any = training_sets(run, "prefinetune") if recipe.mixture else _pairs(run, aside)
    if recipe.mixture or recipe.rows:
        _train(run, model, rows, "prefinetune")
    elif is_main():
        for told in ("curve", "computed"):  # of an earlier recipe, which trained
            (run.paths.logs / f"prefinetune_{told}.json").unlink(missing_ok=True)
    _save(run, model, "prefinetune")
    return _count(rows) | ({"set_aside": aside.total()} if aside else {})


def _pairs(run: Run, aside: Counter[str]) -> datasets.Dataset:
    """The (lead, body) pairs of the corpus; counts those that a test set leaves out, also in a file beside the curve."""
    from gecko_hf.training.mixture import lead_body_pairs

    recipe = run.recipe.prefinetune
    rows = lead_body_pairs(
        run.passages,
        run.held_out,
        recipe.rows,
        run.recipe.seed,
        recipe.max_lead_words,
        recipe.title_in_text,
        tests=run.tests if recipe.rows else None,  # which may have to be downloaded
        aside=aside,
    )
    if is_main():
        write_json({"rows": len(rows), "set_aside": dict(aside)}, run.paths.logs / "prefinetune_pairs.json")
    return rows


def finetune_stage(run: Run) -> Counts:
    """Train the pre-finetuned encoder on FRet, or on a mixture."""
    from gecko_hf.model.encoder import load_encoder
    from gecko_hf.model.merge import merge_into
    from gecko_hf.training.mixture import fret_rows

    recipe = run.recipe.finetune
    encoder = run.recipe.encoder
    length = encoder.max_seq_length
    model = load_encoder(str(run.paths.prefinetuned), length, attention=encoder.attention)
    rows: Any
    if recipe.mixture:
        rows = training_sets(run, "finetune")
    else:
        rows = fret_rows(
            _first_rows(run.paths.fret, recipe.rows), recipe.cut_source, run.recipe.seed, recipe.title_in_text
        )
    _train(run, model, rows, "finetune")
    if recipe.merge_prefinetuned:
        merge_into(model, load_encoder(str(run.paths.prefinetuned), length), recipe.merge_prefinetuned)
    if recipe.merge_base:
        merge_into(model, run.base(), recipe.merge_base)
    if recipe.rotate and is_main():
        _rotate(run, model, rows)
    _save(run, model, "finetune")
    return _count(rows)


def _first_rows(folder: Path, most: int) -> list[dict[str, Any]]:
    """The first rows of FRet; the others become no Python objects, and further files are not opened."""
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    from gecko_hf.fret.build import parts_of

    rows: list[dict[str, Any]] = []
    for file in parts_of(folder, "default"):
        rows += pq.read_table(file).slice(0, most - len(rows)).to_pylist()
        if len(rows) >= most:
            break
    return rows


def training_sets(run: Run, stage: str) -> list[TrainingSet]:
    """The data sets of a stage's mixture, read by the first process and then by the others from what it wrote."""
    from accelerate import PartialState

    from gecko_hf.training.data import build_set
    from gecko_hf.training.reread import read_again

    recipe: StageRecipe = getattr(run.recipe, stage)
    mixture = recipe.mixture
    if run.recipe.fret.negative == "none":  # the run's own FRet has no negatives then
        mixture = {n: replace(e, hard_negatives=0) if e.is_own_fret else e for n, e in mixture.items()}
    own = str(run.paths.fret / "default")
    sets: list[TrainingSet] = []
    with PartialState().main_process_first():
        for name, entry in sorted(mixture.items(), key=lambda item: item[1].kind == "reread"):  # these need the others
            with run.view.task(f"reading {name}") as report:
                if entry.kind == "reread":
                    one = read_again(name, entry, sets, run.recipe.seed)
                else:
                    one = build_set(
                        name,
                        entry,
                        run.paths.root / "mixture",
                        run.recipe.seed,
                        recipe.title_in_text,
                        default=own,
                        tests=run.tests,
                        cut_source=getattr(recipe, "cut_source", 0.0),
                    )
                sets.append(one)
                report(len(one.rows), len(one.rows))
        trained = _with_base_vectors(run, recipe, sets)
    if is_main():
        write_json(
            {s.name: {"rows": len(s.rows), "set_aside": s.set_aside, "recipe": asdict(s.recipe)} for s in sets},
            run.paths.logs / f"{stage}_mixture.json",
        )
    return trained


def _with_base_vectors(run: Run, recipe: StageRecipe, sets: list[TrainingSet]) -> list[TrainingSet]:
    """The sets, those that are kept with the base's vectors: of the rows that the steps can draw, and of no others."""
    from gecko_hf.training.data import with_vectors
    from gecko_hf.training.mixture_recipe import steps_shares

    if not any(one.recipe.keep for one in sets):
        return sets
    encode = _base_vectors(run, recipe)
    shares = steps_shares({one.name: one.recipe for one in sets}, [len(one.rows) for one in sets])
    return [
        with_vectors(_drawn(one, share, recipe, run.recipe.seed), encode) if one.recipe.keep else one
        for one, share in zip(sets, shares, strict=True)
    ]


def _drawn(one: TrainingSet, share: float, recipe: StageRecipe, seed: int) -> TrainingSet:
    """As many rows of a set as its share of the steps can draw; all where their number is what makes the share.

    Rows with the same text cannot stand in one batch, so there are as many times more rows as texts come again.
    """
    from gecko_hf.training.data import text_columns
    from gecko_hf.training.sampler import rows_drawn

    if recipe.steps is None or one.recipe.weight is None:
        return one
    different = min(len(one.rows.unique(column)) for column in text_columns(one.rows))
    most = math.ceil(rows_drawn(share, recipe.steps, recipe.batch_size) * len(one.rows) / different)
    return replace(one, rows=one.rows.shuffle(seed=seed).select(range(min(most, len(one.rows)))))


def _base_vectors(run: Run, recipe: StageRecipe) -> Callable[[Sequence[str]], Vectors]:
    """Embeds texts as the untouched base reads them, as far as the stage reads them; kept in the run folder."""
    from gecko_hf.model.vectors import EmbedOnce

    base = run.base()
    length = run.recipe.encoder.max_seq_length
    base.max_seq_length = min(recipe.max_seq_length or length, length)
    store = run.store(base)

    def encode(texts: Sequence[str]) -> Vectors:
        with run.view.task("embedding with the base") as report:
            return store.encode(texts, report=report)

    return EmbedOnce(encode)


def _train(run: Run, model: SentenceTransformer, rows: Any, stage: str) -> None:
    from transformers import set_seed

    from gecko_hf.evaluation.yardstick import read_queries
    from gecko_hf.model.lora import add_lora, merge_lora
    from gecko_hf.training.data import in_format
    from gecko_hf.training.dev import dev_evaluator
    from gecko_hf.training.stage import train_stage, write_curve

    recipe: StageRecipe = getattr(run.recipe, stage)
    form = run.recipe.encoder.prompt_format
    evaluator = None
    if recipe.evaluate_every:
        queries = read_queries(run.paths.yardstick) if run.paths.yardstick.exists() else []
        evaluator = dev_evaluator(queries, run.passages, run.recipe.seed, form)
    if run.recipe.encoder.lora.rank:
        set_seed(run.recipe.seed)  # the adapters' first weights are drawn here, before the trainer seeds anything
        add_lora(model, run.recipe.encoder.lora)
    with run.view.task("training") as report:
        curve = train_stage(
            model,
            in_format(rows, form),
            recipe,
            dims=run.recipe.encoder.dims,
            precision=run.precision,
            seed=run.recipe.seed,
            folder=_checkpoints(run, stage, rows),
            evaluator=evaluator,
            report=report,
            say=run.view.say,
        )
    merge_lora(model)
    _wait()  # until every process has read the checkpoints that it needs
    if is_main():
        write_curve(curve, run.paths.logs / f"{stage}_curve.json")
        run.tell_computed(stage, model)


def _checkpoints(run: Run, stage: str, rows: Any) -> Path:
    """Where a stage's checkpoints lie; those of another recipe, commit of a set or number of processes count other batches."""
    sets = [asdict(one.recipe) for one in rows] if isinstance(rows, list) else []
    folder: Path = run.paths.checkpoints
    return folder / f"{stage}-{hash_of([run.key, sets, processes()])[:12]}"


def _rotate(run: Run, model: SentenceTransformer, rows: Any) -> None:
    """Turn a finished model's vectors by those of the texts that it was trained on, as many of each data set."""
    from gecko_hf.model.rotation import principal_axes, rotate
    from gecko_hf.training.data import in_format

    trained = in_format(rows, run.recipe.encoder.prompt_format)
    sets = [one.rows for one in trained] if isinstance(trained, list) else [trained]
    texts: list[str] = []
    for one in sets:
        drawn = one.shuffle(seed=run.recipe.seed).select(range(min(len(one), ROTATED_BY // len(sets))))
        texts += [*drawn["anchor"], *drawn["positive"]]
    with run.view.task("turning the vectors") as report:
        rotate(model, principal_axes(run.store(model).compute(texts, report=report)))


def _save(run: Run, model: SentenceTransformer, stage: str) -> None:
    """Save what a stage made; its checkpoints, also those of recipes that were given up, go when the model is there."""
    from gecko_hf.model.encoder import save_encoder
    from gecko_hf.prompts import model_prompts
    from gecko_hf.training.stage import remove_checkpoints

    if is_main():
        encoder = run.recipe.encoder
        folder = run.paths.prefinetuned if stage == "prefinetune" else run.paths.model
        save_encoder(model, folder, model_prompts(encoder.prompt_format, encoder.tasks))
        for checkpoints in run.paths.checkpoints.glob(f"{stage}-*"):
            remove_checkpoints(checkpoints)
    _wait()


def _wait() -> None:
    from accelerate import PartialState

    PartialState().wait_for_everyone()


def _count(rows: Any) -> Counts:
    return {s.name: len(s.rows) for s in rows} if isinstance(rows, list) else {"rows": len(rows)}
