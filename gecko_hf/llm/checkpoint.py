"""Where a causal language model lies: a folder, a Hub id, a GGUF file, or a GGUF file that a Python package carries.

transformers reads a GGUF file's tokenizer, and its weights as numbers of full width: a file of four bits takes the memory and the
time of any other checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gecko_hf.errors import LLMError, require
from gecko_hf.home import expanded
from gecko_hf.model.encoder import PACKAGE

GGUF = ".gguf"


@dataclass(frozen=True)
class Checkpoint:
    """A model as transformers takes it.

    Attributes:
        place: A folder or a Hub id.
        gguf: The file in it, where it is no checkpoint of transformers.
    """

    place: str
    gguf: str | None = None

    @property
    def path(self) -> Path:
        """The folder or the file; there is none on this machine for a Hub id."""
        return Path(self.place, self.gguf or "")

    def options(self, revision: str | None) -> dict[str, Any]:
        """Arguments of every `from_pretrained` behind the place.

        Raises:
            MissingExtraError: If this is a GGUF file, and the package that reads it is not installed.
        """
        if self.gguf is None:
            return {"revision": revision}
        require("gguf", "gguf")
        return {"revision": revision, "gguf_file": self.gguf}


def find_checkpoint(model: str) -> Checkpoint:
    """What a name of a model stands for.

    Args:
        model: A folder, a Hub id, a file `NAME.gguf` here or in a Hub repository (`ORG/REPOSITORY/NAME.gguf`), or `package:NAME`
            for an installed package with one such file.

    Raises:
        LLMError: If there is no such file or package, or the package has no single GGUF file.
    """
    if model.startswith(PACKAGE):
        file = _in_package(model)
        return Checkpoint(file.parent.as_posix(), file.name)
    path = expanded(model)
    if not model.endswith(GGUF) or path.is_dir():
        return Checkpoint(str(path) if path.exists() else model)
    organisation, _, rest = model.partition("/")
    repository, _, inside = rest.partition("/")
    if organisation not in ("", ".", "..", "~") and inside and not path.is_file():
        return Checkpoint(f"{organisation}/{repository}", inside)
    if not path.is_file():
        raise LLMError(
            f"There is no file {model}. Name a GGUF file that is there, or one of the Hub: llm.model=ORG/REPOSITORY/NAME{GGUF}"
        )
    return Checkpoint(path.parent.as_posix(), path.name)


def files_state(model: str) -> list[Any]:
    """What changes when the files of a model do; nothing of one that is not on this machine."""
    from gecko_hf.source import model_state

    try:
        return model_state(str(find_checkpoint(model).path))
    except LLMError:  # who loads the model refuses it
        return []


def _in_package(model: str) -> Path:
    name = model.removeprefix(PACKAGE)
    # Not imported: the package may need others that nobody asks for here.
    spec = find_spec(name) if name.isidentifier() else None
    if spec is None:
        raise LLMError(f"No package of the name in {model!r} is installed. Install it, or name a folder or a Hub id.")
    files = sorted(f for folder in spec.submodule_search_locations or () for f in Path(folder).glob(f"*{GGUF}"))
    if len(files) != 1:
        found = ", ".join(f.name for f in files) or "none"
        raise LLMError(f"{model} must carry one GGUF file; found {found}. Name a file: llm.model=PATH/NAME{GGUF}")
    return files[0]
