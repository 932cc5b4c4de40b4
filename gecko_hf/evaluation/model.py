"""The model that is measured: opened from a Hub id at one commit, a folder or a package, with the name its results carry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gecko_hf.errors import EvaluationError
from gecko_hf.hub_id import may_be_hub_id
from gecko_hf.model.encoder import PACKAGE, base_name, fingerprint, hub_commit, learned_positions, resolve_base
from gecko_hf.prompts import model_prompts, paper_prompts
from gecko_hf.recipe import RECIPE_FILE
from gecko_hf.source import UNREACHED

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class OpenModel:
    """A loaded model.

    Attributes:
        model: The encoder, at its full width.
        name: `organisation/name` as mteb files its results; `local/NAME` for what is not on the Hub.
        revision: The Hub commit, or a hash of the weights for what is not on the Hub.
        dtype: Of the weights.
        precision: What it computes in, `float32` for what the weights say or `bfloat16`.
    """

    model: SentenceTransformer
    name: str
    revision: str
    dtype: str
    precision: str = "float32"

    @property
    def on_hub(self) -> bool:
        """Whether the results can be filed under a Hub id and a commit."""
        return not self.name.startswith("local/")

    @property
    def width(self) -> int:
        """Columns of a full vector."""
        return self.model.get_embedding_dimension() or 0


def open_model(
    source: str,
    *,
    revision: str | None = None,
    dtype: str = "float32",
    device: str | None = None,
    max_length: int | None = None,
) -> OpenModel:
    """Load a model and find out which one exactly it is.

    Args:
        source: Folder, Hub id, or `package:NAME` for weights in a Python package.
        revision: Branch, tag or commit of a Hub id.
        dtype: One of `DTYPES`.
        device: As torch names it; the library's choice by default.
        max_length: Tokens that are read of a text, prompt included; the model's own by default.

    Raises:
        EvaluationError: If nothing loads from there, the dtype is none of `DTYPES`, the device cannot be used, or the model has
            not so many positions.
        MissingExtraError: If the package of `package:NAME` is missing.
    """
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer

    if dtype not in DTYPES:
        raise EvaluationError(f"--dtype is {dtype!r}, which is none of {', '.join(DTYPES)}. Give one of these.")
    if device:
        require_device(device)
    local = source.startswith(PACKAGE) or Path(source).is_dir()
    if (Path(source) / RECIPE_FILE).is_file() and (Path(source) / "model").is_dir():
        raise EvaluationError(f"{source} is the folder of a run. Its model is {Path(source) / 'model'}")
    if not local and not may_be_hub_id(source):
        raise EvaluationError(
            f"There is no folder {source}, and it is no Hub id. Give a folder, a Hub id such as "
            "sentence-transformers/all-MiniLM-L6-v2, or package:NAME."
        )
    if revision and local:
        raise EvaluationError(f"{source} is no Hub id, so it has no revision {revision}. Leave --revision out.")
    try:
        commit = None if local else hub_commit(source, revision)
        model = SentenceTransformer(
            resolve_base(source), revision=commit, device=device, model_kwargs={"dtype": dtype}
        ).eval()
    except (*UNREACHED, SafetensorError) as error:  # the last of a file of weights that was cut off
        raise EvaluationError(
            f"No sentence-transformers model loads from {source!r}: {error} "
            "Give a folder, a Hub id such as sentence-transformers/all-MiniLM-L6-v2, or package:NAME."
        ) from error
    if max_length:
        _require_positions(model, max_length, source)
        model.max_seq_length = max_length
    return OpenModel(model, source if commit else local_name(source), commit or fingerprint(model)[:12], dtype)


def require_device(device: str) -> None:
    """Refuse a device that torch does not know or this machine does not have.

    Raises:
        EvaluationError: With torch's reason.
    """
    from gecko_hf.model.device import open_device

    try:
        open_device(device)
    except ValueError as error:
        raise EvaluationError(f"--device {device} cannot be used: {error} Name another, for example cpu.") from error


def _require_positions(model: SentenceTransformer, length: int, source: str) -> None:
    """Refuse a length that the model has no learned positions for."""
    positions = learned_positions(model)
    if positions and length > positions:
        raise EvaluationError(f"--max-length is {length}, and {source} has {positions} positions. Give fewer.")


def local_name(source: str) -> str:
    """The name of a model that is not on the Hub, as mteb files it; the model of a run folder is called like the run."""
    path = Path(source)
    inside_run = path.name == "model" and not source.startswith(PACKAGE)
    name = path.resolve().parent.name if inside_run else base_name(source)
    return (
        f"local/{name.replace(' ', '_')}"  # mteb puts a _ for a space in its folders, from which the name is read back
    )


def is_gecko(model: SentenceTransformer) -> bool:
    """Whether a model carries this package's prompt table."""
    ours = model_prompts()
    return all(model.prompts.get(name) == ours[name] for name in ("query", "document", "Retrieval-query"))


def use_paper_prompts(model: SentenceTransformer) -> bool:
    """Give a Gecko model the task names of the paper's Table 9; another model keeps its own prompts.

    A type that its recipe reads under another name (`encoder.tasks`) keeps that one: the model was trained with it.

    Returns:
        Whether the model is one.
    """
    gecko = is_gecko(model)
    if gecko:
        model.prompts = {**model.prompts, **paper_prompts()}
    return gecko
