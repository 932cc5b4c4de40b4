"""The encoder: loaded for training with float32 master weights, saved so that it loads plainly anywhere.

A base is a local folder, a Hub id, or `package:NAME` for weights that a Python package carries (`NAME.get_model_path()`).
What is saved is made of sentence-transformers' own modules plus `prompts`, so `SentenceTransformer(path)` needs neither this
package nor `trust_remote_code`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from gecko_hf.errors import RecipeError, require
from gecko_hf.prompts import model_prompts

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PACKAGE = "package:"


def base_name(base: str) -> str:
    """A short name of a base for tables: the last part of its path, id or package."""
    return base.removeprefix(PACKAGE).rstrip("/").split("/")[-1].removeprefix("gt_").replace("_", "-")


def resolve_base(base: str) -> str:
    """What to hand to `SentenceTransformer` for a base.

    Raises:
        MissingExtraError: If `package:NAME` names a package that is not installed.
    """
    if base.startswith(PACKAGE):
        return str(require(base.removeprefix(PACKAGE), "quickstart").get_model_path())
    return base


def load_encoder(base: str, max_seq_length: int) -> SentenceTransformer:
    """Load an encoder with float32 weights, whatever dtype its checkpoint has.

    Training in a checkpoint's bfloat16 would lose small updates; lower precision comes by autocast instead.

    Args:
        base: Folder, Hub id, or `package:NAME`.
        max_seq_length: Tokens that are read of a text, prompt included.

    Raises:
        RecipeError: If nothing loads under that name.
        MissingExtraError: If the package of a `package:` base is missing.
    """
    from sentence_transformers import SentenceTransformer

    try:
        model = SentenceTransformer(resolve_base(base), model_kwargs={"dtype": "float32"})
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"encoder.base is {base!r}, and no sentence-transformers model loads from there: {error} "
            "Give a folder, a Hub id such as sentence-transformers/all-MiniLM-L6-v2, or package:NAME."
        ) from error
    model.max_seq_length = max_seq_length
    return model


def check_dims(model: SentenceTransformer, dims: list[int]) -> None:
    """Refuse Matryoshka widths that the encoder does not have.

    Raises:
        RecipeError: If a width is larger than the encoder's.
    """
    width = model.get_embedding_dimension() or 0
    if max(dims) > width:
        raise RecipeError(f"encoder.dims asks for {max(dims)}, but the encoder has {width}. Name widths up to {width}.")


def save_encoder(model: SentenceTransformer, folder: Path) -> None:
    """Save stock modules with the prompt table; sentence-transformers does not write training prompts by itself."""
    model.prompts = dict(model_prompts())
    model.default_prompt_name = None
    model.save_pretrained(str(folder), create_model_card=False)


def fingerprint(model: SentenceTransformer) -> str:
    """A hash of the weights, sequence length and tokenizer: equal fingerprints give equal vectors."""
    digest = hashlib.sha256(str(model.max_seq_length).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
