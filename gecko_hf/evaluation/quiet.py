"""Silence for libraries that log each phase of each call."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(*names: str) -> Iterator[None]:
    """Let only errors of some loggers through; mteb's by default.

    Args:
        names: Loggers; `mteb` if none is named.
    """
    loggers = [logging.getLogger(name) for name in names or ("mteb",)]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
