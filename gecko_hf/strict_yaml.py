"""YAML as recipes and overrides are read: no key twice, and a number that is meant as text keeps its letters.

YAML 1.1 reads `12:00:00` as 43200, `007` as 7 and `1.10` as 1.1. Only the field knows whether a text was meant, so a scalar
that YAML takes for a number or a date is kept with its text until the field reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml


@dataclass(frozen=True)
class Plain:
    """A number or a date, and the text that it was written as."""

    value: Any
    text: str

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return repr(self.value)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, with both differences."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping, whose keys differ; PyYAML would keep the last of two and say nothing."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} stands there twice; join both", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_plain(self, node: yaml.ScalarNode) -> Plain:
        """A scalar of one of `_KEPT`, with its text."""
        return Plain(yaml.SafeLoader.yaml_constructors[node.tag](self, node), node.value)


_KEPT = ("int", "float", "timestamp")
for _kind in _KEPT:
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_plain)


def load_yaml(text: str) -> Any:
    """Read YAML.

    Raises:
        yaml.YAMLError: If it is none, or a mapping has a key twice.
        ValueError: If a date is on no calendar.
    """
    return yaml.load(text, Loader=_Loader)
