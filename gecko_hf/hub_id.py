"""Whether a name may be that of a repository on the Hub, asked of nobody."""

from __future__ import annotations

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]


def may_be_hub_id(name: str) -> bool:
    """Whether a name has the form `name` or `org/name` in the Hub's alphabet and is not plainly a path."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return name[:1] not in (".", "/", "~", "")
