"""Search with an embedding model and with the base that it was made from, side by side, and a browser of its FRet rows.

This file needs gradio, sentence-transformers and datasets only, so the same file is the demo of a run folder and a Space.
`space.json` beside it names what to load.
"""

from __future__ import annotations

import html
import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TOP = 8  # passages that a search shows
SHOWN = 320  # characters of a passage
CSS = """
.hit {padding: .6rem 0; border-bottom: 1px solid var(--border-color-primary); overflow-wrap: anywhere}
.hit b {display: block} .hit .meta {opacity: .65; font-size: .85em}
.new {border-left: 3px solid var(--color-accent); padding-left: .6rem}
"""


@dataclass(frozen=True)
class Side:
    """One model: its name, the vectors of all passages, and how it embeds a query under a prefix. Vectors have unit length."""

    name: str
    passages: np.ndarray  # (passages, width)
    embed: Callable[[str], np.ndarray]  # text with its prefix -> (width,)
    prompted: bool  # whether a query is embedded behind the prefix of its task

    def search(self, prefix: str, query: str, dim: int) -> list[tuple[int, float]]:
        """Rows and cosines of the best passages at a width, best first."""
        asked = self.embed(prefix + query if self.prompted else query)[:dim]
        part = self.passages[:, :dim]
        scores = part @ asked / np.maximum(np.linalg.norm(part, axis=1) * np.linalg.norm(asked), 1e-12)
        best = np.argsort(-scores, kind="stable")[:TOP]
        return [(int(i), float(scores[i])) for i in best]


@dataclass(frozen=True)
class Demo:
    """Everything that the page shows.

    Attributes:
        title: What it is called.
        sides: The base and the model.
        titles: Titles of the passages.
        texts: Their texts.
        rows: FRet's rows: task, query, positive_title, positive, negative_title, negative.
        tasks: Task names that may be chosen for a query.
        dims: Widths, largest first.
        examples: Queries to begin with.
    """

    title: str
    sides: tuple[Side, Side]
    titles: list[str]
    texts: list[str]
    rows: list[dict[str, Any]]
    tasks: list[str]
    dims: list[int]
    examples: list[str]

    def search(self, query: str, task: str, dim: int) -> tuple[str, str]:
        """The results of both models as HTML; what only one of them found is marked."""
        if not query.strip():
            return "Write a query.", ""
        found = [side.search(f"task: {task} | query: ", query, int(dim)) for side in self.sides]
        rows = [{i for i, _ in hits} for hits in found]
        return self._hits(found[0], rows[1]), self._hits(found[1], rows[0])

    def _hits(self, hits: list[tuple[int, float]], other: set[int]) -> str:
        lines = []
        for rank, (i, score) in enumerate(hits, 1):
            mark = "" if i in other else " new"
            meta = f"{rank} · cosine {score:.3f}" + ("" if i in other else " · only here")
            title = f"<b>{html.escape(self.titles[i])}</b>" if self.titles[i] else ""
            body = html.escape(shorten(self.texts[i]))
            lines.append(f'<div class="hit{mark}">{title}{body}<div class="meta">{meta}</div></div>')
        return "".join(lines)

    def row(self, number: int) -> str:
        """One FRet row as HTML; numbers outside are the nearest inside."""
        i = min(max(int(number), 1), len(self.rows)) - 1
        row = self.rows[i]
        parts = [("task", row["task"], ""), ("query", row["query"], "")]
        for kind, name in (("positive", "positive"), ("negative", "hard negative")):
            if row[kind] is not None:
                parts.append((name, row[kind], row[f"{kind}_title"] or ""))
        return "".join(
            f'<div class="hit"><div class="meta">{name}</div>{f"<b>{html.escape(title)}</b>" if title else ""}'
            f"{html.escape(text)}</div>"
            for name, text, title in parts
        )


def shorten(text: str) -> str:
    """At most 320 characters, cut at a space."""
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else text[:SHOWN].rsplit(" ", 1)[0] + " …"


def page(demo: Demo) -> Any:
    """The page as a gradio app; narrow screens get its columns one below the other."""
    import gradio as gr

    with gr.Blocks(title=demo.title) as blocks:
        gr.Markdown(f"# {demo.title}\n{len(demo.texts):,} passages. What only one model found has a line at its left.")
        with gr.Tab("Search"):
            query = gr.Textbox(label="Query", value=demo.examples[0], submit_btn=True)
            with gr.Row():
                task = gr.Dropdown(
                    demo.tasks, value=demo.tasks[0], label="Task", allow_custom_value=True, min_width=160
                )
                dim = gr.Radio(demo.dims, value=demo.dims[0], label="Dimensions", min_width=240)
            gr.Examples([[text] for text in demo.examples], [query])
            with gr.Row():
                results = []
                for side in demo.sides:
                    with gr.Column(min_width=320):
                        gr.Markdown(f"### {side.name}")
                        results.append(gr.HTML())
            for event in (query.submit, task.change, dim.change, blocks.load):
                event(demo.search, [query, task, dim], results)
        with gr.Tab("FRet rows"):
            count = len(demo.rows)
            number = gr.Slider(1, max(2, count), value=1, step=1, label=f"Row (of {count:,})")
            shown = gr.HTML()
            number.change(demo.row, number, shown)
            blocks.load(demo.row, number, shown)
    return blocks


def load(config: dict[str, Any]) -> Demo:
    """The demo of what `space.json` names, from the Hub or from folders; embeds the corpus with both models."""
    from datasets import load_dataset

    fret, revision = config["fret"], config["fret_revision"]
    corpus = load_dataset(fret, "corpus", split="train", revision=revision)
    rows = load_dataset(fret, split="train", revision=revision)
    titles, texts = [t or "" for t in corpus["title"]], list(corpus["text"])
    sides = (
        encode_side(
            f"{config['base_name']} (untouched)",
            *(config["base"], config["base_revision"], titles, texts, config),
            prompted=False,
        ),
        encode_side(config["name"], config["model"], config["model_revision"], titles, texts, config, prompted=True),
    )
    return Demo(config["title"], sides, titles, texts, list(rows), config["tasks"], config["dims"], config["examples"])


def encode_side(
    name: str,
    base: str,
    revision: str | None,
    titles: list[str],
    texts: list[str],
    config: dict[str, Any],
    *,
    prompted: bool,
) -> Side:
    """Load one model and embed all passages with it."""
    from sentence_transformers import SentenceTransformer

    if base.startswith("package:"):
        base = str(importlib.import_module(base.removeprefix("package:")).get_model_path())
    model = SentenceTransformer(base, revision=revision)
    model.max_seq_length = config["max_seq_length"]

    def embed(query: str) -> np.ndarray:
        # The prefix of the task is in the text, or the base has one of its own.
        own: dict[str, Any] = {"prompt": ""} if prompted else {}
        return np.asarray(model.encode_query(query, normalize_embeddings=True, **own))

    # As the run's scores were measured: title and text in one string, behind the model's own prefix of documents.
    plain = [f"{title} {text}".strip() for title, text in zip(titles, texts, strict=True)]
    passages = model.encode_document(plain, normalize_embeddings=True, show_progress_bar=True)
    return Side(name, np.asarray(passages), embed, prompted)


def main() -> None:
    """Serve what `space.json` beside this file names."""
    config = json.loads(Path(__file__).with_name("space.json").read_text(encoding="utf-8"))
    page(load(config)).launch(css=CSS)


if __name__ == "__main__":
    main()
