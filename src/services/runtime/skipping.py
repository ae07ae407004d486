"""Messages that cannot be handled: each is counted and passed over, and the next one is handled."""

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


def skip(kind: str, reason: object) -> None:
    """Count a message that is not understood. The log has the first of each kind, and then ever fewer of them.

    A peer of a newer version may send such messages all the time, so nothing may fail because of one.

    Args:
        kind: of the message, in the words of the metric's label.
        reason: what is not understood about it.
    """
    MESSAGES_SKIPPED.labels(kind).inc()
    if _is_news(kind):
        log.warning("message skipped: it is malformed, or of a newer version", kind=kind, reason=str(reason))


def guarded(name: str, handler: Callable[[*_Args], None]) -> Callable[[*_Args], None]:
    """A handler whose failure costs its message and nothing else: it is counted, and logged with its traceback.

    Adapters wrap every handler that they are given. Whatever they call it from would otherwise hide the failure or end.

    Args:
        name: of what is handled, a subject or a channel: the label of the metric.
        handler: what to call.
    """

    def handle(*message: *_Args) -> None:
        try:
            handler(*message)
        except Exception:
            HANDLERS_FAILED.labels(name).inc()
            if _is_news(f"failure in {name}"):
                log.exception("a handler failed, and its message is lost", handler=name)

    return handle


def _is_news(what: str) -> bool:
    """Whether this is the first, second, fourth, eighth: the log must not drown."""
    _logged[what] += 1
    return _logged[what].bit_count() == 1
