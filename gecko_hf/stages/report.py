"""Everything on disk to the summary, the report page and the cards; or what there is of a FRet alone to its card."""

from __future__ import annotations

from gecko_hf.recipe import Recipe
from gecko_hf.run_folder import Paths, write_json
from gecko_hf.stages.evaluate import yardstick_name
from gecko_hf.stages.run import Counts, Run


def report_stage(run: Run) -> Counts:
    """Write the summary, the report page and both cards."""
    from gecko_hf.fret.build import labels_of
    from gecko_hf.hub.cards import write_cards
    from gecko_hf.hub.report import write_report
    from gecko_hf.hub.row_facts import browser_row, row_facts
    from gecko_hf.hub.summary import loss_curves, summarise

    summary = summarise(run.recipe, run.paths, yardstick_name(run.recipe))
    write_json(summary, run.paths.report / "summary.json")
    rows = row_facts(map(browser_row, labels_of(run.paths.fret)))
    shown = {row[key] for row in rows.shown for key in ("seed_id", "positive_id", "negative_id")}
    passages = {p.id: {"title": p.title, "text": p.text} for p in run.passages if p.id in shown}
    write_report(summary, loss_curves(run.paths), rows, passages, run.paths.report)
    write_cards(summary, run.paths)
    return {"rows": rows.total}


def fret_report(recipe: Recipe, paths: Paths) -> None:
    """Write the summary and the card of a FRet that was built alone; a whole run writes over both."""
    from gecko_hf.hub.cards import write_fret_card
    from gecko_hf.hub.summary import summarise

    summary = summarise(recipe, paths, yardstick_name(recipe))
    write_json(summary, paths.report / "summary.json")
    write_fret_card(summary, paths)
