"""The two cards of a run, rendered from its summary: what the run did not measure stands in neither."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from typing import Any

import jinja2
import yaml

from gecko_hf.fret.build import rows_of
from gecko_hf.hub.data_info import dataset_info
from gecko_hf.hub.facts import (
    energy,
    fret_prompts,
    hub_sources,
    label_columns,
    learns_from_fret,
    learns_from_pairs,
    made_with,
    onnx_files,
    plain_mean_pooling,
    prompts_of,
    quantized,
    text_lengths,
    width,
)
from gecko_hf.hub.onnx_encoder import padding
from gecko_hf.hub.provenance import Pushed, base_of, published, retriever_of
from gecko_hf.hub.tables import COLUMNS, gain, markdown_table
from gecko_hf.hub.task_scores import task_markdown
from gecko_hf.model.encoder import PACKAGED
from gecko_hf.run_folder import Paths

TEMPLATES = Path(__file__).parents[1]
CITATION = (TEMPLATES / "model_cards" / "citation.md").read_text(encoding="utf-8")
SHOWN_ROWS = 5
SHOWN_WORDS = 40  # of a passage in a card's example
# Signs of Markdown and HTML; the colon of an address, which becomes a link with every backslash that is behind it.
MARKUP = re.compile(r"[\\`*_\[\]!<&|~]|:(?=//)")

Summary = dict[str, Any]


def write_cards(summary: Summary, paths: Paths) -> None:
    """Write `README.md` into the model and the FRet folder of a run; they name those folders as what to load."""
    model = model_card(summary, paths, str(paths.model), None)
    (paths.model / "README.md").write_text(model, encoding="utf-8")
    write_fret_card(summary, paths)


def write_fret_card(summary: Summary, paths: Paths) -> None:
    """Write `README.md` into the FRet folder of a run."""
    (paths.fret / "README.md").write_text(fret_card(summary, paths, str(paths.fret)), encoding="utf-8")


def fret_card(summary: Summary, paths: Paths, name: str, licence: str | None = None) -> str:
    """The card of the data set.

    Args:
        summary: The numbers of the run.
        paths: Its folder.
        name: What the loading lines load: a Hub id, or the folder.
        licence: The Hub's identifier of the licence that the publisher declares.
    """
    examples = list(islice(rows_of(paths.fret), SHOWN_ROWS))
    columns = label_columns(paths)
    values = {
        **_common(summary, licence),
        "name": name,
        "examples": examples,
        "label_columns": columns,
        "data_info": dataset_info(paths.fret),
        "size_category": size_category(summary["fret"]["rows"]),
        "lengths": text_lengths(paths),
        "prompts": fret_prompts(summary["recipe"], paths),
        "retriever": retriever_of(summary)["id"],
        "fret_seconds": next(s["seconds"] for s in summary["stages"] if s["name"] == "fret"),
        "made": made_with(summary, "fret"),
    }
    return render("dataset_cards/fret.md.jinja", values)


def model_card(summary: Summary, paths: Paths, name: str, fret: Pushed | None, licence: str | None = None) -> str:
    """The card of the model.

    Args:
        summary: The numbers of the run.
        paths: Its folder.
        name: What the loading lines load: a Hub id, or the folder.
        fret: The data set on the Hub that it learned from, or None where that was not pushed.
        licence: The Hub's identifier of the licence that the publisher declares.
    """
    onnx = onnx_files(paths)
    pads = padding(paths.model) if onnx else None  # read from tokenizer.json, which a tokenizer in Python has not
    base = base_of(summary)
    mixed = dict.fromkeys(source for source, _ in hub_sources(summary["mixtures"]))
    values = {
        **_common(summary, licence),
        "name": name,
        "fret": fret,
        "data_sets": [*([fret.id] if fret else []), *mixed],
        "base_model": base["id"] if base["hub"] else PACKAGED.get(base["id"]),
        "metric": dict(COLUMNS)[summary["main_metric"]],
        "scores": markdown_table(summary),
        "task_scores": task_markdown(summary),
        "gains": {dim: gain(summary, dim) for dim in summary["dims"]},
        "prompts": prompts_of(summary["recipe"]),
        "plain_pooling": plain_mean_pooling(paths.model),
        "cut": given if (given := width(paths.model)) > summary["dims"][0] else None,
        "from_fret": learns_from_fret(summary["recipe"]),
        "pairs": learns_from_pairs(summary["recipe"]),
        "energy": energy(summary),
        "quantized": quantized(paths),
        "onnx": onnx,
        "padding": pads,
        "on_hub": name != str(paths.model),
    }
    return render("model_cards/gecko.md.jinja", values)


def _common(summary: Summary, licence: str | None) -> dict[str, Any]:
    recipe = yaml.safe_dump(published(summary["recipe"]), sort_keys=False, allow_unicode=True).strip()
    languages = summary["recipe"].get("language", [])  # a run of an earlier version has none
    return {"summary": summary, "recipe": recipe, "licence": licence, "languages": languages, "citation": CITATION}


def size_category(rows: int) -> str:
    """The Hub's name for this many rows: `1K<n<10K`."""
    names = ["n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B"]
    return next((name for i, name in enumerate(names) if rows < 10 ** (3 + i)), "n>1T")


def render(template: str, values: dict[str, Any]) -> str:
    """Render a card template of this package; a name that is missing from the values is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["cell"] = table_cell
    return environment.get_template(template).render(values)


def table_cell(text: str | None) -> str:
    """Anybody's text for a Markdown table: one line, at most 40 words, and no sign that a renderer would act on."""
    if text is None:
        return ""
    words = text.split()
    return MARKUP.sub(r"\\\g<0>", " ".join(words[:SHOWN_WORDS]) + (" …" if len(words) > SHOWN_WORDS else ""))
