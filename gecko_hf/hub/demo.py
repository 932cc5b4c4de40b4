"""The demo of a finished run: the page in `gecko_hf/space`, served here from the run folder or published as a Space."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gecko_hf.errors import HubError
from gecko_hf.hub.cards import render
from gecko_hf.hub.client import plain_errors
from gecko_hf.hub.facts import prompt_format
from gecko_hf.hub.provenance import Pushed, base_of, content_hash
from gecko_hf.hub.publish import CARD, PROVENANCE, Content, Publisher, Target, git_id
from gecko_hf.hub.push import FinishedRun, Say, publish, pushed_part
from gecko_hf.model.encoder import PACKAGE
from gecko_hf.prompts import MTEB_TASK_TYPES, SEARCH_RESULT, own_prompts

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from sentence_transformers import SentenceTransformer

    from gecko_hf.space.app import Demo

SPACE = Path(__file__).parents[1] / "space"
EXAMPLES = 4  # queries to begin with


def space_config(run: FinishedRun, fret: Pushed | None, model: Pushed | None) -> dict[str, Any]:
    """What `space.json` holds: what to load, from the Hub where it was pushed and else from the run folder."""
    from gecko_hf.fret.build import rows_of

    recipe, summary, base = run.summary["recipe"], run.summary, base_of(run.summary)
    if (form := prompt_format(recipe)) != "gecko":
        raise HubError(f"The demo writes Gecko's prompts, and this model was trained with the format {form!r}.")
    return {
        "title": f"Gecko: {summary['name']}",
        "name": "Gecko",
        "model": model.id if model else str(run.paths.model),
        "model_revision": model.commit if model else None,
        "fret": fret.id if fret else str(run.paths.fret),
        "fret_revision": fret.commit if fret else None,
        "base": base["id"],
        "base_revision": base["version"] if base["hub"] else None,
        "base_name": summary["base"]["name"],
        "max_seq_length": recipe["encoder"]["max_seq_length"],
        "dims": summary["dims"],
        "tasks": [SEARCH_RESULT, *sorted({p.task for p in MTEB_TASK_TYPES.values()} - {SEARCH_RESULT})],
        "examples": [row["query"] for row in islice(rows_of(run.paths.fret), EXAMPLES)],
    }


def local_demo(run: FinishedRun, say: Say) -> Demo:
    """The demo of a run folder; passages that the run has embedded are not embedded again."""
    from rich.console import Console

    from gecko_hf.corpus.store import read_corpus
    from gecko_hf.fret.build import rows_of
    from gecko_hf.model.encoder import load_encoder
    from gecko_hf.progress import View
    from gecko_hf.recipe import load_run_recipe
    from gecko_hf.space.app import Demo, Side
    from gecko_hf.stages.run import Run

    config = space_config(run, None, None)
    passages = read_corpus(run.paths.corpus)
    job = Run(load_run_recipe(run.paths.root), run.paths, View(Console(quiet=True)))

    def side(name: str, model: SentenceTransformer, *, prompted: bool) -> Side:
        say(f"Embedding {len(passages):,} passages with {name} ...")
        store, own = job.store(model), own_prompts(model)
        first = "" if prompted else own["query"]
        vectors = store.encode(passages.texts, own["document"])
        return Side(name, vectors, lambda text: store.compute([text], first)[0], prompted)

    sides = (
        side(f"{config['base_name']} (untouched)", job.base(), prompted=False),
        side(config["name"], load_encoder(config["model"], config["max_seq_length"]), prompted=True),
    )
    titles, bodies = [p.title for p in passages], [p.text for p in passages]
    rows = list(rows_of(run.paths.fret))
    return Demo(config["title"], sides, titles, bodies, rows, config["tasks"], config["dims"], config["examples"])


def push_space(run: FinishedRun, api: HfApi, target: Target, say: Say) -> Pushed:
    """Push the demo as a Space that loads the pushed model and data set at their commits.

    Args:
        run: A run whose data set and model were pushed.
        api: A client that may write.
        target: Where to.
        say: Called with lines about what is done.

    Raises:
        HubError: If either was not pushed, has changed since or is gone, the base is a folder of this machine, or the Hub
            refuses.
    """
    from importlib import metadata

    fret, model = pushed_part(run, "fret"), pushed_part(run, "model")
    if fret is None or model is None:
        raise HubError(
            f"A Space loads from the Hub, and the {'model' if fret else 'data set'} of {run.paths.root} was not pushed. "
            f"First: gecko-hf push {'model' if fret else 'fret'} {run.paths.root} OWNER/NAME"
        )
    base = run.summary["base"]["id"]
    if not base_of(run.summary)["hub"] and not base.startswith(PACKAGE):
        raise HubError(
            f"The base is the folder {base} of this machine, which a Space cannot load. Push it and use its id."
        )
    config = space_config(run, fret, model)
    requirements = (SPACE / "requirements.txt").read_text(encoding="utf-8")
    if base.startswith(PACKAGE):
        requirements += base.removeprefix(PACKAGE).replace("_", "-") + "\n"
    values = {"title": config["title"], "model": model.id, "fret": fret.id, "gradio": metadata.version("gradio")}
    made = {
        "app.py": (SPACE / "app.py").read_bytes(),
        "requirements.txt": requirements.encode(),
        "space.json": _dump(config),
    }
    card = render("space/README.md.jinja", values).encode()
    provenance = {
        "kind": "space",
        "recipe": {"name": run.summary["name"], "model": model.id},  # two runs may have one name
        "files": {},
        "card": git_id(card),
        "git_ids": {path: git_id(content) for path, content in made.items()},  # a Space is edited on its page
    }
    files: dict[str, Content] = {**made, PROVENANCE: _dump(provenance), CARD: card}
    loaded = [("model", model.id), ("dataset", fret.id)] + ([] if base.startswith(PACKAGE) else [("model", base)])
    if private := [name for kind, name in loaded if _is_private(api, kind, name)]:
        say(
            f"Private: {', '.join(private)}. The Space loads them when it has a secret HF_TOKEN that may read them (its "
            "Settings, Variables and secrets)."
        )
    return publish(run, "space", Publisher(api, target, files), content_hash(SPACE, "app.py"), say)


def _is_private(api: HfApi, kind: str, repo_id: str) -> bool:
    with plain_errors(repo_id):
        return bool(api.repo_info(repo_id, repo_type=kind).private)


def _dump(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
