"""The entry point: gathers the commands and turns a user's mistake into one message."""

from __future__ import annotations

import errno
from typing import NoReturn

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
# What the machine refuses and a person can change; any other failure to read or write is ours, and shows where.
REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENOSPC}


def main() -> None:
    """Entry point: a user's mistake is one message and exit code 2; Ctrl-C is 130."""
    try:
        app(standalone_mode=True)
    except GeckoError as error:
        _refuse(str(error))
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        where = f"{error.filename}: " if error.filename else ""
        _refuse(f"{where}{error.strerror}. Name a place that this user may read and write, with space left.")
    except SystemExit as stop:  # typer turns Ctrl-C into this exit code
        if stop.code == INTERRUPTED:
            errors.print("Stopped. Nothing that was finished is lost; the same command goes on from there.")
        raise


def _refuse(message: str) -> NoReturn:
    from rich.markup import escape

    errors.print(f"[bold red]Error:[/bold red] {escape(message)}", highlight=False, soft_wrap=True)
    raise SystemExit(2) from None
