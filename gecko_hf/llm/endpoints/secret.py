"""An API key: taken from the environment, sent in a header, shown nowhere."""

from __future__ import annotations

import os

from gecko_hf.errors import LLMError

HIDDEN = "***"


class Secret:
    """An API key that no message, log or repr contains.

    Args:
        variable: Name of the environment variable that holds it; None for endpoints without a key.

    Raises:
        LLMError: If the variable is not set.
    """

    def __init__(self, variable: str | None) -> None:
        self._value = os.environ.get(variable, "") if variable else ""
        if variable and not self._value:
            # The name is not repeated: whoever pastes the key itself into the recipe must not find it in a log.
            raise LLMError(
                "The environment variable that llm.api_key_env names is not set. Set it to the key (export NAME=...), or leave "
                "llm.api_key_env out for an endpoint without a key."
            )

    def __repr__(self) -> str:
        return "Secret(set)" if self._value else "Secret(none)"

    def headers(self) -> dict[str, str]:
        """The authorization header of a request."""
        return {"Authorization": f"Bearer {self._value}"} if self._value else {}

    def reveal(self) -> str | None:
        """The key itself, for a client that makes its own header."""
        return self._value or None

    def hide(self, text: str) -> str:
        """A text from a server, without the key that it may repeat."""
        return text.replace(self._value, HIDDEN) if self._value else text
