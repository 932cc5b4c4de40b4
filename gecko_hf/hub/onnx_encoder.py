"""A saved model read without torch: its transformer in ONNX Runtime, its tokenizer from `tokenizer.json`, the rest in numpy.

This is what whoever loads the ONNX files elsewhere does, and so what an export is checked with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gecko_hf.errors import ExportError, require
from gecko_hf.model.vectors import BATCH, Vectors

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SAVED = ("modules.json", "sentence_bert_config.json", "tokenizer_config.json")
Step = Callable[[Vectors], Vectors]
OUTPUT = "last_hidden_state"  # text-embeddings-inference, transformers.js and optimum all look for this name
ACTIVATIONS: dict[str, Step] = {"Identity": lambda x: x, "Tanh": np.tanh}


class OnnxEncoder:
    """Vectors of a saved sentence-transformers model from one of its ONNX files.

    Args:
        folder: The saved model.
        file: The ONNX file of its transformer.

    Raises:
        MissingExtraError: If onnxruntime is not installed.
        ExportError: If a module of the model is not one that is computed here.
    """

    def __init__(self, folder: Path, file: Path) -> None:
        runtime = require("onnxruntime", "onnx")
        self.file = file
        self.tokenizer = open_tokenizer(folder)
        self.session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        self.inputs = [entry.name for entry in self.session.get_inputs()]
        modules = [(m["type"].rsplit(".", 1)[-1], folder / m["path"]) for m in _read(folder / "modules.json")]
        if [kind for kind, _ in modules[:2]] != ["Transformer", "Pooling"]:
            raise ExportError(f"{folder} does not begin with Transformer and Pooling, so it cannot be read from ONNX.")
        self.pooling = _pooling(modules[1][1])
        self.steps = [_step(kind, path) for kind, path in modules[2:]]

    def encode(self, texts: Sequence[str], prompt: str = "", batch_size: int = BATCH) -> Vectors:
        """Vectors of `prompt + text`, in the order of the texts: shape (n, width)."""
        batches = (texts[i : i + batch_size] for i in range(0, len(texts), batch_size))
        return np.concatenate([self._embed([prompt + text for text in batch]) for batch in batches])

    def _embed(self, texts: list[str]) -> Vectors:
        read = self.tokenizer.encode_batch(texts)
        columns = {
            "input_ids": [encoding.ids for encoding in read],
            "attention_mask": [encoding.attention_mask for encoding in read],
            "token_type_ids": [encoding.type_ids for encoding in read],
        }
        feeds = {name: np.array(columns[name], dtype=np.int64) for name in self.inputs}
        (tokens,) = self.session.run([OUTPUT], feeds)
        vectors = self.pooling(tokens, feeds["attention_mask"][..., None])
        for step in self.steps:
            vectors = step(vectors)
        return np.asarray(vectors, dtype=np.float32)


def check_saved(folder: Path) -> None:
    """Refuse a folder whose ONNX files nobody could read: a bare checkpoint of transformers has no modules.

    Raises:
        ExportError: Naming what is missing.
    """
    missing = [name for name in SAVED if not (folder / name).exists()]
    if missing:
        raise ExportError(
            f"{folder} is no whole sentence-transformers model: it has no {', '.join(missing)}. Let one be written into a new "
            "folder: --output FOLDER"
        )
    open_tokenizer(folder)


def open_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a saved model, cutting and padding as sentence-transformers does.

    Raises:
        ExportError: If the model has no `tokenizer.json`, or that no token to pad with.
    """
    from tokenizers import Tokenizer

    file = folder / "tokenizer.json"
    if not file.exists():
        raise ExportError(f"{folder} has no tokenizer.json, without which its ONNX files are of no use elsewhere.")
    tokenizer = Tokenizer.from_file(str(file))
    settings = _read(folder / "tokenizer_config.json")
    longest = _read(folder / "sentence_bert_config.json").get("max_seq_length") or settings["model_max_length"]
    pad_id, pad_token = padding(folder)
    tokenizer.enable_truncation(max_length=longest)
    tokenizer.enable_padding(direction=settings.get("padding_side", "right"), pad_id=pad_id, pad_token=pad_token)
    return tokenizer


def padding(folder: Path) -> tuple[int, str]:
    """The id and the text of the token that a saved model's tokenizer pads with.

    Raises:
        ExportError: If it has none, or `tokenizer.json` does not know it.
    """
    from tokenizers import Tokenizer

    token = _read(folder / "tokenizer_config.json").get("pad_token")
    if token is None:
        raise ExportError(f"{folder / 'tokenizer_config.json'} names no pad_token, so texts cannot be read in batches.")
    text = str(token["content"] if isinstance(token, Mapping) else token)
    number = Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id(text)
    if number is None:
        raise ExportError(f"{folder / 'tokenizer.json'} has no token {text!r}, which tokenizer_config.json pads with.")
    return number, text


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _pooling(folder: Path) -> Callable[[Vectors, Any], Vectors]:
    config = _read(folder / "config.json")
    modes = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}  # as written until 5.3
    mode = config.get("pooling_mode") or "+".join(new for new, old in modes.items() if config.get(old))
    if mode == "mean":
        return lambda tokens, mask: (tokens * mask).sum(axis=1) / mask.sum(axis=1)
    if mode == "cls":
        return lambda tokens, mask: tokens[:, 0]
    raise ExportError(f"{folder} pools by {mode or 'another mode'}; mean and cls can be checked against torch.")


def _step(kind: str, folder: Path) -> Step:
    """A module behind the pooling, as a function of vectors of shape (n, width)."""
    if kind == "Normalize":
        return lambda x: x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    if kind == "Dense":
        from safetensors.numpy import load_file

        activation = _read(folder / "config.json")["activation_function"].rsplit(".", 1)[-1]
        weights = load_file(folder / "model.safetensors")
        if activation in ACTIVATIONS and not any(name.startswith("residual") for name in weights):
            weight, bias = weights["linear.weight"], weights.get("linear.bias", 0)
            return lambda x: ACTIVATIONS[activation](x @ weight.T + bias)
    raise ExportError(f"{folder} is a {kind} module of a kind that cannot be checked against torch.")
