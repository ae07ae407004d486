"""The worker of a durable consumer: fetch, decode, handle, acknowledge.

Every service that works through a stream runs one. The service declares what it reads and brings a handler. Outages,
invalid events, acknowledgements and a log that went back are dealt with here, once.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

from prometheus_client import Counter

from fanout.errors import InvalidEvent, Unavailable
from fanout.ports.log import Consumer, Log, StoredEvent
from fanout.ports.messages import LogPlace
from fanout.streams import STREAMS
from services.runtime.dead_letters import dead_letter
from services.runtime.tasks import Outage, Tasks, retry_forever

LONGEST_PAUSE_S: Final = 1.0
"""The longest pause between two attempts, while a store that the handler needs is unavailable."""

EVENTS_HANDLED: Final = Counter(
    "fanout_events_handled_total", "Events that a durable consumer handled, repeats included", ["consumer"]
)
EVENTS_RETRIED: Final = Counter(
    "fanout_events_retried_total",
    "Events that a durable consumer gave back, to be delivered again, because a store was unavailable",
    ["consumer"],
)

_Event = TypeVar("_Event")


@dataclass(frozen=True)
class Consumption(Generic[_Event]):
    """A service's declaration of its durable consumer.

    Raises:
        ValueError: the row of the stream in `fanout.streams` has no such durable consumer.
    """

    stream: str
    durable: str
    decode: Callable[[StoredEvent], _Event]
    """Reads one event. It raises `InvalidEvent` for one that can never be handled, which is then dead-lettered."""
    handle: Callable[[Sequence[_Event], StoredEvent], Awaitable[None]]
    """Does the work for the valid events of a batch. The second argument is the batch's newest event, valid or not.

    It is idempotent, since every event may come again. It raises `Unavailable` when it cannot do the work now: then the
    whole batch comes again, later. Any other error ends the worker.
    """
    kept_place: Callable[[], Awaitable[LogPlace | None]] | None = None
    """The newest place in the stream that the service keeps in a store of its own. The log is compared with it before
    the worker joins, so that a log that went back while no worker ran is noticed."""

    def __post_init__(self) -> None:
        if self.durable not in STREAMS[self.stream].durables:
            raise ValueError(f"{self.stream} has no durable consumer {self.durable}: add it to the table of streams")


class ConsumerWorker(Generic[_Event]):
    """One of the workers that share a durable consumer."""

    def __init__(self, consumption: Consumption[_Event], events: Log) -> None:
        self._consumption = consumption
        self._log = events
        self._outage = Outage(f"handling events of {consumption.durable}", longest_s=LONGEST_PAUSE_S)

    async def run(self) -> None:
        """Work until it is cancelled. Events that were not acknowledged then are delivered again, to any worker."""
        consumption = self._consumption
        await retry_forever(self._recall, f"comparing the log with the position of {consumption.durable}")
        consumer = await retry_forever(
            partial(self._log.consume, consumption.stream, consumption.durable), f"joining {consumption.durable}"
        )
        try:
            while True:
                await self._process(consumer, await consumer.fetch())
        finally:
            await consumer.close()

    async def _recall(self) -> None:
        if self._consumption.kept_place is not None and (place := await self._consumption.kept_place()) is not None:
            await self._log.recall(self._consumption.stream, *place)

    async def _process(self, consumer: Consumer, events: list[StoredEvent]) -> None:
        decoded, invalid = self._decode(events)
        try:
            await self._consumption.handle(decoded, max(events, key=lambda event: event.seq))
        except Unavailable as error:
            await self._give_back(consumer, events, self._outage.failed(error))
            return
        self._outage.succeeded()
        EVENTS_HANDLED.labels(self._consumption.durable).inc(len(decoded))
        for event, reason in invalid:
            await dead_letter(self._log, self._consumption.stream, event, reason, reader=self._consumption.durable)
        await retry_forever(partial(consumer.ack, events), "acknowledging events")

    def _decode(self, events: list[StoredEvent]) -> tuple[list[_Event], list[tuple[StoredEvent, str]]]:
        """The valid events of a batch, and the invalid ones with their reasons."""
        decoded: list[_Event] = []
        invalid: list[tuple[StoredEvent, str]] = []
        for event in events:
            try:
                decoded.append(self._consumption.decode(event))
            except InvalidEvent as error:
                invalid.append((event, str(error)))
        return decoded, invalid

    async def _give_back(self, consumer: Consumer, events: list[StoredEvent], pause: float) -> None:
        EVENTS_RETRIED.labels(self._consumption.durable).inc(len(events))
        await retry_forever(partial(consumer.retry, events, pause), "giving events back")
        await asyncio.sleep(pause)


@asynccontextmanager
async def running_consumer(
    consumption: Consumption[_Event], events: Log, on_failure: Callable[[BaseException], None]
) -> AsyncIterator[None]:
    """Run a worker for the length of the context.

    Args:
        consumption: the stream that it reads, and its handler.
        events: the log.
        on_failure: is called with an error that ends the worker.
    """
    async with Tasks(on_failure) as tasks:
        tasks.start(ConsumerWorker(consumption, events).run(), consumption.durable)
        yield
