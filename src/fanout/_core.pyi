"""The Rust core: the routing engine, batches, and the bytes of frames.

Held against the compiled module by `tests/fanout/test_stubs.py`.
"""

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Literal, Self, final

__all__ = [
    "BatchEvent",
    "Deliveries",
    "DeliveryBuffer",
    "Engine",
    "Hub",
    "InboundBatch",
    "LaneProgress",
    "Splitter",
    "__version__",
    "check_event",
    "decode_batch",
    "message_frame",
    "partition_of",
    "presence_digest",
    "source_digest",
    "text_frame",
]

__version__: str
"""Of the library, as `fanout.__version__` gives it."""

source_digest: str
"""SHA-256 of the Rust sources that this binary was built from."""

@final
class Engine:
    """A routing table and its outgoing batches: channel -> instances that hold online readers.

    All calls may be made from any thread. Nobody waits for a whole bulk write, except who changes the same user: it
    keeps each part of the table for some microseconds, and others see it half done. What may take long releases
    the GIL. Ids are those of the contract, section 1; any other raises `InvalidId`, which is a `ValueError`. Unknown
    users and channels are normal and give empty answers.

    An *entry* is a (channel, instance) pair: it is there while the instance holds an online member of the channel.

    Args:
        flush_interval: seconds after its first event that an instance's batch is due.
        flush_events: events after which a batch is due at once.
        cache_users: how many users' channel lists the membership cache holds, least recently used first out.
        cache_ttl: seconds after which a cached list is no longer used.
        max_batch: bytes of the longest batch, as many as one message of the bus may have; at least 4,096. A batch is
            closed before it passes half of it, and an event that no batch can hold is refused.

    Raises:
        ValueError: a negative or non-finite time, a count of zero where one is needed, or a `max_batch` too small.
    """

    def __new__(
        cls,
        flush_interval: float = 0.001,
        flush_events: int = 100,
        cache_users: int = 50_000,
        cache_ttl: float = 300.0,
        max_batch: int = 1_048_576,
    ) -> Self: ...
    @staticmethod
    def restore(
        path: str | PathLike[str],
        flush_interval: float = 0.001,
        flush_events: int = 100,
        cache_users: int = 50_000,
        cache_ttl: float = 300.0,
        max_batch: int = 1_048_576,
    ) -> Engine:
        """An engine with what a file of `snapshot` holds, and settings of its own.

        The whole file is verified before any of it is used. Time that passed since it was written counts for
        `cache_ttl`; if the clock was set back meanwhile, no list counts as cached. A smaller cache keeps what was used
        last.

        The checksum tells of damage, not of malice: restore files that only you can write.

        Args:
            path: the file.
            flush_interval: as of the constructor.
            flush_events: as of the constructor.
            cache_users: as of the constructor.
            cache_ttl: as of the constructor.
            max_batch: as of the constructor.

        Raises:
            SnapshotRefused: the file is cut, changed, no snapshot, or one of another version.
            OSError: it cannot be read.
            ValueError: a setting that the constructor would refuse.
        """
    @property
    def snapshot_note(self) -> bytes:
        """The note of the snapshot that the engine was restored from; empty for one that was not restored."""
    def snapshot(self, path: str | PathLike[str], note: bytes = b"") -> int:
        """Write the table to a file: the instances, and the users that are online or cached, with their channels.

        It does not hold batches, lanes and suspended instances. Others go on meanwhile, and nobody waits for the file:
        each user is in it as at some time during the call, or is missing if the user came after its beginning. Channels
        that are let go of meanwhile keep their memory until it ends. Of several calls for one engine each waits for
        the one before.

        The file is written under another name in the same folder (`.NAME.{16 hex digits}.part`), which only its owner
        may read, and takes its place when it is whole and on the disk. What a killed process left there is removed by
        the next call, and so is what another process is writing to the same path, whose call fails then.

        Args:
            path: the file; one that is there is replaced.
            note: what `snapshot_note` of a restored engine is to say.

        Returns:
            how many bytes the file has.

        Raises:
            OSError: it cannot be written; what was there before is still there.
            ValueError: the path ends with no name.
        """
    def user_online(self, user: str, instance: str, channels: Iterable[str] | None = None) -> int:
        """Place a user on an instance. Twice is once.

        Given channels replace what was known of the user on every instance, and are cached from now on for
        `cache_ttl`; None takes them from the user's placement elsewhere or the membership cache.

        Returns:
            how many (channel, instance) entries are new.

        Raises:
            MembershipUnknown: `channels` is None and neither the table nor the cache holds the user.
            TableFull: the engine has no number for one more user on an instance; it has 2^26 of them, which belong to
                instances by 32 as long as these have a user. Nothing was changed.
        """
    def user_offline(self, user: str, instance: str) -> int:
        """Take a user off one instance; the number of (channel, instance) entries evicted. A cached list stays."""
    def drop_instance(self, instance: str) -> int:
        """Evict an instance whole, with its undelivered batches and its place in each lane.

        Returns:
            the number of users evicted.
        """
    def join(self, user: str, channel: str) -> bool:
        """A user became a member. Keeps the cached list true. Returns whether the user is online."""
    def leave(self, user: str, channel: str) -> bool:
        """A user is a member no more. Keeps the cached list true. Returns whether the user is online."""
    def forget(self, user: str) -> None:
        """Drop the user's list from the membership cache; an online user stays placed."""
    def forget_cached(self) -> int:
        """Drop every list from the membership cache; online users stay placed. How many there were.

        A list that is cached meanwhile may be among them.
        """
    def instances(self, channel: str) -> frozenset[str]:
        """The instances that hold online members of the channel."""
    def widths(self, channels: Iterable[str]) -> list[int]:
        """On how many instances each channel has online members: `len(instances(channel))` for each.

        Looked up in one pass, whose memory accesses overlap: the call for many channels.
        """
    def members(self, channel: str) -> dict[str, list[str]]:
        """The channel's online members, sorted, by instance.

        This and the other long answers, `channels` and `users`, are gathered beside the writer: what was there all
        the while is in them, and what came or went meanwhile may be.
        """
    def channels(self, user: str) -> frozenset[str]:
        """The channels of an online user."""
    def membership_count(self, user: str) -> int:
        """How many channels the table or the membership cache has of a user; 0 of one whom neither knows.

        What it costs to bring the user online from the cache, or offline: some 50 ns for each.
        """
    def locations(self, user: str) -> frozenset[str]:
        """The instances on which the user is."""
    def is_member(self, user: str, channel: str) -> bool:
        """Whether the user is online and a member of the channel."""
    def users(self, instance: str) -> list[str]:
        """The users on the instance, sorted."""
    def users_page(self, instance: str, after: int | None = None) -> tuple[list[str], int | None]:
        """Up to 256 of the users on the instance, in no order that means anything: some 0.1 ms, whatever the size.

        Args:
            instance: any.
            after: what the page before gave; None for the first page.

        Returns:
            the users, and what the next page is asked for with; None behind the last one.

        Who was on the instance all the while is on one page, and who came or went meanwhile may be.
        """
    def occupied_instances(self) -> frozenset[str]:
        """The instances that hold a user."""
    def digest(self, instance: str) -> tuple[int, int]:
        """How many users the instance holds, and a 64-bit hash of them that does not depend on order.

        Equal to `presence_digest(engine.users(instance))`, but kept up as users come and go.
        """
    def route(self, channel: str, event: bytes, exclude: str | None = None, actor: str | None = None) -> int:
        """Enqueue an ephemeral event for every instance of the channel.

        Args:
            channel: whose readers get it.
            event: one JSON object, as the client will see it; it is validated and never re-encoded.
            exclude: an instance that gets none (the origin, which delivers it itself).
            actor: a user whose own connections the receiving instance must leave out.

        Returns:
            the number of instances it was enqueued for.

        Raises:
            InvalidEvent: the event is not one JSON object, or too long for the bus (over `max_batch` less 1 KiB).
        """
    def route_many(self, events: Sequence[tuple[str, bytes]]) -> int:
        """`route` for a batch; all are validated before any is enqueued. The number of targets in all."""
    def route_user(self, user: str, event: bytes) -> int:
        """Enqueue an ephemeral event for every instance that the user is on."""
    def open_lane(self, lane: int, epoch: int, position: int) -> None:
        """Begin to route a lane (one partition of one stream) that was handled elsewhere up to `position`.

        From here on each event of the lane tells its receiver the sequence of the one before it *for that receiver*,
        so that a receiver sees a gap. A receiver's chain starts where the lane stands when it is first told of it,
        by an event or a mark. A lane opened again starts new chains.

        Raises:
            ValueError: the lane is 0, which is for ephemeral events.
        """
    def close_lane(self, lane: int) -> None:
        """Stop routing a lane. Unknown lanes are fine."""
    def route_stored(
        self,
        kind: str,
        lane: int,
        part: int,
        events: Deliveries | Sequence[tuple[int, str, bytes] | tuple[int, str, bytes, str | None]],
    ) -> list[tuple[int, str]]:
        """Route stored events of one kind: validate each, make what clients get, enqueue; advance the lane.

        Other threads that move a lane do so before the first of the events, or after the last.

        Args:
            kind: what the events are. A "message.new" is wrapped by splicing, see `message_frame`; a "member", a change
                of a membership, is one JSON object and goes to clients as it is stored.
            lane: an open lane.
            part: the partition number shown to clients, where the kind shows it.
            events: in rising seq; as a log delivered them, the last token of the subject being the channel, or as
                (seq, channel, payload as stored), with a fourth item for a user whose instances get the event too,
                member of the channel or not.

        Returns:
            (seq, reason) of each event that can never be delivered: it is none of its kind, its channel or user is no
            id, or it is longer than a batch may be. The lane advances past it.

        Raises:
            LookupError: the lane is not open.
            ValueError: a seq does not rise, or the kind is not known; nothing was enqueued.
        """
    def advance(self, lane: int, seq: int) -> None:
        """Say that everything of the lane up to `seq` was handled, though nothing was there to route.

        A seq that was passed before changes nothing.

        Raises:
            LookupError: the lane is not open.
        """
    def mark(self) -> int:
        """Enqueue for every instance how far each open lane has come, so that a lost last batch shows.

        Returns:
            the number of instances; 0 where no lane is open.
        """
    def suspend(self, instance: str) -> None:
        """Send an instance nothing of any lane, because the table does not have all its users. Ephemeral events go on.

        Its chains start again at `resume`, which tells it that it may have missed everything before.
        """
    def resume(self, instance: str) -> bool:
        """Send an instance stored events again; whether it was suspended."""
    def drain(self, force: bool = False) -> list[tuple[str, bytes]]:
        """Take the batches that are due, or all with `force`: (instance, payload). Decode with `decode_batch`.

        A batch is closed, and due at once, before it passes half of `max_batch`. The batches of one instance are in
        order, and only an event that is longer by itself makes a longer one, which is no longer than `max_batch`.
        """
    @property
    def max_batch(self) -> int:
        """Bytes of the longest batch. May be set when the bus takes longer or shorter messages than before.

        What waits already is not cut again, and may be longer than a limit that was lowered.

        Raises:
            ValueError: it is set below 4,096.
        """
    @max_batch.setter
    def max_batch(self, max_batch: int) -> None: ...
    def next_due(self) -> float | None:
        """Seconds until a batch is due (0 when one is), None when all are empty."""
    def pending_bytes(self) -> int:
        """Bytes of the batches that wait to be drained, as `stats` has them, at the cost of some microseconds."""
    def stats(self) -> dict[str, int]:
        """Counts and bytes held, by name.

        Counts are users, channels, instances, entries, cached_users, pending_events, pending_bytes, routed (targets
        so far), flushes (batches so far) and copied_bytes (so far: each event's payload once when it is routed, and
        each batch once when it is drained). Bytes are bytes_ids, bytes_placements, bytes_memberships, bytes_cache and
        their sum, bytes_total; batches that wait are pending_bytes, as long as they will be: they share the payloads of
        their events until they are drained.

        Users are those online, channels those with an entry, instances those with a user. A list is held once for
        the table and the cache, under bytes_memberships; bytes_cache is what the cache takes beside the lists.
        """

@final
class Hub:
    """The sockets of a notification instance, and what waits to be written to each.

    Which of them read a channel an engine says: there, each session is an instance on which its user is. A socket has
    the number that its session has there. All that waits for a socket leaves in one write; events take turns, so that
    one of many readers holds up one of few for 32 writes, and not for all of its own.

    Frames are sent on the sockets' descriptors, past whoever owns them, while everything is taken at once. The owner
    is asked to write what is left over, and to decide for each frame that is *over budget* whether it still fits. Every
    frame is over budget where something is buffered, where there is no descriptor, and before a socket is opened.

    Call it from one thread, the one whose event loop owns the sockets; the engine may be changed by others meanwhile.

    Args:
        engine: the table of who reads what; nothing but sessions are its instances.
    """

    def __new__(cls, engine: Engine) -> Self: ...
    def add(self, session: str, descriptor: int | None, budget: int) -> int:
        """Take a socket in. Nothing is written to it before `open`.

        Args:
            session: not in the engine yet. `drop_instance` it there after `remove`, and not before.
            descriptor: of the socket, acquired to send whole frames on it until the socket is removed; None for none.
                `block` or `remove` the socket before the descriptor is closed.
            budget: bytes that may wait for the reader; ephemeral frames may use half of it.

        Returns:
            the socket's number, until it is removed.

        Raises:
            InvalidId: the session is no id.
            ValueError: the session has a socket.
        """

    def remove(self, socket: int) -> None:
        """Forget a socket and what waits for it. Twice is once."""

    def deliver(
        self,
        channel: str,
        frame: bytes,
        *,
        ephemeral: bool = False,
        without: Sequence[int] = (),
        also: Sequence[int] = (),
    ) -> list[int]:
        """Queue a frame for the readers of a channel.

        Args:
            channel: which.
            frame: one WebSocket frame, the same bytes for all.
            ephemeral: it may use half of a socket's budget.
            without: sockets that do not get it.
            also: sockets that get it in any case, once.

        Returns:
            the sockets that it was not queued for and because it is over budget, or because
            the owner writes: the caller decides, and `push`es it where it fits.

        Raises:
            InvalidId: the channel is no id.
        """

    def receive(
        self, inbound: InboundBatch, progress: LaneProgress, most: int
    ) -> tuple[BatchEvent | None, list[int], int, int]:
        """Queue the events of a batch for the readers of their channels, as far as that is all they need.

        It goes on where the last call stopped: at the end; when more than `most` frames wait; after a record that some
        sockets are over budget for; and at one that the caller has to see to itself: what is behind a gap, of a
        lane that is not plain or not known, or names a user.

        Args:
            inbound: the batch.
            progress: how far each lane has come; plain lanes are moved on.
            most: see `frames`.

        Returns:
            the record that it stopped at, if it did; the sockets that it is over budget for, or none where nothing was
            done with it; how many events were passed over because they had been delivered; and how many records were
            stepped over because this version does not know what they are.

        Raises:
            ValueError: what is left of the batch cannot be read.
        """

    def push(self, socket: int, frame: bytes) -> bool:
        """Queue a frame for one socket, whatever waits for it already. False where there is no such socket."""

    def waiting(self, socket: int) -> int:
        """Bytes that wait here for a socket."""

    @property
    def frames(self) -> int:
        """Frames that wait for open sockets, each counted for each."""

    def open(self, socket: int, first: bytes) -> None:
        """Let `first` be written to a socket, and then whatever waits and comes. To be called once."""

    def block(self, socket: int, blocked: bool) -> None:
        """Begin or cease to leave everything for a socket to its owner.

        To be called as soon as the owner has bytes buffered, or the connection begins to end.
        """

    def mute(self, socket: int) -> None:
        """Queue nothing more for a socket as a reader of channels, however many its session reads in the engine.

        What waits is written, and what is pushed. To take the session out of the engine takes longer: use a thread.
        """

    def flush(self, most: int) -> tuple[int, list[tuple[int, bytes]], bool]:
        """Write what waits to at most so many sockets, without the GIL where it is much.

        Returns:
            how many frames do not wait here any more; what the owner of each socket has to write now, frames that were
            begun included; and whether more sockets wait for their turn.
        """

    def flush_one(self, socket: int) -> tuple[int, list[tuple[int, bytes]], bool]:
        """`flush` for one socket, out of turn."""

@final
class InboundBatch:
    """A batch of `Engine.drain` that is being delivered, and how far that has come.

    Raises:
        ValueError: it is of another version.
    """

    def __new__(cls, payload: bytes) -> Self: ...
    def __len__(self) -> int: ...
    @property
    def is_done(self) -> bool:
        """Whether all of it was delivered."""

    def newest(self, lane: int, progress: LaneProgress) -> tuple[int, bool]:
        """The highest seq of a lane in what was not delivered, 0 where there is none.

        It looks no further than the first record that is news of a lane that is not plain, a mark included; the second
        half says whether there is none.
        """

@final
class LaneProgress:
    """How far each lane has come at an instance."""

    def __new__(cls) -> Self: ...
    def advance(self, lane: int, upto: int, *, plain: bool) -> None:
        """Everything of a lane up to `upto` was delivered, or concerns nobody here. A lane never moves back.

        Args:
            lane: known or not.
            upto: a seq.
            plain: whether the lane's events are for the readers of their channels and nothing else; the first word
                counts.
        """

    def upto(self, lane: int) -> int | None:
        """Up to where everything of a lane was delivered; None where it is not known."""

    def is_repeat(self, event: bytes) -> bool:
        """Whether the message of this event was delivered before, under another seq; from now on it was.

        The last 65,536 messages are remembered.
        """

    def lanes(self) -> list[int]:
        """The lanes that are known, rising."""

    def check(self, record: BatchEvent) -> Literal["next", "gap", "stale"]:
        """What is to be done with a record of a lane: deliver it; first what is between; nothing.

        An epoch above any that was checked ends those below it.

        Raises:
            LookupError: the lane is not known.
        """

@final
class Deliveries:
    """A batch of stored events in the order in which a log delivered them, in one piece of memory.

    Indexing gives (seq, subject as stored, payload, which delivery of the event this is from 1, where it is answered,
    when it was stored in nanoseconds since 1970). The last three are 1, empty and 0 for events of `of` and `after`.
    """

    @staticmethod
    def of(events: Sequence[tuple[int, str, bytes]]) -> Deliveries:
        """A batch of events that no server delivered: (seq, subject, payload) each."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> tuple[int, str, bytes, int, str, int]: ...
    def reply(self, index: int) -> str:
        """Where one of them is answered."""

    @property
    def last_seq(self) -> int:
        """The seq of the last one, 0 where there is none."""

    @property
    def last_time(self) -> int:
        """When the last one was stored, in nanoseconds since 1970; 0 where that is not known."""

    @property
    def pending(self) -> int:
        """Events for the consumer that followed the last one when it was sent."""

    def count_upto(self, seq: int) -> int:
        """How many are not above `seq`, where seqs rise."""

    def after(self, start: int) -> Deliveries:
        """Those from an index on, which cannot be answered."""

@final
class DeliveryBuffer:
    """Where the deliveries of a JetStream consumer wait to be fetched; a `Splitter` fills it.

    Args:
        batch: how many are taken out at most at a time.
        ordered: take nothing in behind a delivery that is missing, or of an event that was delivered before.
    """

    def __new__(cls, batch: int, *, ordered: bool = False) -> Self: ...
    def attach(self, consumer: str, lifts: list[tuple[int, int]] = []) -> None:
        """Take in what a consumer delivers from now on, beginning with its first, and nothing of another.

        Args:
            consumer: its name.
            lifts: (first sequence, what is added to it and to all that follow); events are handed out with lifted seqs.
        """

    def pause(self) -> None:
        """Take in nothing until `attach` is called again."""

    def clear(self) -> None:
        """Forget what was not taken out."""

    def take(self) -> Deliveries | None:
        """Take out what is there, up to the batch size; None where there is nothing."""

    def __len__(self) -> int: ...
    @property
    def bytes(self) -> int:
        """Bytes of the payloads that wait."""

    @property
    def order(self) -> int:
        """The number of the consumer's last delivery that was taken in."""

    @property
    def error(self) -> str | None:
        """Why nothing more is taken in; None where it is."""

    @property
    def received(self) -> int:
        """How many deliveries of the consumers to which it was attached have come in all, kept or not."""

    def replies(self) -> list[str]:
        """Where each of those that wait is answered."""

@final
class Splitter:
    """Parts what a NATS server sends on one connection between delivery buffers and the client library.

    An operation whose end has not come waits for it. After something malformed all is the library's, until `reset`.
    """

    def __new__(cls) -> Self: ...
    def take(self, sid: int, buffer: DeliveryBuffer) -> None:
        """Give a subscription's deliveries to a delivery buffer from now on. Its other messages stay the library's."""

    def leave(self, sid: int) -> None:
        """Give a subscription's deliveries to the library again."""

    def reset(self) -> None:
        """The connection is a new one: what was begun has no end."""

    def feed(self, data: bytes) -> tuple[bytes, list[int]]:
        """Take in what the server sent.

        Returns:
            the operations that are the library's, each whole; the subscriptions whose delivery buffers got something.
        """

@final
class BatchEvent:
    """One event or mark of a batch."""

    kind: str | None
    """None for a record of a newer version that is stepped over: if it is stored it has its place in its lane, and all
    the rest is empty."""
    lane: int
    """0 for an ephemeral event."""
    epoch: int
    prev: int
    """The seq before this one in this lane for this instance."""
    seq: int
    """0 for an ephemeral event. For a mark: everything up to here that concerns the instance was sent."""
    channel: str | None
    """None for an event to a user, and for a mark."""
    user: str | None
    """For a user's event: to whom. For a channel's ephemeral event: whose own connections to leave out. For a
    stored event: a user who gets it beside the channel's readers."""
    event: bytes
    """The JSON object; empty for a mark, and for what is not known."""
    frame: bytes
    """`event` as one unmasked, final WebSocket text frame, RFC 6455 section 5.2; empty for a mark."""

def decode_batch(payload: bytes) -> list[BatchEvent]:
    """Read what `Engine.drain` made.

    Raises:
        ValueError: the bytes are cut, foreign, or of another version.
    """

def check_event(event: bytes) -> None:
    """Refuse an event that no call of the engine would route.

    Raises:
        InvalidEvent: the event is not one JSON object, or too long for the bus (over 1 MiB less 1 KiB).
    """

def message_frame(seq: int, part: int, channel: str, payload: bytes) -> bytes:
    """The `message.new` object for a stored message event: what `Engine.route_stored` would enqueue.

    Refused is also what some reader could not take: a field named twice, containers nested deeper than 128, a number
    beyond 64 bits, a surrogate without its other half, a message of more than 1 MiB less 1,280 bytes. The verdict does
    not depend on `seq` and `part`.

    Raises:
        InvalidEvent: the payload is no message event of that channel; the text says why.
    """

def text_frame(event: bytes) -> bytes:
    """An unmasked, final WebSocket text frame around `event`."""

def partition_of(channel: str, partitions: int) -> int:
    """The partition of a channel: 32-bit FNV-1a modulo `partitions`, as nats-server's `{{partition(n,1)}}` has it."""

def presence_digest(users: Iterable[str]) -> tuple[int, int]:
    """The count and hash that `Engine.digest` gives for an instance with these users, each counted once."""
