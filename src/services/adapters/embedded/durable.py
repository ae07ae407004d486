"""Durable consumers of the embedded log: work queues, each shared by its workers."""

import asyncio
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from fanout.errors import Unavailable
from fanout.ports.log import StoredEvent
from services.adapters.embedded.faults import FaultInjection
from services.adapters.embedded.stream import Cursor, Stream
from services.adapters.embedded.suspension import suspending

MAX_IN_FLIGHT: Final = 2_000
"""How many unacknowledged events a queue holds before it reads no more."""


@dataclass(slots=True)
class _InFlight:
    event: StoredEvent
    worker: "EmbeddedConsumer"
    due: float
    """When it is delivered again, by the loop's clock."""


class DurableQueue:
    """The queue that the workers of one durable consumer share.

    Every event up to the cursor is in flight or done, so the floor is just below the first event in flight.
    """

    def __init__(self, stream: Stream, floor: int, *, ack_wait: float, faults: FaultInjection) -> None:
        self._stream = stream
        self._cursor = Cursor(stream, after=floor)
        self._ack_wait = ack_wait
        self._faults = faults
        self._in_flight: dict[int, _InFlight] = {}  # by rising seq, because events are added at the end only
        self._first_due = math.inf  # nothing in flight is due before
        self._turn = asyncio.Lock()

    @property
    def floor(self) -> int:
        """Every event up to here is done."""
        return next(iter(self._in_flight), self._cursor.seq + 1) - 1

    async def take(self, worker: "EmbeddedConsumer", limit: int) -> list[StoredEvent]:
        """Wait for at least one event that is due or new. The worker holds the events until the ack wait ends."""
        await self._faults.hold_back()
        while True:
            worker.check_open()
            self._stream.check_open()
            if not self._ready():
                await self._stream.bell.wait(self._patience())
            elif taken := await self._next(worker, limit):
                return self._with_duplicates(taken, limit)

    def ack(self, events: Iterable[StoredEvent]) -> None:
        """Remove events from the queue, unless a fault is injected."""
        for event in events:
            if event.seq not in self._in_flight or self._faults.loses_ack():
                continue
            if self._faults.redelivers():
                self._postpone(event.seq, 0.0)
            else:
                del self._in_flight[event.seq]
        self._stream.bell.ring()

    def retry(self, events: Iterable[StoredEvent], delay: float) -> None:
        """Have events delivered again after `delay` seconds."""
        for event in events:
            if event.seq in self._in_flight:
                self._postpone(event.seq, delay)
        self._stream.bell.ring()

    def release(self, worker: "EmbeddedConsumer") -> None:
        """Have the events that a worker holds delivered to another worker at once."""
        self.retry([held.event for held in self._in_flight.values() if held.worker is worker], 0.0)

    def _ready(self) -> bool:
        has_room = len(self._in_flight) < MAX_IN_FLIGHT
        return self._first_due <= _now() or (has_room and self._cursor.behind)

    def _patience(self) -> float | None:
        return None if math.isinf(self._first_due) else max(self._first_due - _now(), 0.0)

    async def _next(self, worker: "EmbeddedConsumer", limit: int) -> list[StoredEvent]:
        async with self._turn:
            if due := self._due(limit):
                return [self._deliver(held.event, held.event.delivery + 1, worker) for held in due]
            room = MAX_IN_FLIGHT - len(self._in_flight)
            if room <= 0 or not self._cursor.behind:
                return []
            return [self._deliver(event, 1, worker) for event in await self._cursor.advance(min(limit, room))]

    def _due(self, limit: int) -> list[_InFlight]:
        now = _now()
        if now < self._first_due:
            return []
        due = [held for held in self._in_flight.values() if held.due <= now]
        self._first_due = min((held.due for held in self._in_flight.values() if held.due > now), default=math.inf)
        if len(due) > limit:
            self._first_due = now
        return due[:limit]

    def _deliver(self, event: StoredEvent, delivery: int, worker: "EmbeddedConsumer") -> StoredEvent:
        event = event._replace(delivery=delivery)
        self._in_flight[event.seq] = _InFlight(event, worker, math.inf)
        self._postpone(event.seq, 0.0 if self._faults.redelivers() else self._ack_wait)
        return event

    def _postpone(self, seq: int, delay: float) -> None:
        due = _now() + delay
        self._in_flight[seq].due = due
        self._first_due = min(self._first_due, due)

    def _with_duplicates(self, events: list[StoredEvent], limit: int) -> list[StoredEvent]:
        twice = [event for event in events if self._faults.duplicates()]
        return [*events, *twice][:limit]


@suspending
class EmbeddedConsumer:
    """`fanout.ports.log.Consumer`: one worker of a durable queue."""

    def __init__(self, queue: DurableQueue, batch: int) -> None:
        self._queue = queue
        self._batch = batch
        self._closed = False

    async def fetch(self) -> list[StoredEvent]:
        """See the port."""
        return await self._queue.take(self, self._batch)

    async def ack(self, events: Sequence[StoredEvent]) -> None:
        """See the port."""
        self._queue.ack(events)

    async def retry(self, events: Sequence[StoredEvent], delay: float) -> None:
        """See the port."""
        self._queue.retry(events, delay)

    async def close(self) -> None:
        """See the port."""
        self._closed = True
        self._queue.release(self)

    def check_open(self) -> None:
        """Raise `Unavailable` if this worker was closed."""
        if self._closed:
            raise Unavailable("the consumer is closed")


def _now() -> float:
    return asyncio.get_running_loop().time()
