"""Readers of the embedded log that see every event once, in order: tails, and readers of a partition."""

from dataclasses import dataclass

from fanout import Deliveries
from fanout.errors import PartitionLost, Unavailable
from fanout.ports.log import PartitionEvents, StoredEvent
from services.adapters.embedded.faults import FaultInjection
from services.adapters.embedded.stream import Cursor, Stream
from services.adapters.embedded.suspension import suspending


@suspending
class EmbeddedTail:
    """`fanout.ports.log.Tail`."""

    def __init__(self, stream: Stream, after: int, faults: FaultInjection) -> None:
        self._stream = stream
        self._cursor = Cursor(stream, after=after)
        self._faults = faults
        self._closed = False

    async def fetch(self) -> list[StoredEvent]:
        """See the port."""
        await self._faults.hold_back()
        while True:
            self._check_open()
            if not self._cursor.behind:
                await self._stream.bell.wait()
            elif events := await self._cursor.advance():
                return events

    async def close(self) -> None:
        """See the port."""
        self._closed = True
        self._stream.bell.ring()

    def _check_open(self) -> None:
        self._stream.check_open()
        if self._closed:
            raise Unavailable("the tail is closed")


def batch_of(events: list[StoredEvent]) -> PartitionEvents:
    """Events as one batch, which stays bytes in the core."""
    return PartitionEvents(Deliveries.of([(*event[:3], event.stored_ns) for event in events]))


@dataclass(slots=True)
class Partition:
    """A partition of a stream in an open log: the epoch of its reader, and its position."""

    number: int
    epoch: int
    position: int


@suspending
class EmbeddedPartitionReader:
    """`fanout.ports.log.PartitionReader`."""

    def __init__(self, stream: Stream, partition: Partition, faults: FaultInjection) -> None:
        self.partition = partition.number
        self.epoch = partition.epoch
        self.position = partition.position
        self._stream = stream
        self._state = partition
        self._cursor = Cursor(stream, after=partition.position, part=partition.number)
        self._faults = faults
        self._closed = False

    async def fetch(self) -> PartitionEvents:
        """See the port."""
        await self._faults.hold_back()
        while True:
            self._check_held()
            if not self._cursor.behind:
                await self._stream.bell.wait()
                continue
            events = await self._cursor.advance()
            self._check_held()
            if events:
                return batch_of(events)

    async def ack(self, seq: int) -> None:
        """See the port. It has no effect after the reader has lost the partition."""
        if self._state.epoch == self.epoch:
            self._state.position = max(self._state.position, seq)

    async def caught_up(self) -> int | None:
        """See the port."""
        self._check_held()
        upto = self._stream.last_seq
        after = self._state.position
        unread = await self._stream.page(after=after, upto=upto, limit=1, part=self.partition)
        self._check_held()
        return None if unread else upto

    async def close(self) -> None:
        """See the port."""
        self._closed = True
        self._stream.bell.ring()

    def _check_held(self) -> None:
        self._stream.check_open()
        if self._closed:
            raise Unavailable("the partition reader is closed")
        if self._state.epoch != self.epoch:
            raise PartitionLost(f"partition {self.partition} has a newer reader, of epoch {self._state.epoch}")
