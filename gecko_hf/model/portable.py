"""Saved models that old and other readers open.

sentence-transformers 6 saves under new class paths and with new configuration keys, and reads the old ones as well. Earlier
versions read the old ones alone, and so does text-embeddings-inference (router/src/lib.rs), which refuses a
`sentence_bert_config.json` without `max_seq_length` and a pooling configuration without a flag for each kind. So what can be
said in the old form is saved in it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gecko_hf.run_folder import write_json

OLD_PACKAGE = "sentence_transformers.models"
POOLING_FLAGS = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
TRANSFORMER = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
}
DENSE_SIDES = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}


def make_portable(folder: Path, max_seq_length: int | None) -> None:
    """Rewrite a saved model's configuration in the form that earlier versions read too. Weights and vectors stay as they are.

    A module whose configuration says what the old form cannot stays as it is.

    Args:
        folder: Where sentence-transformers saved the model.
        max_seq_length: Tokens of a text that the model reads; None where nothing limits it.
    """
    listed = folder / "modules.json"
    modules = _read(listed)
    for module in modules:
        package, _, kind = module["type"].rpartition(".")
        if not package.startswith("sentence_transformers."):
            continue
        module["type"] = f"{OLD_PACKAGE}.{kind}"
        if kind == "Transformer":
            _transformer(folder / module["path"] / "sentence_bert_config.json", max_seq_length)
        elif kind == "Pooling":
            _pooling(folder / module["path"] / "config.json")
        elif kind == "Dense":
            _dense(folder / module["path"] / "config.json")
    write_json(modules, listed)


def _transformer(file: Path, max_seq_length: int | None) -> None:
    if max_seq_length and _read(file) == TRANSFORMER:
        write_json({"max_seq_length": max_seq_length, "do_lower_case": False}, file)


def _pooling(file: Path) -> None:
    config = _read(file)
    mode = config.get("pooling_mode")
    if isinstance(mode, str) and mode in POOLING_FLAGS:
        flags = {flag: name == mode for name, flag in POOLING_FLAGS.items()}
        width, prompt = config["embedding_dimension"], config["include_prompt"]
        write_json({"word_embedding_dimension": width, **flags, "include_prompt": prompt}, file)


def _dense(file: Path) -> None:
    config = _read(file)
    if all(config.get(key, value) == value for key, value in DENSE_SIDES.items()):
        write_json({key: value for key, value in config.items() if key not in DENSE_SIDES}, file)


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))
