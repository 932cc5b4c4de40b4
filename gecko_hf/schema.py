"""Strict reading of plain values into frozen dataclasses: what a recipe is checked with.

An unknown key is an error that names the nearest known one; a value of the wrong type or out of range says what was expected.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
import shlex
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import yaml

from gecko_hf.errors import RecipeError
from gecko_hf.strict_yaml import Plain, load_yaml

T = TypeVar("T")
# A text with what YAML takes for a comment: there is none at a command line, and `a #1` would lose its end.
_COMMENT = re.compile(r"""(?![\[{"'])(.*\s)?#""")


def number(default: Any, *, low: float | None = None, high: float | None = None) -> Any:
    """A numeric field with inclusive bounds that the reader checks."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


def apply_override(tree: dict[str, Any], override: str) -> None:
    """Set one `key.sub=value` in a tree; the value is read as YAML.

    Raises:
        RecipeError: If it is not of that form, goes through a value that has no keys, or has a value that is not YAML.
    """
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise RecipeError(f"{override!r} is not an override. Write key=value, for example corpus.path=docs/")
    *parents, leaf = key.split(".")
    node = tree
    for parent in parents:
        if node.get(parent) is None:  # a block that the file leaves empty, as a run's own recipe does with `judge`
            node[parent] = {}
        node = node[parent]
        if not isinstance(node, dict):
            raise RecipeError(f"{override!r}: {parent!r} holds a value, it has no keys under it.")
    try:
        node[leaf] = text if _COMMENT.match(text) else load_yaml(text) if text else ""
    except (yaml.YAMLError, ValueError) as error:  # a ValueError is a date that no calendar has
        why = " ".join(str(error).split())
        raise RecipeError(
            f"{override!r}: the value is read as YAML, and it is none: {why} Put a text with such characters in quotes of its "
            f"own, for example {_quoted(key, text)}"
        ) from error


def _quoted(key: str, text: str) -> str:
    """An override as a shell takes it, with its value as a text of YAML."""
    return shlex.quote(f"{key}={json.dumps(text, ensure_ascii=False)}")


def build(cls: type[T], tree: dict[str, Any], *, where: str, prefix: str = "") -> T:
    """A tree of plain values as an instance of a frozen dataclass, strictly.

    Args:
        cls: The dataclass; its fields are scalars, lists, dicts, literals or dataclasses.
        tree: What was read.
        where: Where it was read, for messages.
        prefix: Dotted path of the tree in the whole, for messages.

    Raises:
        RecipeError: If a key is unknown (the nearest is named), or a value has the wrong type or range.
    """
    hints = get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cast(Any, cls))}
    values: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1, cutoff=0.5)
            hint = f"Did you mean {prefix}{near[0]!s}?" if near else f"Known keys here: {', '.join(fields)}."
            raise RecipeError(f"{where}: unknown key {name!r}. {hint}")
        values[key] = _value(value, hints[key], fields[key].metadata, f"{where}: {name}")
    return cls(**values)


def _block(value: Any, cls: type, name: str) -> Any:
    """A mapping as a dataclass of its own; `name` is `where: dotted.path`."""
    where, _, path = name.rpartition(": ")
    if not isinstance(value, dict):
        raise RecipeError(f"{name} is {value!r}; it needs keys under it, for example {path}: {{...}}.")
    return build(cls, value, where=where, prefix=f"{path}.")


def _meant(value: Any, hint: Any) -> Any:
    """A number or date of YAML as the field means it: as its text, or as what it says. `X | None` leaves that to X."""
    if not isinstance(value, Plain) or get_origin(hint) in (types.UnionType, Union):
        return value
    return value.text if hint is str else value.value


def _value(value: Any, hint: Any, bounds: Mapping[str, Any], name: str) -> Any:
    """Check one value against its declared type and bounds."""
    options = get_args(hint)
    value = _meant(value, hint)
    if dataclasses.is_dataclass(hint):
        return _block(value, cast(type, hint), name)
    if get_origin(hint) is Literal:
        if value not in options:
            raise RecipeError(f"{name} is {value!r}; it must be one of {', '.join(map(str, options))}.")
        return value
    if get_origin(hint) in (types.UnionType, Union):  # `X | None`, whose form depends on X
        return None if value is None else _value(value, options[0], bounds, name)
    if get_origin(hint) is list and isinstance(value, list):
        return [_value(v, options[0], bounds, f"{name}[{i}]") for i, v in enumerate(value)]
    if get_origin(hint) is dict and isinstance(value, dict):
        blocks = dataclasses.is_dataclass(options[1])  # one that is null is left out: NAME=null takes it from a recipe
        found = {str(k): v for k, v in value.items() if not (blocks and v is None)}
        return {k: _value(v, options[1], bounds, f"{name}.{k}") for k, v in found.items()}
    if hint is str and isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    if hint is float and isinstance(value, str):
        # YAML 1.1 reads 5e-5, which has no dot, as text.
        try:
            value = float(value)
        except ValueError as error:
            raise RecipeError(f"{name} is {value!r}; it must be a number.") from error
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    expected = get_origin(hint) or hint
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        quoted = " Put a text that YAML reads as something else in quotes." if expected is str else ""
        raise RecipeError(f"{name} is {value!r} ({type(value).__name__}); it must be a {expected.__name__}.{quoted}")
    _check_range(value, bounds, name)
    return value


def _check_range(value: Any, bounds: Mapping[str, Any], name: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):  # NaN is in every range: no comparison with it is true
        raise RecipeError(f"{name} is {value}; it must be a finite number.")
    low, high = bounds.get("low"), bounds.get("high")
    if (low is not None and value < low) or (high is not None and value > high):
        span = f"at least {low}" if high is None else f"between {low} and {high}"
        raise RecipeError(f"{name} is {value}; it must be {span}.")
