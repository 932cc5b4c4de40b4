"""The two cards of a run, rendered from its summary: what the run did not measure stands in neither."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import yaml

from gecko_hf.fret.build import read_rows
from gecko_hf.hub.tables import gain, markdown_table
from gecko_hf.prompts import model_prompts
from gecko_hf.run_folder import Paths

SHOWN_ROWS = 5
SHOWN_WORDS = 40  # of a passage in a card's example


def write_cards(summary: dict[str, Any], paths: Paths) -> None:
    """Write `README.md` into the model and the FRet folder."""
    examples = read_rows(paths.fret)[:SHOWN_ROWS]
    dims = summary["dims"]
    values = {
        "summary": summary,
        "scores": markdown_table(summary),
        "gains": {dim: gain(summary, dim) for dim in dims},
        "prompts": model_prompts(),
        "examples": examples,
        "recipe": yaml.safe_dump(summary["recipe"], sort_keys=False, allow_unicode=True).strip(),
    }
    for template, folder in (("model_card.md.jinja", paths.model), ("dataset_card.md.jinja", paths.fret)):
        (folder / "README.md").write_text(render(template, values), encoding="utf-8")


def render(template: str, values: dict[str, Any]) -> str:
    """Render a card template of this package; a name that is missing from the values is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["cell"] = table_cell
    return environment.get_template(template).render(values)


def table_cell(text: str | None) -> str:
    """Text for a Markdown table: one line, at most 40 words, no cell borders or tags."""
    if text is None:
        return ""
    words = text.split()
    short = " ".join(words[:SHOWN_WORDS]) + (" …" if len(words) > SHOWN_WORDS else "")
    return short.replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
