"""Readers of the log whose waits are timed: the continuous pull's three kinds, and `fetch` of nats-py beside them."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Protocol

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.client import JetStreamContext

from fanout.ports.log import StoredEvent
from fanout.streams import MESSAGES
from services.adapters.nats import NatsLog
from services.adapters.nats.names import Names

FETCH_BATCH = 200
_AGAIN_AFTER_S = 0.1


class Arrivals:
    """When each event first came to a reader."""

    def __init__(self) -> None:
        self._at: dict[bytes, float] = {}
        self._news = asyncio.Event()

    def note(self, payloads: Iterable[bytes]) -> None:
        now = time.monotonic()
        for payload in payloads:
            self._at.setdefault(payload, now)
        self._news.set()

    async def of(self, payload: bytes, within_s: float) -> float | None:
        """When it came; None where it does not within that time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while payload not in self._at:
                    self._news.clear()
                    await self._news.wait()
        return self._at.get(payload)


class TimedReader(ABC):
    """Reads from `start` to `stop`.

    Args:
        part: it reads this partition alone; None for all.
    """

    kind: str

    def __init__(self, part: int | None = None) -> None:
        self.part = part
        self.arrivals = Arrivals()
        self.started_at = 0.0
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to wait for events."""
        await self._open()
        self.started_at = time.monotonic()
        self._reading = asyncio.create_task(self._read(), name=f"{self.kind} {self.part}")

    async def stop(self) -> None:
        """End; raises what the reading failed of."""
        assert self._reading is not None
        failed = self._reading.done()
        self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading
        assert not failed, f"{self.kind} ended by itself"
        await self._close()

    @abstractmethod
    async def _open(self) -> None: ...

    @abstractmethod
    async def _read(self) -> None: ...

    @abstractmethod
    async def _close(self) -> None: ...


class _Source(Protocol):
    async def fetch(self) -> Sequence[StoredEvent]: ...

    async def close(self) -> None: ...


class Ours(TimedReader):
    """A reader of a log by the port.

    Args:
        kind: its name in the report.
        source: opens it; with what acknowledges, for those that do.
        part: see `TimedReader`.
    """

    def __init__(
        self,
        kind: str,
        source: Callable[[], Awaitable[tuple[_Source, Callable[[Sequence[StoredEvent]], Awaitable[None]] | None]]],
        part: int | None = None,
    ) -> None:
        super().__init__(part)
        self.kind = kind
        self._opener = source

    async def _open(self) -> None:
        self._source, self._ack = await self._opener()

    async def _read(self) -> None:
        while True:
            events = await self._source.fetch()
            self.arrivals.note(event.payload for event in events)
            if self._ack is not None:
                await self._ack(events)

    async def _close(self) -> None:
        await self._source.close()


def partition_reader(log: NatsLog, part: int) -> Ours:
    """What a fan-out worker reads by."""

    async def opened() -> tuple[_Source, Callable[[Sequence[StoredEvent]], Awaitable[None]]]:
        reader = await log.claim(MESSAGES, part, "timed")
        return reader, lambda events: reader.ack(events[-1].seq)

    return Ours("partition", opened, part)


def tail(log: NatsLog) -> Ours:
    """What membership changes are read by."""

    async def opened() -> tuple[_Source, None]:
        return await log.tail(MESSAGES, after=await log.last_seq(MESSAGES)), None

    return Ours("tail", opened)


def work_queue(log: NatsLog) -> Ours:
    """What message writers read by."""

    async def opened() -> tuple[_Source, Callable[[Sequence[StoredEvent]], Awaitable[None]]]:
        consumer = await log.consume(MESSAGES, "timed")
        return consumer, consumer.ack

    return Ours("work queue", opened)


class Fetch(TimedReader):
    """The straightforward way: `fetch` again and again, and a new subscription after an error.

    Args:
        url: of the server.
        part: the partition.
        wait_s: how long one `fetch` waits.
    """

    kind = "fetch"

    def __init__(self, url: str, part: int, wait_s: float) -> None:
        super().__init__(part)
        self._url = url
        self._wait_s = wait_s
        self._nc: Client | None = None

    async def _open(self) -> None:
        self._nc = await nats.connect(
            self._url,
            reconnect_time_wait=0.25,
            max_reconnect_attempts=-1,
            error_cb=_say_nothing,
        )
        self._subscription = await self._subscribe(self._nc)

    async def _read(self) -> None:
        assert self._nc is not None
        while True:
            try:
                messages = await self._subscription.fetch(FETCH_BATCH, timeout=self._wait_s)
                self.arrivals.note(message.data for message in messages)
                for message in messages:
                    await message.ack()
            except TimeoutError:
                continue
            except NatsError:
                await asyncio.sleep(_AGAIN_AFTER_S)
                with suppress(NatsError, TimeoutError):
                    self._subscription = await self._subscribe(self._nc)

    async def _close(self) -> None:
        assert self._nc is not None
        await self._nc.close()

    async def _subscribe(self, nc: Client) -> JetStreamContext.PullSubscription:
        assert self.part is not None
        durable = f"fetch-{self.part}"
        return await nc.jetstream().pull_subscribe(Names().partition(MESSAGES, self.part), durable, stream=MESSAGES)


async def _say_nothing(_: Exception) -> None:
    """Errors during an outage are expected."""
