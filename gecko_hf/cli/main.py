"""The entry point: gathers the commands and turns a user's mistake into one message."""

from __future__ import annotations

from gecko_hf.cli import (  # noqa: F401  (each registers its command)
    benchmark,
    compare,
    demo,
    doctor,
    evaluate,
    export,
    fret,
    push,
    quantize,
    run,
    search,
    submit,
    trace,
    train,
)
from gecko_hf.cli.app import app, errors
from gecko_hf.errors import GeckoError

INTERRUPTED = 130


def main() -> None:
    """Entry point: a user's mistake is one message and exit code 2; Ctrl-C is 130."""
    try:
        app(standalone_mode=True)
    except GeckoError as error:
        errors.print(f"[bold red]Error:[/bold red] {_escape(error)}", highlight=False, soft_wrap=True)
        raise SystemExit(2) from None
    except SystemExit as stop:  # typer turns Ctrl-C into this exit code
        if stop.code == INTERRUPTED:
            errors.print("Stopped. Nothing that was finished is lost; the same command goes on from there.")
        raise


def _escape(error: GeckoError) -> str:
    from rich.markup import escape

    return escape(str(error))
