"""Every error that a user can cause, as one tree.

    GeckoError                 says what was seen, what was expected, and what to do
    ├── RecipeError            a recipe key or value is wrong
    ├── InputError             a text, task or prompt that a model was given cannot be encoded
    ├── CorpusError            the text to learn from is missing, empty or too small
    ├── MissingExtraError      an optional package is not installed; carries its pip command
    ├── OutputError            the output folder cannot be written or belongs to another recipe
    ├── HubError               the Hub refuses, cannot be reached, or holds something else
    ├── ExportError            a model cannot be written as ONNX, or gives other vectors there
    ├── ExecutorError          a step of FRet has ended on its executor without all its parts
    ├── ReplyError             an LLM's reply could not be understood
    ├── EvaluationError        a model, a task or a result cannot be measured, read or compared
    ├── SubmissionError        results are not what the leaderboard takes
    └── LLMError               a language model cannot do, or does wrongly, what was asked of it
        ├── BudgetError        a run has used what it was allowed; what was answered is kept
        ├── BoundaryError      a span of a text does not begin and end on token boundaries
        └── EndpointError      endpoints stopped answering; what was answered is kept

The command line prints the message of a `GeckoError` and exits with 2; anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType


class GeckoError(Exception):
    """Base of all errors that say what a user can do about them."""


class RecipeError(GeckoError):
    """A recipe has an unknown key, a value of the wrong type, or a value out of range."""


class InputError(GeckoError):
    """A text, task or prompt that a model was given cannot be encoded."""


class CorpusError(GeckoError):
    """The corpus is missing, empty, malformed, or too small for the recipe."""


class OutputError(GeckoError):
    """The output folder cannot be written, is full, or belongs to another recipe."""


class HubError(GeckoError):
    """The Hub refuses, cannot be reached, or holds something else under the name."""


class ExportError(GeckoError):
    """A model cannot be written in another format, or gives other vectors in it."""


class ExecutorError(GeckoError):
    """An executor has ended and parts of its step are missing; what is there is kept."""


class ReplyError(GeckoError):
    """An LLM's reply does not have the fields that were asked for."""


class EvaluationError(GeckoError):
    """A model does not load, a task or its data cannot be read, or results are missing or do not fit together."""


class SubmissionError(GeckoError):
    """Results are not what the MTEB leaderboard or the Hub takes; every finding is named."""


class LLMError(GeckoError):
    """A language model cannot do what is asked of it, or does it wrongly."""


class BudgetError(LLMError):
    """A run has used the requests, the money or the time that its recipe allows; what was answered is kept."""


class BoundaryError(LLMError):
    """A span of a text does not begin and end on token boundaries, so it has no log-likelihood of its own."""


class EndpointError(LLMError):
    """Endpoints do not answer any more, or never answer one request; what was answered is kept."""


class MissingExtraError(GeckoError):
    """A package that only some recipes need is not installed."""


def require(module: str, extra: str) -> ModuleType:
    """Import an optional package, or say which extra brings it.

    Args:
        module: Import name of the package.
        extra: Name of the extra of gecko_hf that installs it.

    Raises:
        MissingExtraError: If the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # A package that is there but broken inside is not a missing extra.
        if error.name != module.split(".")[0]:
            raise
        raise MissingExtraError(
            f"This needs the package {module!r}, which is not installed. Run: {sys.executable} -m pip install 'gecko-hf[{extra}]'"
        ) from error
