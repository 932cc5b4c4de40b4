"""The families of encoders."""

from families import bare_checkpoint  # noqa: F401
