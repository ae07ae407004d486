"""Dead letters: an event that can never be handled is kept with the reason, counted, and skipped."""

from functools import partial
from typing import Final

import structlog
from prometheus_client import Counter

from fanout.ports.log import Log, StoredEvent
from services.runtime.tasks import retry_forever

log = structlog.get_logger(__name__)

EVENTS_DEAD_LETTERED: Final = Counter(
    "fanout_events_dead_lettered_total", "Stored events that a reader sent to the dead letters, by reader", ["consumer"]
)


async def dead_letter(events: Log, stream: str, event: StoredEvent, reason: str, *, reader: str) -> None:
    """Keep an event in DEAD; return when the log has it.

    Args:
        events: the log.
        stream: the event's.
        event: the event that cannot be handled.
        reason: for the person who inspects the dead letter.
        reader: the reader that cannot handle it: the name of a durable consumer, or `fan-out`.
    """
    EVENTS_DEAD_LETTERED.labels(reader).inc()
    log.warning(
        "event dead-lettered", reader=reader, stream=stream, seq=event.seq, subject=event.subject, reason=reason
    )
    await retry_forever(partial(events.dead_letter, stream, event, reason), "dead-lettering an event")
