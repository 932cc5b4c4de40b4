"""`gecko-hf export`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gecko_hf.cli.app import app, console, quiet_libraries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gecko_hf.hub.onnx_check import OnnxFile
    from gecko_hf.hub.onnx_score import OnnxScore
    from gecko_hf.hub.push import FinishedRun


@app.command()
def export(
    source: Annotated[
        str, typer.Argument(metavar="MODEL", help="A finished run folder, a model's folder, package:NAME or a Hub id.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(help="A new folder for the model with its ONNX files; a model here gets them in place."),
    ] = None,
    int8: Annotated[
        list[str] | None,
        typer.Option("--int8", help="avx2 (default), avx512, avx512_vnni, arm64 or none. Repeatable."),
    ] = None,
) -> None:
    """Write ONNX files of a model, float32 and int8, each compared with torch; without --output a run's are scored too."""
    quiet_libraries()
    from gecko_hf.errors import require
    from gecko_hf.evaluation.model import open_model
    from gecko_hf.hub.onnx_check import export_onnx
    from gecko_hf.hub.onnx_export import check_targets
    from gecko_hf.hub.push import open_finished
    from gecko_hf.model.portable import make_portable

    targets = [target for target in dict.fromkeys(int8 or ["avx2"]) if target != "none"]
    check_targets(targets)
    for package in ("onnx", "onnxscript", "onnxruntime"):
        require(package, "onnx")
    run = open_finished(Path(source)) if (Path(source) / "recipe.yaml").is_file() else None
    place = str(run.paths.model) if run else source
    _check_output(place, output)
    model = open_model(place, device="cpu").model
    folder = output or Path(place)
    try:
        if output is not None:
            model.save_pretrained(str(output), create_model_card=False)
            make_portable(output, model.max_seq_length)
        files = export_onnx(model, folder, targets, lambda message: console.print(message, highlight=False))
    except BaseException:
        if output is not None:  # it was empty or not there
            shutil.rmtree(output, ignore_errors=True)
        raise
    scores = _score(run, files) if run and output is None else []
    _show(folder, files, scores)


def _check_output(source: str, output: Path | None) -> None:
    """Refuse an output folder with something in it, and a model that is no folder and so needs one."""
    from gecko_hf.errors import ExportError

    if output is None and not Path(source).is_dir():
        raise ExportError(f"{source} is no folder that files can be put into. Say where to: --output FOLDER")
    if output is not None and output.exists() and any(output.iterdir()):
        raise ExportError(f"{output} is not empty. Give a new folder: --output FOLDER")


def _score(run: FinishedRun, files: Sequence[OnnxFile]) -> list[OnnxScore]:
    from gecko_hf.hub.onnx_score import score_onnx
    from gecko_hf.progress import View
    from gecko_hf.recipe import load_run_recipe

    view = View(console)
    yardstick = (run.summary["yardstick"]["name"], run.summary["yardstick"]["description"])
    with view.live(), view.task("embedding") as report:
        return score_onnx(load_run_recipe(run.paths.root), run.paths, yardstick, files, report)


def _show(folder: Path, files: Sequence[OnnxFile], scores: Sequence[OnnxScore]) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    # Narrow enough for a terminal of 80 columns, which would cut numbers otherwise.
    table = Table(title=escape(f"{folder}/onnx beside torch"), title_justify="left", box=box.SIMPLE, pad_edge=False)
    table.add_column("file", no_wrap=True)
    measured = ["nDCG@10", "lost"] if scores else []
    for column in ("MB", "off by", "least cosine", "speed", *measured):
        table.add_column(column, justify="right", no_wrap=True)
    values = [[f"{score.score:.4f}", f"{score.lost:z.1f}"] for score in scores] or [[] for _ in files]
    for file, value in zip(files, values, strict=True):
        seen = (f"{file.difference:.0e}", f"{file.least_cosine:.4f}", f"{file.speed:.2f}")
        table.add_row(Path(file.file).name, f"{file.bytes / 1e6:.1f}", *seen, *value)
    console.print(table)
