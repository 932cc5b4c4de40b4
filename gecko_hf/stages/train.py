"""Corpus and FRet to a model: the two training stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gecko_hf.stages.run import Counts, Run

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def prefinetune_stage(run: Run) -> Counts:
    """Train the base on (lead, body) pairs of the corpus."""
    from gecko_hf.model.encoder import save_encoder
    from gecko_hf.training.mixture import lead_body_pairs

    recipe = run.recipe.prefinetune
    model = run.base()
    rows = lead_body_pairs(run.passages, run.held_out, recipe.rows, run.recipe.seed, recipe.max_lead_words)
    if recipe.rows:
        _train(run, model, rows, "prefinetune")
    save_encoder(model, run.paths.prefinetuned)
    return {"rows": len(rows)}


def finetune_stage(run: Run) -> Counts:
    """Train the pre-finetuned encoder on FRet."""
    from gecko_hf.fret.build import read_rows
    from gecko_hf.model.encoder import load_encoder, save_encoder
    from gecko_hf.model.merge import merge_into
    from gecko_hf.training.mixture import fret_rows

    recipe = run.recipe.finetune
    model = load_encoder(str(run.paths.prefinetuned), run.recipe.encoder.max_seq_length)
    rows = fret_rows(read_rows(run.paths.fret)[: recipe.rows], recipe.cut_source, run.recipe.seed)
    _train(run, model, rows, "finetune")
    merge_into(model, run.base(), recipe.merge_base)
    save_encoder(model, run.paths.model)
    return {"rows": len(rows)}


def _train(run: Run, model: SentenceTransformer, rows: Any, stage: str) -> None:
    from gecko_hf.model.lora import add_lora, merge_lora
    from gecko_hf.training.stage import precision_of, remove_checkpoints, train_stage, write_curve

    if run.recipe.encoder.lora.rank:
        add_lora(model, run.recipe.encoder.lora)
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
            say=run.view.say,
        )
    merge_lora(model)
    write_curve(curve, run.paths.logs / f"{stage}_curve.json")
    remove_checkpoints(checkpoints)
