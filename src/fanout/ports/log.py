"""The log: streams that hold what was accepted, contract section 4."""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import NamedTuple, Protocol, overload

from fanout._core import Deliveries


class Stored(NamedTuple):
    """An event as the log holds it."""

    seq: int
    """Its place in the log, from 1. It rises also where the log went back, and no place is given twice."""
    subject: str
    """As it was published, `messages.send.{channel_id}`, whatever the store makes of it inside."""
    payload: bytes
    delivery: int = 1
    """Which delivery to this consumer this is, from 1."""
    token: str = ""
    """The adapter's own handle for the acknowledgement."""
    stored_ns: int = 0
    """When it was stored, by the log's clock, in nanoseconds since 1970; 0 where that is not known."""


class StoredBatch(Sequence[Stored]):
    """Events of one partition, in order. They stay bytes in the core, and become objects where one is looked at.

    Args:
        deliveries: the events.
        published: gives the subject as published for the one as stored.
    """

    def __init__(self, deliveries: Deliveries, published: Callable[[str], str] = str) -> None:
        self.deliveries = deliveries
        """As `Engine.route_stored` takes them."""
        self._published = published

    @property
    def last_seq(self) -> int:
        """The sequence of the last one."""
        return self.deliveries.last_seq

    def __len__(self) -> int:
        return len(self.deliveries)

    @overload
    def __getitem__(self, index: int) -> Stored: ...

    @overload
    def __getitem__(self, index: slice) -> list[Stored]: ...

    def __getitem__(self, index: int | slice) -> Stored | list[Stored]:
        places = range(len(self))[index]
        if isinstance(places, range):
            return [self[at] for at in places]
        seq, subject, payload, delivery, token, stored_ns = self.deliveries[places]
        return Stored(seq, self._published(subject), payload, delivery, token, stored_ns)


class Appended(NamedTuple):
    """The log's answer to a publication."""

    seq: int
    duplicate: bool
    """An event with that message id was stored within the dedup window; `seq` is its sequence."""


class Reset(NamedTuple):
    """The log was found to have gone back: it lost its newest events, was restored, or was made again.

    What was accepted since is there, above every `seq` that was given before.
    """

    stream: str
    survived_ns: int
    """When the newest event was stored that is still there, in nanoseconds since 1970; 0 where none is."""


class Consumer(Protocol):
    """A durable work queue: its workers share the events; each is redelivered until one acknowledges it."""

    async def fetch(self) -> list[Stored]:
        """Wait for at least one event, and return what is there, up to the batch size.

        Answer each event by `ack` or `retry`: a worker that lives may keep for ever what it does not answer.

        Survives restarts of the server and a deleted consumer by itself, without end; cancel it to stop.
        """
        ...

    async def ack(self, events: Sequence[Stored]) -> None:
        """The work of these events is done; they do not come again. Does not wait for the server."""
        ...

    async def retry(self, events: Sequence[Stored], delay: float) -> None:
        """The work could not be done now: deliver these again, after `delay` seconds."""
        ...

    async def close(self) -> None:
        """Stop fetching. What is unacknowledged goes to another worker."""
        ...


class Tail(Protocol):
    """One reader's own view of a stream: every event after a point, in order, none twice, never acknowledged."""

    async def fetch(self) -> list[Stored]:
        """Wait for at least one event, and return what is there in order. Survives restarts of the server."""
        ...

    async def close(self) -> None:
        """Stop reading."""
        ...


class PartitionReader(Protocol):
    """The one reader of a partition of a stream, in order. Its position is durable, and survives it."""

    partition: int
    epoch: int
    """Rises each time that the partition changes hands, and may rise in a `fetch`: read it again after each."""
    position: int
    """Every event of the partition up to this sequence was acknowledged before this reader began."""

    async def fetch(self) -> StoredBatch:
        """Wait for at least one event; in order, none twice.

        Raises:
            PartitionLost: another worker claimed the partition.
        """
        ...

    async def ack(self, seq: int) -> None:
        """Everything up to this sequence is done. A reader that follows begins after it."""
        ...

    async def caught_up(self) -> int | None:
        """A sequence up to which the partition is known to hold nothing unacknowledged; None when it may.

        Raises:
            PartitionLost: another worker claimed the partition.
        """
        ...

    async def close(self) -> None:
        """Stop reading; the partition stays free until it is claimed."""
        ...


class Log(Protocol):
    """The streams. Created when they do not exist, with the replicas that are configured."""

    @property
    def partitions(self) -> int:
        """How many partitions each partitioned stream has; fixed when the first of them is created."""
        ...

    async def append(self, subject: str, payload: bytes, *, msg_id: str) -> Appended:
        """Store an event durably; answered only after it is.

        Args:
            subject: of a stream that exists.
            payload: the event.
            msg_id: a second event with this id, within the dedup window of its stream, is not stored.

        Raises:
            Unavailable: the log cannot be reached; the event was not stored and will not be.
            OutcomeUnknown: the event was sent and no answer came; it may be stored. Repeat with the same `msg_id`.
            StorageFull: the log has no room for it.
            TooLarge: the log stores no event of that length, or no batch on the bus could carry it.
        """
        ...

    async def get(self, stream: str, seq: int) -> Stored | None:
        """The event at a sequence, or None where the stream holds none; it holds none at 0, before the first."""
        ...

    async def last_seq(self, stream: str) -> int:
        """The sequence of the newest event ever stored, 0 before the first."""
        ...

    async def recall(self, stream: str, seq: int, stored_ns: int) -> None:
        """The stream held an event at this place, stored at this time: notice where it does no more.

        For those who keep how far they came where the log does not.

        Raises:
            Unavailable: it cannot be compared now.
        """
        ...

    def on_reset(self, listener: Callable[[Reset], None]) -> Callable[[], None]:
        """Call `listener` in the event loop each time that a stream was found to have gone back.

        Readers go on by themselves: with what they did not read, and again with what was accepted since, under its
        new `seq`.

        Returns:
            ends it.
        """
        ...

    async def missed_reset(self, stream: str, since: float) -> Reset | None:
        """What listeners of `on_reset` were told of a stream since a time, for one who comes later.

        Args:
            stream: which.
            since: seconds since 1970.

        Returns:
            as one, where the stream went back several times; None where it did not.

        Raises:
            Unavailable: the record of the stream cannot be read now.
        """
        ...

    async def acknowledged(self, stream: str, durable: str) -> int:
        """How far the workers of a durable consumer have come, as it was when this was called or later.

        Args:
            stream: which.
            durable: the consumer; it need not exist yet.

        Returns:
            a sequence up to which they acknowledged every event that the stream holds. Where they have none to
            acknowledge, it is at least the end that the stream had when this was called.
        """
        ...

    async def consume(self, stream: str, durable: str, *, batch: int = 200) -> Consumer:
        """Join the workers of a durable consumer, which is created at the stream's beginning if it is new."""
        ...

    async def tail(self, stream: str, *, after: int) -> Tail:
        """Read a stream from the sequence after `after`, to its end and on."""
        ...

    def read(self, stream: str, *, after: int, upto: int, part: int | None = None) -> AsyncGenerator[Stored]:
        """Read what a stream holds of a closed range, in order, and stop.

        Args:
            stream: which.
            after: read from the sequence after this one.
            upto: the last sequence to read; it need not exist.
            part: only the events of this partition's channels, whether the stream is stored by partition or not.
        """
        ...

    async def claim(self, stream: str, partition: int, owner: str) -> PartitionReader:
        """Become the reader of a partition of a stream; the worker that read it before loses it at once.

        Args:
            stream: one that is partitioned.
            partition: from 0.
            owner: the claiming worker, for those who look at the log from outside.

        Raises:
            PartitionLost: another worker claimed it at the same moment.
        """
        ...

    async def dead_letter(self, stream: str, event: Stored, reason: str) -> None:
        """Keep an event that can never succeed in DEAD, with the reason in the header `Fanout-Reason`.

        An event dead-lettered twice within the dedup window is kept once. Of one that is longer than the log takes
        now, the beginning is kept, and the reason says so.
        """
        ...

    async def ping(self) -> None:
        """Return when the log answers."""
        ...
