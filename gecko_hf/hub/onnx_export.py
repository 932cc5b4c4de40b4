"""ONNX files of a model, named and laid out as sentence-transformers, transformers.js and text-embeddings-inference expect.

    onnx/model.onnx               input_ids, attention_mask and what else the tokenizer gives -> last_hidden_state
    onnx/model_quint8_avx2.onnx   the same with weights of 8 bits

Only the transformer is in them; who reads them pools and normalises as `modules.json` says. sentence-transformers exports
through optimum-onnx, which needs an older transformers; this goes through torch's own exporter.
"""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from gecko_hf.errors import ExportError, require
from gecko_hf.hub.onnx_encoder import OUTPUT

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

FOLDER = "onnx"
NAMES = ("input_ids", "attention_mask", "token_type_ids")
ONE_FILE = 1_900_000_000  # bytes of weights; a file of this format ends at 2 GiB, and more goes into `model.onnx_data`
# Kind of processor -> type of its weights: optimum's settings and sentence-transformers' names. Weights with a sign overflow in
# the sums of processors that have AVX2 and no VNNI, so those get the other type.
INT8 = {"avx2": "quint8", "avx512": "qint8", "avx512_vnni": "qint8", "arm64": "qint8"}


class _Tokens(torch.nn.Module):
    """The transformer with one output, and its inputs in the order in which an ONNX file lists them."""

    def __init__(self, transformer: torch.nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        tokens: torch.Tensor = self.transformer(
            input_ids=input_ids, attention_mask=attention_mask, **types
        ).last_hidden_state
        return tokens


def export_float(model: SentenceTransformer, folder: Path) -> Path:
    """Write `model.onnx` with float32 weights; batch and sequence may have any length.

    Args:
        model: What to export; its first module is the transformer.
        folder: Where to put the file; it is made.

    Returns:
        The file.

    Raises:
        MissingExtraError: If onnx or onnxscript is not installed.
        ExportError: If there is no transformer, or torch cannot export it.
    """
    for package in ("onnx", "onnxscript"):
        require(package, "onnx")
    import onnx_ir

    transformer = model.transformers_model
    if transformer is None:
        raise ExportError("The model has no transformer that could be exported to ONNX.")
    example = model.preprocess(["two texts", "of which one is longer than the other"])
    taken = inspect.signature(transformer.forward).parameters
    inputs = {name: example[name].cpu() for name in NAMES if name in example and name in taken}
    sizes = {0: torch.export.Dim("batch_size"), 1: torch.export.Dim("sequence_length")}
    with torch.no_grad(), _quiet():
        try:
            program = torch.onnx.export(
                _Tokens(transformer).eval(),
                kwargs=inputs,
                input_names=list(inputs),
                output_names=[OUTPUT],
                dynamic_shapes=dict.fromkeys(inputs, sizes),
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            cause = str(error.__cause__ or error).strip().splitlines()[0]
            raise ExportError(
                f"torch {torch.__version__} cannot export a {type(transformer).__name__} to ONNX: {cause}"
            ) from error
    assert program is not None  # None only where a file name was given to the exporter
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "model.onnx"
    size = sum(weight.numel() * weight.element_size() for weight in transformer.parameters())
    onnx_ir.save(program.model, file, external_data=f"{file.name}_data" if size > ONE_FILE else None)
    return file


def export_int8(file: Path, target: str) -> Path:
    """Write a copy of an ONNX file whose weights have 8 bits, a scale a channel; activations get theirs while it runs.

    Args:
        file: What `export_float` wrote.
        target: A key of `INT8`: the processors that it is made for.

    Returns:
        The file, beside the first one.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    kind = INT8[target]
    made = file.with_name(f"model_{kind}_{target}.onnx")
    with _quiet():
        quantize_dynamic(
            file,
            made,
            per_channel=True,
            weight_type=QuantType.QUInt8 if kind == "quint8" else QuantType.QInt8,
            extra_options={"WeightSymmetric": True},
        )
    return made


def check_targets(targets: Sequence[str]) -> None:
    """Refuse a processor that no int8 file is made for.

    Raises:
        ExportError: Naming those that there are.
    """
    unknown = [target for target in targets if target not in INT8]
    if unknown:
        raise ExportError(f"There is no int8 file for {unknown[0]!r}. Take one of: {', '.join(INT8)}.")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what torch and onnxruntime say about their own insides while they export."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
