"""Search a run's corpus with the untouched base and with the finished model, side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from gecko_hf.corpus.passages import Passage
from gecko_hf.corpus.store import read_corpus
from gecko_hf.errors import GeckoError
from gecko_hf.model.encoder import base_name, load_encoder
from gecko_hf.model.vectors import cut, top_neighbours
from gecko_hf.progress import View
from gecko_hf.prompts import own_prompts
from gecko_hf.recipe import RECIPE_FILE, load_run_recipe
from gecko_hf.run_folder import Paths
from gecko_hf.stages.run import Run
from gecko_hf.text import lead

SNIPPET = 110  # characters of a passage


def search_table(folder: Path, query: str, top: int, dim: int | None) -> Table:
    """The best passages for a query, one column a model.

    Args:
        folder: A finished run folder.
        query: What to look for.
        top: Rows.
        dim: Matryoshka width for both models; None for the widest of the recipe.

    Raises:
        GeckoError: If the folder is no finished run, the query is empty, or the width is not one of the encoder's.
    """
    if not query.strip():
        raise GeckoError("The query is empty. Write what to look for in quotes.")
    if not (folder / RECIPE_FILE).is_file() or not (folder / "model").is_dir():
        raise GeckoError(f"{folder} is no finished run: it has no model. Make one: gecko-hf run recipes/quickstart")
    recipe, paths = load_run_recipe(folder), Paths(folder)
    width = dim or max(recipe.encoder.dims)
    if width > max(recipe.encoder.dims):
        raise GeckoError(f"--dim is {width}; this model has {max(recipe.encoder.dims)} dimensions.")
    passages = read_corpus(paths.corpus)
    title = escape(f"{query!r} at {width} dimensions, {len(passages):,} passages")
    table = Table(title=title, title_justify="left")
    table.add_column("", justify="right")
    columns = []
    run = Run(recipe, paths, View(Console(quiet=True)))
    for label, model in (
        (f"{base_name(recipe.encoder.base)} (untouched)", run.base()),
        ("Gecko", load_encoder(str(paths.model), recipe.encoder.max_seq_length)),
    ):
        store, prompts = run.store(model), own_prompts(model)
        vectors = cut(store.encode(passages.texts, prompts["document"]), width)
        asked = cut(store.compute([query], prompts["query"]), width)
        found, scores = top_neighbours(asked, vectors, top)
        columns.append([_cell(passages[i], float(s)) for i, s in zip(found[0], np.asarray(scores[0]), strict=True)])
        table.add_column(label, ratio=1)
    for rank, cells in enumerate(zip(*columns, strict=True), 1):
        table.add_row(str(rank), *cells)
    return table


def _cell(passage: Passage, score: float) -> Text:
    say = lead(passage.text) or " ".join(passage.text.split())
    snippet = say if len(say) <= SNIPPET else say[: SNIPPET - 1].rsplit(" ", 1)[0] + " …"
    return Text.assemble((passage.title or passage.id, "bold"), (f"  {score:.2f}\n", "dim"), snippet)
