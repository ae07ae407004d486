"""A stream as its readers see it: its end, and a bell that wakes them when it grows."""

import asyncio
from typing import Final

from fanout.errors import Unavailable
from fanout.ports.log import Appended, StoredEvent
from services.adapters.embedded.store import EventStore

PAGE: Final = 500
"""How many events a reader reads from the database at once."""


class Bell:
    """Wakes the tasks that wait for it.

    A ring is not remembered: check the condition first, then wait, with no other await between.
    """

    def __init__(self) -> None:
        self._rung: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake all tasks that wait now."""
        if self._rung is not None:
            self._rung.set_result(None)
            self._rung = None

    async def wait(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - returns alike, rung or not
        """Return at the next ring, or after `timeout` seconds."""
        if self._rung is None:
            self._rung = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._rung], timeout=timeout)


class Stream:
    """One stream of an open log.

    Attributes:
        name: as in `fanout.streams`.
        last_seq: the newest event that is stored durably.
        bell: rung when an event is stored, and when anything else changes that a reader may wait for.
    """

    def __init__(self, name: str, store: EventStore, last_seq: int) -> None:
        self.name = name
        self.last_seq = last_seq
        self.bell = Bell()
        self._store = store
        self._closed = False
        self._failure: BaseException | None = None

    def grow_by(self, stored: "asyncio.Future[Appended]") -> None:
        """Take note of an append that has ended, whether or not its caller still waits for it."""
        if stored.exception() is None and stored.result().seq > self.last_seq:
            self.last_seq = stored.result().seq
            self.bell.ring()

    def close(self) -> None:
        """Wake and end every reader."""
        self._closed = True
        self.bell.ring()

    def fail(self, failure: BaseException) -> None:
        """End every reader with this failure."""
        self._failure = failure
        self.bell.ring()

    def check_open(self) -> None:
        """Raise `Unavailable` if the log was closed, or the failure that ended it."""
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise Unavailable("the log is closed")

    async def page(self, *, after: int, upto: int, limit: int = PAGE, part: int | None = None) -> list[StoredEvent]:
        """Up to `limit` events after `after`, up to and with `upto`, in order."""
        self.check_open()
        return await self._store.page(self.name, after=after, upto=upto, limit=limit, part=part)


class Cursor:
    """Reads a stream, or one partition of it, page by page.

    Attributes:
        seq: every event up to here was returned, or has been discarded.
    """

    def __init__(self, stream: Stream, *, after: int, part: int | None = None) -> None:
        self.seq = after
        self._stream = stream
        self._part = part

    @property
    def behind(self) -> bool:
        """Whether the stream has events after `seq`."""
        return self.seq < self._stream.last_seq

    async def advance(self, limit: int = PAGE) -> list[StoredEvent]:
        """The next events; empty if the stream holds none of the partition up to its end."""
        upto = self._stream.last_seq
        page = await self._stream.page(after=self.seq, upto=upto, limit=limit, part=self._part)
        self.seq = upto if len(page) < limit else page[-1].seq
        return page
