"""TaskPrefix: an encoder that takes the task in words, `encode(texts, task="fact checking")`.

A saved model is made of stock modules with a table of prompts, which covers the tasks of mteb. This view of the same weights
takes any task and documents with titles: its input module writes the prefixes of `prompts.py` in front of the texts, so that
the vectors are those of the stock model with the same prefix written by hand, bit for bit. Saving the view saves stock
modules; sentence-transformers would refuse to load any other class without `trust_remote_code`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Transformer

from gecko_hf.errors import InputError
from gecko_hf.prompts import document_prefix, format_document, format_of, format_query, model_prompts

M = TypeVar("M", bound=torch.nn.Module)
QUERY, DOCUMENT = "query", "document"  # what sentence-transformers passes as task from encode_query and encode_document
DOCUMENT_KEYS = {"title", "text"}


class TaskPrefix(Transformer):
    """The stock input module, with the task's prefix in front of every text.

    Made by `with_tasks`, which gives it the state of an existing `Transformer`; the two share weights and tokenizer.
    """

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Tokenize texts with their prefix.

        Args:
            inputs: Strings, or documents as `{"title": ..., "text": ...}`.
            prompt: A literal prefix, as `prompt=` and `prompt_name=` of `encode` give it.
            args: Passed on.
            kwargs: Passed on, but for `task`: a task in words; `query` and `document` are the two sides of a search.

        Raises:
            InputError: If a text is neither, the task is empty or a prompt name, or there are a prompt and a task.
        """
        task = kwargs.pop("task", None)
        texts = [_write(text, i, prompt, task) for i, text in enumerate(inputs)]
        # Roles also choose a stock module's own query and document lengths; free tasks mean nothing to it.
        role = task if task in (QUERY, DOCUMENT) else None
        features: dict[str, Any] = super().preprocess(texts, None, *args, task=role, **kwargs)
        return features


class Gecko(SentenceTransformer):
    """A SentenceTransformer whose `encode` takes a task in words; what `gecko_hf.load` returns."""

    def encode_query(self, inputs: Any, *args: Any, task: str | None = None, **kwargs: Any) -> Any:
        """Embed queries, of a search unless another task is named."""
        if task is None:
            return super().encode_query(inputs, *args, **kwargs)
        return self.encode(inputs, *args, task=task, **kwargs)

    def encode_document(self, inputs: Any, *args: Any, task: str | None = None, **kwargs: Any) -> Any:
        """Embed documents, which are read alike whatever they are searched for.

        Raises:
            InputError: If a task is named.
        """
        if task is not None:
            raise InputError(
                f"Documents are read alike for every task, and task={task!r} is given. Leave it out; the texts of a symmetric "
                f"task, which are all read as queries, take encode(texts, task={task!r})."
            )
        return super().encode_document(inputs, *args, **kwargs)

    def save(self, path: str, *args: Any, **kwargs: Any) -> None:
        """Save stock modules, which load anywhere."""
        stock(self).save(path, *args, **kwargs)


def with_tasks(model: SentenceTransformer) -> Gecko:
    """A view of a model that takes tasks; weights, tokenizer and prompts are shared with the model.

    Raises:
        InputError: If the model does not begin with a plain `Transformer` module, or reads another format.
    """
    if not isinstance(model[0], Transformer):
        raise InputError(
            f"The model begins with a {type(model[0]).__name__}; a task can be written in front of the texts of a "
            "model that begins with a Transformer. Load a model that gecko_hf saved."
        )
    if (form := format_of(model.prompts)) not in (None, "gecko"):
        raise InputError(
            f"This model was trained with prompts of the format {form!r}, and a task in words is written in Gecko's. "
            "Load it with SentenceTransformer and take its prompts: encode(texts, prompt_name=...)."
        )
    view = _recast(model, Gecko)
    view._modules = OrderedDict(model._modules, **{next(iter(model._modules)): _recast(model[0], TaskPrefix)})
    if not any(model.prompts.values()):  # a model that is not trained yet
        view.prompts = {**model_prompts()}
    view.set_pooling_include_prompt(True)  # eq. (1) of the paper: the mean is over the task's tokens too
    return view


def stock(model: SentenceTransformer) -> SentenceTransformer:
    """The same model as stock modules: the inverse of `with_tasks`."""
    plain = _recast(model, SentenceTransformer)
    plain._modules = OrderedDict(model._modules, **{next(iter(model._modules)): _recast(model[0], Transformer)})
    return plain


def load(name: str, **kwargs: Any) -> Gecko:
    """Load a saved model as a view that takes tasks.

    Args:
        name: Folder or Hub id.
        kwargs: As for `SentenceTransformer`: device, revision, truncate_dim, ...
    """
    return with_tasks(SentenceTransformer(name, **kwargs))


def _recast(module: torch.nn.Module, cls: type[M]) -> M:
    """The same state under another class: a second view of the same tensors, not a copy."""
    view = cls.__new__(cls)
    view.__dict__ = dict(module.__dict__)
    return view


def _write(text: Any, row: int, prompt: str | None, task: str | None) -> str:
    """One input as the model reads it."""
    if isinstance(text, Mapping):
        return _write_document(text, row, prompt, task)
    if not isinstance(text, str):
        raise InputError(
            f"Input {row} is a {type(text).__name__} ({text!r:.60}); give a string, "
            'or a document as {"title": ..., "text": ...}.'
        )
    if task in (None, QUERY, DOCUMENT) and prompt is not None:
        return prompt + text
    if task == DOCUMENT:
        return format_document(text)
    if task == QUERY:
        return model_prompts()[QUERY] + text
    return text if task is None else format_query(_checked(task, prompt), text)


def _write_document(document: Mapping[str, Any], row: int, prompt: str | None, task: str | None) -> str:
    if not {"text"} <= document.keys() <= DOCUMENT_KEYS or not all(isinstance(v, str) for v in document.values()):
        raise InputError(
            f"Input {row} is a document with the keys {sorted(map(str, document))}; "
            'expected {"title": ..., "text": ...} with two strings, or {"text": ...} alone.'
        )
    if task not in (None, DOCUMENT) or prompt not in (None, document_prefix()):
        asked = f"task={task!r}" if task not in (None, DOCUMENT) else f"prompt={prompt!r}"
        raise InputError(
            f"Input {row} is a document with a title, but {asked} is for queries. Use encode_document, or pass a string."
        )
    return format_document(document["text"], document.get("title", ""))


def _checked(task: Any, prompt: str | None) -> str:
    if prompt is not None:
        raise InputError(f"Both task={task!r} and prompt={prompt!r} are given; the task writes the prompt. Drop one.")
    if not isinstance(task, str) or not task.strip():
        raise InputError(f'task is {task!r}; give a task in words, for example task="fact checking", or none.')
    if task in model_prompts():
        raise InputError(f"task is {task!r}, which is the name of a prompt: use prompt_name={task!r}.")
    if "|" in task or "\n" in task:
        raise InputError(f"task is {task!r}; a task has no '|' and no line break, which separate it from the query.")
    return task
