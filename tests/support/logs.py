"""Logging as a test found it: `configure_logging` sets it up for the process, on the stream that it finds."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from services.runtime.logging import _QUIET


@contextmanager
def logging_put_back() -> Iterator[None]:
    """Let the body configure logging, and undo it: its stream may be closed when the next test logs."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    levels = {logger: logger.level for logger in (root, *map(logging.getLogger, _QUIET))}
    try:
        yield
    finally:
        root.handlers[:] = handlers
        for logger, level in levels.items():
            logger.setLevel(level)
        structlog.reset_defaults()
