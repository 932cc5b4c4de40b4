"""Export a model to ONNX and see what the files are worth: no file stays that gives other vectors than torch does."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gecko_hf.errors import ExportError
from gecko_hf.hub.check import TEXTS
from gecko_hf.hub.onnx_encoder import OnnxEncoder, check_saved
from gecko_hf.hub.onnx_export import FOLDER, check_targets, export_float, export_int8
from gecko_hf.model.vectors import Vectors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

ALLOWED = 1e-4  # ours: largest difference of a float32 component from torch
SPEED_TEXTS = [" ".join(TEXTS[1].split()[: 2 * i]) for i in range(64, 0, -1)]  # 128 to 2 words, longest first
SPEED_BATCH = 32
ROUNDS = 3  # of which the fastest counts


@dataclass(frozen=True)
class OnnxFile:
    """What an exported file is worth beside the same model in torch.

    Attributes:
        file: Its path in the model's folder.
        bytes: Its size, with that of `model.onnx_data` where there is one.
        difference: Largest difference of a component of a vector, over all prompts.
        cosine: Mean cosine with torch's vectors.
        least_cosine: The least.
        speed: Texts a second on this machine's processor, as a multiple of torch's.
    """

    file: str
    bytes: int
    difference: float
    cosine: float
    least_cosine: float
    speed: float


def export_onnx(
    model: SentenceTransformer, folder: Path, targets: Sequence[str], say: Callable[[str], None]
) -> list[OnnxFile]:
    """Write `onnx/` into a saved model's folder, in place of one that is there, and compare every file with torch.

    Args:
        model: The model in that folder, on the CPU, with float32 weights.
        folder: The saved model.
        targets: Processors that int8 files are made for.
        say: Told what is being done.

    Returns:
        One entry a file, float32 first.

    Raises:
        ExportError: If the folder holds no whole model, it cannot be exported, or float32 gives other vectors; nothing in the
            folder has changed then.
        MissingExtraError: If the packages for it are not installed.
    """
    check_targets(targets)
    check_saved(folder)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".onnx-") as work:
        made = Path(work) / FOLDER
        say("Exporting with float32 weights ...")
        files = [export_float(model, made)]
        check_difference(model, OnnxEncoder(folder, files[0]))
        for target in targets:
            say(f"Quantizing for {target} ...")
            files.append(export_int8(files[0], target))
        say("Comparing with torch ...")
        seconds = _seconds(
            lambda: model.encode(SPEED_TEXTS, batch_size=SPEED_BATCH, prompt="", show_progress_bar=False)
        )
        found = [_look(model, OnnxEncoder(folder, file), seconds) for file in files]
        shutil.rmtree(folder / FOLDER, ignore_errors=True)
        made.rename(folder / FOLDER)
    return found


def check_difference(model: SentenceTransformer, encoder: OnnxEncoder) -> None:
    """Refuse an ONNX file whose vectors differ from torch's, with any prompt of the model and with none.

    Args:
        model: The model in torch.
        encoder: The same model with its transformer in the file.

    Raises:
        ExportError: Naming the prompt and the difference.
    """
    for name, prefix in _prompts(model).items():
        most = float(np.abs(_torch(model, prefix) - encoder.encode(TEXTS, prefix)).max())
        if not most <= ALLOWED:  # also where it is no number
            raise ExportError(
                f"With the prompt {name!r} the ONNX file gives other vectors than torch, by up to {most:.1e} "
                f"({ALLOWED:.0e} is allowed). It was removed; this model cannot be exported."
            )


def _look(model: SentenceTransformer, encoder: OnnxEncoder, torch_seconds: float) -> OnnxFile:
    pairs = [(_torch(model, prefix), encoder.encode(TEXTS, prefix)) for prefix in _prompts(model).values()]
    ours, theirs = (np.concatenate(side) for side in zip(*pairs, strict=True))
    cosines = (ours * theirs).sum(axis=1) / (np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1))
    parts = encoder.file.parent.glob(f"{encoder.file.name}*")
    return OnnxFile(
        file=f"{FOLDER}/{encoder.file.name}",
        bytes=sum(part.stat().st_size for part in parts),
        difference=float(np.abs(ours - theirs).max()),
        cosine=float(cosines.mean()),
        least_cosine=float(cosines.min()),
        speed=torch_seconds / _seconds(lambda: encoder.encode(SPEED_TEXTS, batch_size=SPEED_BATCH)),
    )


def _prompts(model: SentenceTransformer) -> dict[str, str]:
    return {"": ""} | {name: prefix or "" for name, prefix in model.prompts.items()}


def _torch(model: SentenceTransformer, prefix: str) -> Vectors:
    texts = [prefix + text for text in TEXTS]
    return np.asarray(model.encode(texts, prompt="", show_progress_bar=False), dtype=np.float32)


def _seconds(work: Callable[[], Any]) -> float:
    """The fastest of some rounds, after one that warms up."""
    work()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
