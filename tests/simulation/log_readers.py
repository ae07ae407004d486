"""The readers of the log as processes reach them. As those of JetStream, they go on after a broken connection."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol

from fanout import Deliveries
from fanout.errors import PartitionLost, Unavailable
from fanout.ports.log import PartitionEvents, StoredEvent
from services.adapters.embedded.durable import EmbeddedConsumer
from services.adapters.embedded.readers import EmbeddedPartitionReader, EmbeddedTail
from tests.simulation.links import Link

TRY_AGAIN_S: Final = 0.2
"""Seconds between two attempts to reach the server again."""


class Reached(Protocol):
    """The log of a process: what its readers need of it."""

    link: Link
    server: Any

    def notice(self) -> None: ...


class _Reading:
    """One reader. It fetches by an object of the server, and gets another one when the connection breaks.

    A fetch that was cancelled or broken off may have taken events that never arrive; so its object is not used again.
    """

    def __init__(self, log: Reached) -> None:
        self._log = log
        self._remote: Any = None
        self._closed = False
        self._forget = log.link.on_cut(self._broken)

    async def _open(self) -> Any:
        raise NotImplementedError

    async def _fetch(self) -> Any:
        while True:
            if self._closed:
                raise Unavailable("this reader of the log is closed")
            try:
                if self._remote is None:
                    self._remote = await self._log.link.call(self._open, "opening a reader")
                    self._opened()
                events = await self._log.link.call(self._remote.fetch, "fetch", patient=True)
            except Unavailable:
                self._remote = None
                await asyncio.sleep(TRY_AGAIN_S)
            except BaseException:
                self._remote = None
                raise
            else:
                self._log.notice()
                return events

    def _opened(self) -> None:
        """The reader was opened again."""

    def _broken(self) -> None:
        self._remote = None

    def _send(self, work: Callable[[], Awaitable[None]]) -> None:
        """Have the server do something; nothing waits for it."""
        self._log.link.carry(partial(_start, work), forth=True)

    async def close(self) -> None:
        """Return when the server has everything that was sent before, or cannot be reached."""
        self._closed = True
        self._forget()
        if self._remote is not None:
            with suppress(Unavailable):
                await self._log.link.call(self._remote.close, "closing a reader")
        await asyncio.sleep(0)


class LinkedConsumer(_Reading):
    """`fanout.ports.log.Consumer`."""

    def __init__(self, log: Reached, join: Callable[[], Awaitable[EmbeddedConsumer]]) -> None:
        super().__init__(log)
        self._join = join

    async def _open(self) -> EmbeddedConsumer:
        return await self._join()

    async def join(self) -> None:
        """Join the workers. Raises `Unavailable` if the server does not answer."""
        self._remote = await self._log.link.call(self._open, "joining a consumer")
        self._log.notice()

    async def fetch(self) -> list[StoredEvent]:
        return await self._fetch()  # type: ignore[no-any-return]

    async def ack(self, events: Sequence[StoredEvent]) -> None:
        if self._remote is not None:
            self._send(partial(self._remote.ack, events))
        await asyncio.sleep(0)

    async def retry(self, events: Sequence[StoredEvent], delay: float) -> None:
        if self._remote is not None:
            self._send(partial(self._remote.retry, events, delay))
        await asyncio.sleep(0)


class LinkedTail(_Reading):
    """`fanout.ports.log.Tail`."""

    def __init__(self, log: Reached, stream: str, after: int) -> None:
        super().__init__(log)
        self._stream = stream
        self._after = after

    async def _open(self) -> EmbeddedTail:
        return await self._log.server.tail(self._stream, after=self._after)  # type: ignore[no-any-return]

    async def fetch(self) -> list[StoredEvent]:
        events: list[StoredEvent] = await self._fetch()
        self._after = events[-1].seq
        return events


class LinkedReader(_Reading):
    """`fanout.ports.log.PartitionReader`."""

    def __init__(
        self,
        log: Reached,
        stream: str,
        claimed: EmbeddedPartitionReader,
        again: Callable[[], Awaitable[EmbeddedPartitionReader]],
    ) -> None:
        super().__init__(log)
        self.stream = stream
        self.partition = claimed.partition
        self.epoch = claimed.epoch
        self.position = claimed.position
        self._remote = claimed
        self._again = again
        self._last = claimed.position
        self._acked = claimed.position
        self._lost = False

    async def _open(self) -> EmbeddedPartitionReader:
        return await self._again()

    def _opened(self) -> None:
        self.epoch = self._remote.epoch
        self._acknowledge()

    async def fetch(self) -> PartitionEvents:
        self._check_held()
        while True:
            try:
                fetched: PartitionEvents = await self._fetch()
            except PartitionLost:
                self._lost = True
                raise
            events = [event[:3] for event in fetched if event.seq > self._last]
            if events:
                self._last = fetched.last_seq
                return PartitionEvents(Deliveries.of(events))

    async def ack(self, seq: int) -> None:
        self._acked = max(self._acked, seq)
        self._acknowledge()
        await asyncio.sleep(0)

    async def caught_up(self) -> int | None:
        self._check_held()
        remote = self._remote
        if remote is None:
            raise Unavailable("the reader is being opened again")
        upto: int | None = await self._log.link.call(remote.caught_up, "caught_up")
        self._log.notice()
        return upto

    def _check_held(self) -> None:
        if self._lost:
            raise PartitionLost(f"partition {self.partition} has another reader")

    def _acknowledge(self) -> None:
        if self._remote is not None:
            self._send(partial(self._remote.ack, self._acked))


def _start(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.ensure_future(work()).add_done_callback(_hear)


def _hear(task: "asyncio.Future[None]") -> None:
    if not task.cancelled():
        task.exception()  # nobody waits for it
