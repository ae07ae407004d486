"""The log: streams that hold the accepted events, contract section 4."""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import NamedTuple, Protocol, overload

from fanout._core import Deliveries


class StoredEvent(NamedTuple):
    """An event as the log holds it."""

    seq: int
    """Its position in the log, from 1. Positions also rise when the log goes back, and none is given twice."""
    subject: str
    """The subject under which it was published, `messages.send.{channel_id}`, however the store names it inside."""
    payload: bytes
    delivery: int = 1
    """The number of this delivery of the event to this consumer, from 1."""
    token: str = ""
    """The adapter's own handle for the acknowledgement."""
    stored_ns: int = 0
    """When it was stored, by the log's clock, in nanoseconds since 1970; 0 if that is not known."""


class PartitionEvents(Sequence[StoredEvent]):
    """Events of a partition or a stream, in order. They stay bytes in the core until an event is read as an object.

    Args:
        deliveries: the events.
        published: returns the subject as published, given the subject as stored.
    """

    def __init__(self, deliveries: Deliveries, published: Callable[[str], str] = str) -> None:
        self.deliveries = deliveries
        """The events, as `Engine.route_stored` takes them."""
        self._published = published

    @property
    def last_seq(self) -> int:
        """The sequence of the last one."""
        return self.deliveries.last_seq

    def __len__(self) -> int:
        return len(self.deliveries)

    @overload
    def __getitem__(self, index: int) -> StoredEvent: ...

    @overload
    def __getitem__(self, index: slice) -> list[StoredEvent]: ...

    def __getitem__(self, index: int | slice) -> StoredEvent | list[StoredEvent]:
        places = range(len(self))[index]
        if isinstance(places, range):
            return [self[at] for at in places]
        seq, subject, payload, delivery, token, stored_ns = self.deliveries[places]
        return StoredEvent(seq, self._published(subject), payload, delivery, token, stored_ns)


class Appended(NamedTuple):
    """The log's answer to a publication."""

    seq: int
    duplicate: bool
    """An event with that message id was stored within the dedup window; `seq` is its sequence."""


class Reset(NamedTuple):
    """A stream was found to have gone back: it lost its newest events, was restored, or was created again.

    Events that were accepted since are stored, above every `seq` that was given before.
    """

    stream: str
    survived_ns: int
    """When the newest event was stored that survived, in nanoseconds since 1970; 0 if none did."""


class Numbering(NamedTuple):
    """How the events of a stream are numbered."""

    identity: str
    """Changes each time that the stream goes back or another stream takes its place; no two deployments share one."""
    begins: int
    """The first seq that this numbering gave itself. Events below it have the seq that they had before."""


class Consumer(Protocol):
    """A durable work queue. Its workers share the events; an event is redelivered until a worker acknowledges it."""

    async def fetch(self) -> list[StoredEvent]:
        """Wait for at least one event, and return those that are there, up to the batch size.

        Answer each event by `ack` or `retry`: a live worker may hold unanswered events indefinitely.

        It survives restarts of the server and a deleted consumer. To stop waiting, cancel it.
        """
        ...

    async def ack(self, events: Sequence[StoredEvent]) -> None:
        """The work for these events is done: they are not delivered again. Does not wait for the server."""
        ...

    async def retry(self, events: Sequence[StoredEvent], delay: float) -> None:
        """The work could not be done now: have these events delivered again, after `delay` seconds."""
        ...

    async def close(self) -> None:
        """Stop fetching. Unacknowledged events go to another worker."""
        ...


class Tail(Protocol):
    """One reader's own view of a stream: every event after a point, in order, none twice, never acknowledged."""

    async def fetch(self) -> list[StoredEvent]:
        """Wait for at least one event, and return those that are there, in order. Survives restarts of the server."""
        ...

    async def close(self) -> None:
        """Stop reading."""
        ...


class PartitionReader(Protocol):
    """The one reader of a partition of a stream, in order. Its position is durable, and survives it."""

    partition: int
    epoch: int
    """Rises each time that the partition gets another reader. It may rise in a `fetch`: read it again after each."""
    position: int
    """Every event of the partition up to this sequence was acknowledged before this reader began."""

    async def fetch(self) -> PartitionEvents:
        """Wait for at least one event; in order, none twice.

        Raises:
            PartitionLost: another worker claimed the partition.
        """
        ...

    async def ack(self, seq: int) -> None:
        """Everything up to this sequence is done. The next reader of the partition begins after it."""
        ...

    async def caught_up(self) -> int | None:
        """A sequence up to which the partition holds nothing unacknowledged; None if it may hold something.

        Raises:
            PartitionLost: another worker claimed the partition.
        """
        ...

    async def close(self) -> None:
        """Stop reading; the partition stays free until it is claimed."""
        ...


class Log(Protocol):
    """The streams of `fanout.streams`. Those that do not exist are created, with the configured number of replicas."""

    @property
    def partitions(self) -> int:
        """How many partitions each partitioned stream has; fixed when the first of them is created."""
        ...

    async def append(self, subject: str, payload: bytes, *, msg_id: str) -> Appended:
        """Store an event durably; return only after it is stored.

        Args:
            subject: one of a stream.
            payload: the event.
            msg_id: no second event with this id is stored within the dedup window of the stream.

        Raises:
            Unavailable: the log cannot be reached; the event was not stored and will not be.
            OutcomeUnknown: the event was sent and no answer came; it may be stored. Repeat with the same `msg_id`.
            StorageFull: the log has no room for the event.
            TooLarge: the event is too long for the log, or for a batch on the bus.
        """
        ...

    async def get(self, stream: str, seq: int) -> StoredEvent | None:
        """The event at a sequence, or None if the stream holds none there. There is none at 0."""
        ...

    async def last_seq(self, stream: str) -> int:
        """The sequence of the newest event ever stored, 0 before the first."""
        ...

    async def seq_at(self, stream: str, at_s: float) -> int:
        """The sequence of the newest event that was stored at or before a time.

        If the stream holds none, it is the sequence before its first event, or the stream's end if it holds no event.

        Args:
            stream: which.
            at_s: seconds since 1970, by the log's clock.
        """
        ...

    def numbering(self, stream: str) -> Numbering:
        """How the stream is numbered, as far as this process has noticed."""
        ...

    async def recall(self, stream: str, seq: int, stored_ns: int) -> None:
        """Compare the stream with an event that it held at `seq`, stored at `stored_ns`; notice if it is gone.

        For readers that keep their position in a store of their own.

        Raises:
            Unavailable: the stream cannot be compared now.
        """
        ...

    def on_reset(self, listener: Callable[[Reset], None]) -> Callable[[], None]:
        """Call `listener` in the event loop each time that a stream was found to have gone back.

        Readers continue by themselves. They get the events that they did not read, and again those that were accepted
        since, under their new `seq`.

        Returns:
            a function that ends this.
        """
        ...

    async def missed_reset(self, stream: str, since: float) -> Reset | None:
        """The resets that were reported to listeners of `on_reset` since a time, for a reader that starts later.

        Args:
            stream: which.
            since: seconds since 1970.

        Returns:
            one reset, also if the stream went back several times; None if it did not.

        Raises:
            Unavailable: the record of the stream cannot be read now.
        """
        ...

    async def acknowledged(self, stream: str, durable: str) -> int:
        """How far the workers of a durable consumer have come, at the time of this call or later.

        Args:
            stream: which.
            durable: the consumer; it need not exist yet.

        Returns:
            a sequence up to which they acknowledged every event that the stream holds. If they have none to
            acknowledge, it is at least the end that the stream had at the time of this call.
        """
        ...

    async def consume(self, stream: str, durable: str, *, batch: int = 200) -> Consumer:
        """Join the workers of a durable consumer. A new consumer is created at the stream's beginning."""
        ...

    async def tail(self, stream: str, *, after: int) -> Tail:
        """Follow a stream from the event after the sequence `after`, without end."""
        ...

    def read(self, stream: str, *, after: int, upto: int, part: int | None = None) -> AsyncGenerator[StoredEvent]:
        """Read the events that a stream holds in a range, in order, and stop.

        Args:
            stream: which.
            after: read from the sequence after this one.
            upto: the last sequence to read; it need not exist.
            part: only the events of this partition's channels, whether the stream is stored by partition or not.
        """
        ...

    def pages(self, stream: str, *, after: int, upto: int) -> AsyncGenerator[PartitionEvents]:
        """Read the events that a stream holds in a range, in order, and stop. They stay bytes.

        Args:
            stream: which.
            after: read from the sequence after this one.
            upto: the last sequence that is needed. The last page may have later events, too.
        """
        ...

    async def claim(self, stream: str, partition: int, owner: str) -> PartitionReader:
        """Become the reader of a partition of a stream; the worker that read it before loses it at once.

        Args:
            stream: one that is partitioned.
            partition: from 0.
            owner: the name of the claiming worker, shown to people who inspect the log.

        Raises:
            ValueError: there is no such partition.
            PartitionLost: another worker claimed it at the same moment.
        """
        ...

    async def dead_letter(self, stream: str, event: StoredEvent, reason: str) -> None:
        """Keep an event that can never succeed in DEAD, with the reason in the header `Fanout-Reason`.

        An event dead-lettered twice within the dedup window is kept once. If the event is longer than the log accepts
        now, its beginning is kept, and the reason says so.
        """
        ...

    async def ping(self) -> None:
        """Return when the log answers."""
        ...
