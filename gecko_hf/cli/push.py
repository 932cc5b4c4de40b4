"""`gecko-hf push fret`, `gecko-hf push model` and `gecko-hf push space`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gecko_hf.cli.app import app, quiet_libraries, say

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from gecko_hf.hub.publish import Kind, Target

push_app = typer.Typer(help="Push the parts of a finished run to the Hub.", no_args_is_help=True)
app.add_typer(push_app, name="push")

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A finished run folder, for example runs/quickstart.")]
Repo = Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository on the Hub; made if it is not there.")]
Private = Annotated[
    bool | None, typer.Option("--private/--public", help="Who may see it. A new repository is private by default.")
]
Tag = Annotated[str | None, typer.Option(help="A tag for the commit, for example v1.")]
Force = Annotated[
    bool, typer.Option("--force", help="Replace another recipe's artefact, files of other origin, or an edited card.")
]

Licence = Annotated[
    str | None, typer.Option("--license", help="The Hub's name of the licence that the card declares: apache-2.0")
]


@push_app.command()
def fret(
    run: Run,
    repo: Repo,
    private: Private = None,
    tag: Tag = None,
    licence: Licence = None,
    force: Force = False,
) -> None:
    """Push the FRet data set: three configs, card, provenance. What is there already is not sent again."""
    api, target = _open("dataset", repo, private, tag, force)
    from gecko_hf.hub.push import open_fret, push_fret

    pushed = push_fret(open_fret(run), api, target, say, licence)
    say(f'load_dataset("{pushed.id}", revision="{tag or pushed.commit}")')


@push_app.command()
def model(
    run: Run,
    repo: Repo,
    private: Private = None,
    tag: Tag = None,
    licence: Licence = None,
    force: Force = False,
) -> None:
    """Push the model with card and provenance. Push the data set first: the card then names its commit."""
    api, target = _open("model", repo, private, tag, force)
    from gecko_hf.hub.push import open_finished, push_model

    pushed = push_model(open_finished(run), api, target, say, licence)
    say(f'SentenceTransformer("{pushed.id}", revision="{tag or pushed.commit}")')


@push_app.command()
def space(run: Run, repo: Repo, private: Private = None, force: Force = False) -> None:
    """Push the demo as a Space that loads the pushed model and data set. Push those first."""
    api, target = _open("space", repo, private, None, force)
    from gecko_hf.errors import require
    from gecko_hf.hub.demo import push_space
    from gecko_hf.hub.push import open_finished

    require("gradio", "demo")
    pushed = push_space(open_finished(run), api, target, say)
    say(f"{api.endpoint}/spaces/{pushed.id}")


def _open(kind: Kind, repo: str, private: bool | None, tag: str | None, force: bool) -> tuple[HfApi, Target]:
    """Ask the Hub whether this token may write, before anything heavy is imported or read."""
    quiet_libraries()
    # Xet storage is served by the public Hub only; the client would not fall back to plain uploads elsewhere.
    if not os.environ.get("HF_ENDPOINT", "https://huggingface.co").startswith("https://huggingface.co"):
        os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
    from gecko_hf.hub.client import writer
    from gecko_hf.hub.publish import Target

    return writer(repo), Target(kind, repo, private, tag, force)
