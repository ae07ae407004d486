"""Logging: structlog for the whole process, the standard library's loggers included, on standard error."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Final, Literal

import structlog
from structlog.types import Processor

REDACTED: Final = "[redacted]"

_SECRET_KEY: Final = re.compile(r"token|authorization|secret|password|cookie|credential", re.IGNORECASE)
_QUIET: Final = ("httpx", "httpcore", "uvicorn.error", "websockets")
"""Libraries that log each request or connection at `info`."""

_JWT: Final = re.compile(r"\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?")
_URL_PASSWORD: Final = re.compile(r"(?<=://)[^/@\s]+@")


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor that removes values under secret names, and tokens and URL passwords in any text."""
    for key, value in event.items():
        event[key] = _clean(key, value)
    return event


def _clean(key: object, value: Any) -> Any:
    if isinstance(key, str) and _names_a_secret(key):
        return REDACTED
    if isinstance(value, str):
        return _clean_text(value)
    if isinstance(value, Mapping):
        return {inner: _clean(inner, item) for inner, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(None, item) for item in value]
    return value


@lru_cache(maxsize=1024)
def _names_a_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def _clean_text(text: str) -> str:
    # Most texts hold neither, which `in` finds out at a tenth of the cost of a pattern.
    if "eyJ" in text:
        text = _JWT.sub(REDACTED, text)
    return _URL_PASSWORD.sub(f"{REDACTED}@", text) if "://" in text else text


def configure_logging(
    form: Literal["auto", "console", "json"] = "auto", level: str = "info", *, service: str = ""
) -> None:
    """Set up logging for the process. A later call replaces an earlier one.

    Args:
        form: `auto` is `console` on a terminal and `json` elsewhere.
        level: the lowest level that is written.
        service: the name of the service that the process runs, added to every line; empty for none.
    """
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        *([_naming(service)] if service else []),
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    _install(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_render(console)), level)


def _naming(service: str) -> Processor:
    # A context variable would not do, as threads of a library do not inherit it.
    def name(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {"service": service, **event}

    return name


def _render(console: bool) -> list[Processor]:  # noqa: FBT001 - private, and the name says it
    # Exceptions are formatted before `redact`, so that it cleans their text too.
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        redact,
        structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer(),
    ]


def _install(formatter: logging.Formatter, level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # No line names its source file, and finding it takes a third of the time of a line (Logging HOWTO, "Optimization").
    logging._srcfile = None  # noqa: SLF001
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
