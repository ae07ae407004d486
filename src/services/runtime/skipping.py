"""Messages between services that cannot be handled: each is counted and skipped, and the next one is handled."""

from collections import Counter as Tally
from collections.abc import Callable
from typing import Final, TypeVarTuple

import structlog
from prometheus_client import Counter

log = structlog.get_logger(__name__)

_Args = TypeVarTuple("_Args")

MESSAGES_SKIPPED: Final = Counter(
    "fanout_messages_skipped_total",
    "Messages between services that were skipped: malformed, or of a version that is not known here",
    ["kind"],
)
HANDLERS_FAILED: Final = Counter(
    "fanout_handler_failures_total", "Messages that were lost because their handler failed", ["handler"]
)

_logged: Final[Tally[str]] = Tally()


def skip(kind: str, reason: object, *, count: int = 1) -> None:
    """Count messages that are not understood. The first, second, fourth, eighth ... of each kind is logged.

    A peer of a newer version may send such messages all the time, so one must not cause a failure.

    Args:
        kind: of the message: the label of the metric.
        reason: why it is not understood.
        count: how many such messages were skipped together.
    """
    MESSAGES_SKIPPED.labels(kind).inc(count)
    if is_news(kind, count):
        log.warning("message skipped: it is malformed, or of a newer version", kind=kind, reason=str(reason))


def guarded(name: str, handler: Callable[[*_Args], None]) -> Callable[[*_Args], None]:
    """Wrap a handler, so that a failure loses one message. Failures are counted, and logged with their tracebacks.

    Adapters wrap every handler that they are given. Without that, a failure would be hidden, or would end the task that
    calls the handler.

    Args:
        name: the subject or channel that is handled: the label of the metric.
        handler: the handler to wrap.
    """

    def handle(*message: *_Args) -> None:
        try:
            handler(*message)
        except Exception:
            HANDLERS_FAILED.labels(name).inc()
            if is_news(f"failure in {name}"):
                log.exception("a handler failed, and its message is lost", handler=name)

    return handle


def is_news(what: str, count: int = 1) -> bool:
    """Whether the first, second, fourth, eighth ... is among these, and is to be logged: so the log stays readable."""
    before = _logged[what]
    _logged[what] += count
    return _logged[what].bit_length() > before.bit_length()
