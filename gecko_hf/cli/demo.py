"""`gecko-hf demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gecko_hf.cli.app import app, quiet_libraries, say


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run folder, for example runs/quickstart.")],
    host: Annotated[str, typer.Option(help="Address to serve at; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 7860,
) -> None:
    """Serve a page: search with the untouched base and with Gecko side by side, and FRet's rows."""
    quiet_libraries()
    from gecko_hf.errors import HubError, require

    require("gradio", "demo")
    from gecko_hf.hub.demo import local_demo
    from gecko_hf.hub.push import open_finished
    from gecko_hf.space.app import CSS, page

    made = page(local_demo(open_finished(folder), say))
    say(f"http://{host}:{port}   (Ctrl-C ends it)")
    try:
        made.launch(server_name=host, server_port=port, quiet=True, css=CSS)
    except OSError as error:
        if error.errno is not None:
            raise
        raise HubError(
            f"Nothing can be served at {host}:{port}, which may be taken. Name another: --port PORT"
        ) from error
