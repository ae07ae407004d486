"""The Rust core: the routing engine, batches, and the bytes of frames.

`tests/fanout/test_stubs.py` compares this file with the compiled module.
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
"""The version of the library; `fanout.__version__` is the same."""

source_digest: str
"""SHA-256 of the Rust sources that this binary was built from."""

@final
class Engine:
    """A routing table (channel -> instances that hold online members of it), and the batches for these instances.

    All calls may be made from any thread. A bulk write locks each part of the table for some microseconds, and other
    calls see it half done; only calls that change the same user wait until it ends. Calls that may take long release
    the GIL. Ids are those of the contract, section 1; any other raises `InvalidId`, which is a `ValueError`. Unknown
    users and channels are no error; the answers are empty.

    An *entry* is a (channel, instance) pair: it exists while the instance holds an online member of the channel.

    Args:
        flush_interval: seconds from the first event of a batch until the batch is due.
        flush_events: number of events after which a batch is due at once.
        cache_users: number of users whose channel lists the membership cache holds; the least recently used go first.
        cache_ttl: seconds after which a cached list is no longer used.
        max_batch: bytes of the longest batch; set it to the limit of one message on the bus; at least 4,096. A batch is
            closed before it grows beyond half of `max_batch`. An event that no batch can hold is refused.

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
        """Make an engine with the table of a file that `snapshot` wrote. The settings are not in the file.

        The whole file is verified before any of it is used. Time that passed since it was written counts for
        `cache_ttl`; if the clock was set back meanwhile, no list is taken as cached. A smaller cache keeps the lists
        that were used last.

        The checksum detects damage and not manipulation: restore only files that nobody else can write.

        Args:
            path: the file.
            flush_interval: as of the constructor.
            flush_events: as of the constructor.
            cache_users: as of the constructor.
            cache_ttl: as of the constructor.
            max_batch: as of the constructor.

        Raises:
            SnapshotRefused: the file is incomplete or damaged, is no snapshot, or has another version.
            OSError: the file cannot be read.
            ValueError: the constructor would refuse a setting.
        """
    @property
    def snapshot_note(self) -> bytes:
        """The note of the snapshot that the engine was restored from; empty for one that was not restored."""
    def snapshot(self, path: str | PathLike[str], note: bytes = b"") -> int:
        """Write the table to a file: the instances, and the users that are online or cached, with their channels.

        The file does not hold batches, lanes and suspended instances. Other calls do not wait for it: the file has each
        user in the state of some moment during the call, and may lack users who came after its beginning. Channels that
        lose their last member meanwhile keep their memory until the call ends. Several calls of one engine run one
        after the other.

        The engine writes a second file in the same folder (`.NAME.{16 hex digits}.part`), which only its owner may
        read, and renames it to `path` when it is complete and on the disk. The next call removes such a file that a
        killed process left. It also removes the file of another process that writes to the same path at the same time;
        the call of that process then fails.

        Args:
            path: the file; an existing file is replaced.
            note: bytes for the caller's own use; `snapshot_note` of a restored engine returns them.

        Returns:
            the size of the file in bytes.

        Raises:
            OSError: it cannot be written; an existing file is unchanged.
            ValueError: the path does not end with a file's name.
        """
    def user_online(self, user: str, instance: str, channels: Iterable[str] | None = None) -> int:
        """Add a user to an instance. Adding a user twice has no further effect.

        Args:
            user: who came online.
            instance: where.
            channels: the user's channels. They replace the list that is known of the user, for every instance, and are
                cached for `cache_ttl`. None: the list is taken from the table, if the user is on another instance, or
                from the membership cache.

        Returns:
            the number of new (channel, instance) entries.

        Raises:
            MembershipUnknown: `channels` is None and neither the table nor the cache holds the user.
            TableFull: the engine has no subscription id left. There are 2^26, one for each user on an instance; an
                instance reserves them by 32. Nothing was changed.
        """
    def user_offline(self, user: str, instance: str) -> int:
        """Remove a user from one instance. Return the number of entries removed. A cached list stays."""
    def drop_instance(self, instance: str) -> int:
        """Evict an instance: remove its users, its undrained batches and its position in each lane.

        Returns:
            the number of users removed.
        """
    def join(self, user: str, channel: str) -> bool:
        """Add a channel to the user's list, in the table and in the cache. Return whether the user is online."""
    def leave(self, user: str, channel: str) -> bool:
        """Remove a channel from the user's list, in the table and in the cache. Return whether the user is online."""
    def forget(self, user: str) -> None:
        """Drop the user's list from the membership cache; the table keeps an online user."""
    def forget_cached(self) -> int:
        """Drop every list from the membership cache and return their number. The table keeps online users.

        A list that is cached during the call may be dropped too.
        """
    def instances(self, channel: str) -> frozenset[str]:
        """The instances that hold online members of the channel."""
    def widths(self, channels: Iterable[str]) -> list[int]:
        """For each channel, the number of instances that hold online members: `len(instances(channel))`.

        Use it for many channels: it looks all of them up in one pass, whose memory accesses overlap.
        """
    def members(self, channel: str) -> dict[str, list[str]]:
        """The channel's online members, sorted, by instance.

        Changes may run during this call, and during `channels` and `users`: an entry that exists during the whole call
        is in the answer, and one that comes or goes meanwhile may be.
        """
    def channels(self, user: str) -> frozenset[str]:
        """The channels of an online user."""
    def membership_count(self, user: str) -> int:
        """The number of channels in the user's list, in the table or the cache; 0 if neither has the user.

        Adding or removing the user costs some 50 ns for each channel.
        """
    def locations(self, user: str) -> frozenset[str]:
        """The instances on which the user is."""
    def is_member(self, user: str, channel: str) -> bool:
        """Whether the user is online and a member of the channel."""
    def users(self, instance: str) -> list[str]:
        """The users on the instance, sorted."""
    def users_page(self, instance: str, after: int | None = None) -> tuple[list[str], int | None]:
        """Up to 256 of the users on the instance, in arbitrary order. A page takes some 0.1 ms, whatever the size.

        Args:
            instance: any.
            after: the second item of the previous page's answer; None for the first page.

        Returns:
            the users, and `after` for the next page; None after the last page.

        A user who is on the instance during all calls is on exactly one page; one who comes or goes may be on one.
        """
    def occupied_instances(self) -> frozenset[str]:
        """The instances that hold a user."""
    def digest(self, instance: str) -> tuple[int, int]:
        """The number of users on the instance, and a 64-bit hash of them that does not depend on their order.

        It equals `presence_digest(engine.users(instance))`; the engine updates it as users come and go.
        """
    def route(self, channel: str, event: bytes, exclude: str | None = None, actor: str | None = None) -> int:
        """Enqueue an ephemeral event for every instance of the channel.

        Args:
            channel: its online members get the event.
            event: one JSON object, as the client will see it; it is validated and never re-encoded.
            exclude: an instance that does not get the event, such as one that has delivered it itself.
            actor: a user whose own connections do not get the event.

        Returns:
            the number of instances for which it was enqueued.

        Raises:
            InvalidEvent: the event is not one JSON object, or is longer than `max_batch` less 1 KiB.
        """
    def route_many(self, events: Sequence[tuple[str, bytes]]) -> int:
        """`route` many (channel, event). All are validated before any is enqueued. Return the number of targets."""
    def route_user(self, user: str, event: bytes) -> int:
        """Enqueue an ephemeral event for every instance that the user is on."""
    def open_lane(self, lane: int, epoch: int, position: int) -> None:
        """Begin to route a lane (one partition of one stream) that another reader has handled up to `position`.

        From now on each event of the lane carries, as `prev`, the seq of the lane's previous event *for the same
        instance*, so that the instance detects a gap. The `prev` of an instance's first event or mark is the position
        of the lane at that time. Opening a lane again begins all of this again.

        Args:
            lane: any number but 0, which is for ephemeral events.
            epoch: how often the lane's reader has changed; instances drop batches of an older epoch.
            position: the seq up to which the lane was handled.

        Raises:
            ValueError: the lane is 0.
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
        """Route stored events of one kind: validate each, make the client's JSON, enqueue it, and advance the lane.

        Calls of other threads that move the lane run before the first of the events or after the last.

        Args:
            kind: "message.new": the payload becomes a part of the client's JSON, see `message_frame`. "member", a
                change of a membership: clients get the stored JSON object unchanged.
            lane: an open lane.
            part: the partition number that clients see, if the kind shows it.
            events: in rising seq: either `Deliveries`, whose subjects end with the channel, or tuples of (seq, channel,
                stored payload). A fourth item names a user whose instances get the event too, whether the user is a
                member of the channel or not.

        Returns:
            (seq, reason) of each event that can never be delivered: it is not of the kind, its channel or user is no
            id, or it is longer than a batch may be. The lane advances past it.

        Raises:
            LookupError: the lane is not open.
            ValueError: a seq does not rise, or the kind is unknown; nothing was enqueued.
        """
    def advance(self, lane: int, seq: int) -> None:
        """Note that everything of the lane up to `seq` was handled, where there was no event to route.

        A seq at or below the lane's position changes nothing.

        Raises:
            LookupError: the lane is not open.
        """
    def mark(self) -> int:
        """Enqueue for every instance the position of each open lane, so that the loss of a last batch is detected.

        Returns:
            the number of instances; 0 if no lane is open.
        """
    def suspend(self, instance: str) -> None:
        """Send an instance no stored events, because the table does not have all its users. It gets ephemeral events.

        After `resume`, the `prev` of its first event in each lane shows the instance that it may have missed events.
        """
    def resume(self, instance: str) -> bool:
        """Send an instance stored events again. Return whether it was suspended."""
    def drain(self, force: bool = False) -> list[tuple[str, bytes]]:
        """Take the batches that are due, or all with `force`: (instance, payload). `decode_batch` reads a payload.

        A batch is closed, and due at once, before it grows beyond half of `max_batch`. A single event that is longer is
        in a batch of its own, no longer than `max_batch`. The batches of one instance are in order.
        """
    @property
    def max_batch(self) -> int:
        """Bytes of the longest batch. Set it when the bus has another limit than before.

        Batches that wait already stay as they are, and may be longer than a new, lower limit.

        Raises:
            ValueError: it is set below 4,096.
        """
    @max_batch.setter
    def max_batch(self, max_batch: int) -> None: ...
    def next_due(self) -> float | None:
        """Seconds until a batch is due: 0 if one is due now, None if no batch has an event."""
    def pending_bytes(self) -> int:
        """Bytes of the batches that wait to be drained, as in `stats`; it takes some microseconds."""
    def stats(self) -> dict[str, int]:
        """Counts, and bytes of memory, by name.

        Counts are users (online), channels (with an entry), instances (with a user), entries, cached_users and
        pending_events (in undrained batches). Counters since the start are routed (targets), flushes (batches) and
        copied_bytes (each payload once when it is routed, each batch once when it is drained).

        Bytes are bytes_ids, bytes_placements, bytes_memberships, bytes_cache and their sum, bytes_total. A membership
        list is held once for the table and the cache, in bytes_memberships; bytes_cache is the memory of the cache
        without the lists. pending_bytes is the size that undrained batches will have; until then they share payloads.
        """

@final
class Hub:
    """The sockets of a notification instance, and the frames that wait to be written to each.

    The hub has an engine of its own, in which each session is an instance that holds the session's user. So the engine
    says which sockets read a channel. A socket has the number of its session there. All frames that wait for a socket
    leave in one write. The sockets of an event are a *round*, and rounds take turns of 32 sockets, so an event of many
    readers does not delay one of few.

    The hub sends frames on the sockets' descriptors itself while the kernel takes all bytes. The *owner*, the Python
    code to which the socket belongs, writes the bytes that the kernel did not take. The owner also decides about each
    frame that is *over budget* whether it still fits. Every frame is over budget while the owner has bytes buffered,
    while there is no descriptor, and before a socket is opened.

    Call the hub from one thread, the thread whose event loop owns the sockets. Other threads may change the engine.

    Args:
        engine: says which session reads which channel; it has no instances but sessions.
    """

    def __new__(cls, engine: Engine) -> Self: ...
    def add(self, session: str, descriptor: int | None, budget: int) -> int:
        """Add a socket. Nothing is written to it before `open`.

        Args:
            session: its id, not in the engine yet. Call `Engine.drop_instance` for it after `remove`, and not before.
            descriptor: the socket's file descriptor, on which the hub sends whole frames until the socket is removed.
                `block` or `remove` the socket before you close the descriptor. None: the owner writes everything.
            budget: bytes that may wait for the client; ephemeral frames may use half of it.

        Returns:
            the socket's number, valid until it is removed.

        Raises:
            InvalidId: the session is no id.
            ValueError: the session has a socket already.
        """

    def remove(self, socket: int) -> None:
        """Forget a socket and the frames that wait for it. Removing it twice has no further effect."""

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
            channel: its readers get the frame.
            frame: one WebSocket frame, the same bytes for all.
            ephemeral: whether the frame may use only half of a socket's budget.
            without: sockets that do not get it.
            also: sockets that get it whether they read the channel or not, once.

        Returns:
            the sockets for which it was not queued, because it is over budget there. The caller decides, and calls
            `push` for those where it fits.

        Raises:
            InvalidId: the channel is no id.
        """

    def receive(
        self, inbound: InboundBatch, progress: LaneProgress, most: int
    ) -> tuple[BatchEvent | None, list[int], int, int]:
        """Queue the events of a batch for the readers of their channels, up to one that needs more than that.

        A call continues where the last one stopped. It stops at the end of the batch; when more than `most` frames
        wait; after a record that is over budget for some sockets; and at a record that the caller has to handle: one
        that is behind a gap, names a user, or belongs to a lane that is unknown or not plain.

        Args:
            inbound: the batch.
            progress: the lane progress of this instance; plain lanes are advanced.
            most: the number of frames that may wait, see `frames`.

        Returns:
            the record at which it stopped, if it did; the sockets for which this record is over budget, none if it was
            not handled; the number of events that were skipped because they had been delivered; and the number of
            records that were skipped because this version does not know their kind.

        Raises:
            ValueError: the rest of the batch cannot be read.
        """

    def push(self, socket: int, frame: bytes) -> bool:
        """Queue a frame for one socket, whatever its budget. Return False if there is no such socket."""

    def waiting(self, socket: int) -> int:
        """Bytes that wait in the hub for a socket."""

    @property
    def frames(self) -> int:
        """Frames that wait for open sockets; a frame that waits for two sockets counts twice."""

    def open(self, socket: int, first: bytes) -> None:
        """Write `first` to a socket, then everything that waits, and from now on every frame. Call it once."""

    def block(self, socket: int, blocked: bool) -> None:
        """Let the owner write everything for a socket, or let the hub write again.

        Block a socket as soon as the owner has bytes buffered, or the connection begins to close.
        """

    def mute(self, socket: int) -> None:
        """Queue no more frames for a socket as a reader of channels, before its session is out of the engine.

        Frames that wait or are pushed are still written. Removing the session from the engine takes longer: do it in a
        thread.
        """

    def flush(self, most: int) -> tuple[int, list[tuple[int, bytes]], bool]:
        """Write the frames that wait, to at most `most` sockets. A long write releases the GIL.

        Returns:
            the number of frames that no longer wait; (socket, bytes) that the owner has to write now, which may begin
            within a frame; and whether more sockets wait for their turn.
        """

    def flush_one(self, socket: int) -> tuple[int, list[tuple[int, bytes]], bool]:
        """`flush` one socket at once."""

@final
class InboundBatch:
    """A batch of `Engine.drain` at the instance that receives it, and the position up to which it was delivered.

    Raises:
        ValueError: the batch has another version.
    """

    def __new__(cls, payload: bytes) -> Self: ...
    def __len__(self) -> int: ...
    @property
    def is_done(self) -> bool:
        """Whether all of it was delivered."""

    def newest(self, lane: int, progress: LaneProgress) -> tuple[int, bool]:
        """Scan the part that was not delivered: the highest seq of a lane, 0 if none, and whether all was scanned.

        Scanning stops at the first record of a lane that is not plain (a membership event or its mark) that was not
        applied yet; then the second item is False.
        """

@final
class LaneProgress:
    """Up to which seq of each lane an instance has delivered everything."""

    def __new__(cls) -> Self: ...
    def advance(self, lane: int, upto: int, *, plain: bool) -> None:
        """Note that everything of a lane up to `upto` was delivered, or concerns nobody here. A lane never goes back.

        Args:
            lane: its number; an unknown lane becomes known.
            upto: a seq.
            plain: whether the lane's events are for the readers of their channels and change nothing else. The first
                call for a lane decides.
        """

    def upto(self, lane: int) -> int | None:
        """The seq up to which everything of a lane was delivered; None if the lane is not known."""

    def is_repeat(self, event: bytes) -> bool:
        """Whether this event's message was delivered before, under another seq. This call notes it as delivered.

        The last 65,536 messages are remembered.
        """

    def lanes(self) -> list[int]:
        """The numbers of the known lanes, rising."""

    def check(self, record: BatchEvent) -> Literal["next", "gap", "stale"]:
        """Compare a record of a batch with the progress of its lane.

        An epoch above all that were checked makes records of older epochs stale.

        Returns:
            "next": deliver it; "gap": first read the missing events from the log; "stale": drop it.

        Raises:
            LookupError: the lane is not known.
        """

@final
class Deliveries:
    """Several stored events in the order in which a log delivered them, in one block of memory.

    Indexing gives (seq, stored subject, payload, number of the delivery from 1, reply subject, time at which it was
    stored in nanoseconds since 1970). The last three are 1, empty and 0 for events of `of` and `after`.
    """

    @staticmethod
    def of(events: Sequence[tuple[int, str, bytes]]) -> Deliveries:
        """Make it from events that no server delivered: (seq, subject, payload) each."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> tuple[int, str, bytes, int, str, int]: ...
    def reply(self, index: int) -> str:
        """The reply subject of an event, to which its acknowledgement is published."""

    @property
    def last_seq(self) -> int:
        """The seq of the last event, 0 if there is none."""

    @property
    def last_time(self) -> int:
        """The time at which the last event was stored, in nanoseconds since 1970; 0 if it is not known."""

    @property
    def pending(self) -> int:
        """The number of events that still waited for the consumer when the server sent the last event."""

    def count_upto(self, seq: int) -> int:
        """The number of events whose seq is at most `seq`; the seqs must rise."""

    def after(self, start: int) -> Deliveries:
        """The events from an index on, without their reply subjects."""

@final
class DeliveryBuffer:
    """The deliveries of a JetStream consumer that wait to be fetched; a `Splitter` fills it.

    Args:
        batch: the most that `take` returns at a time.
        ordered: stop at a missing delivery, and at an event that was delivered before; see `error`.
    """

    def __new__(cls, batch: int, *, ordered: bool = False) -> Self: ...
    def attach(self, consumer: str, lifts: list[tuple[int, int]] = []) -> None:
        """Accept the deliveries of this consumer, beginning with its first, and of no other.

        Args:
            consumer: its name.
            lifts: (first sequence, number that is added to it and to all sequences after it); `take` returns events
                with these seqs.
        """

    def pause(self) -> None:
        """Accept no deliveries until `attach` is called again."""

    def clear(self) -> None:
        """Drop the deliveries that were not taken."""

    def take(self) -> Deliveries | None:
        """Remove and return the deliveries that wait, up to `batch`; None if there are none."""

    def __len__(self) -> int: ...
    @property
    def bytes(self) -> int:
        """Bytes of the payloads that wait."""

    @property
    def order(self) -> int:
        """The number of the consumer's last delivery that was accepted."""

    @property
    def error(self) -> str | None:
        """The reason why deliveries are no longer accepted; None while they are."""

    @property
    def received(self) -> int:
        """The number of deliveries that came from all consumers to which it was attached, accepted or not."""

    def replies(self) -> list[str]:
        """The reply subject of each delivery that waits."""

@final
class Splitter:
    """Divides the bytes that a NATS server sends on one connection between delivery buffers and the client library.

    An operation that is incomplete waits for its end. After malformed bytes everything goes to the library, until
    `reset`.
    """

    def __new__(cls) -> Self: ...
    def take(self, sid: int, buffer: DeliveryBuffer) -> None:
        """Put a subscription's deliveries into a delivery buffer. Its other messages still go to the library."""

    def leave(self, sid: int) -> None:
        """Let a subscription's deliveries go to the library again."""

    def reset(self) -> None:
        """Begin with a new connection, and drop an incomplete operation of the last one."""

    def feed(self, data: bytes) -> tuple[bytes, list[int]]:
        """Handle bytes from the server.

        Returns:
            the complete operations for the library, and the subscriptions whose delivery buffers got a delivery.
        """

@final
class BatchEvent:
    """One event or mark of a batch."""

    kind: str | None
    """None for a record of a newer version, which is skipped. A stored one has its lane, epoch, prev and seq; all other
    fields are empty."""
    lane: int
    """0 for an ephemeral event."""
    epoch: int
    prev: int
    """The seq of the lane's previous event for this instance."""
    seq: int
    """0 for an ephemeral event. For a mark: everything up to here that concerns the instance was sent."""
    channel: str | None
    """None for an event to a user, and for a mark."""
    user: str | None
    """For an event to a user: the user. For a channel's ephemeral event: the user whose own connections do not get it.
    For a stored event: a user who gets it, member of the channel or not."""
    event: bytes
    """The JSON object; empty for a mark and for an unknown kind."""
    frame: bytes
    """`event` as one unmasked, final WebSocket text frame, RFC 6455 section 5.2; empty for a mark."""

def decode_batch(payload: bytes) -> list[BatchEvent]:
    """Read the payload of a batch that `Engine.drain` returned.

    Raises:
        ValueError: the bytes are incomplete, no batch, or a batch of another version.
    """

def check_event(event: bytes) -> None:
    """Check an event as `Engine.route` does.

    Raises:
        InvalidEvent: the event is not one JSON object, or too long for the bus (over 1 MiB less 1 KiB).
    """

def message_frame(seq: int, part: int, channel: str, payload: bytes) -> bytes:
    """The `message.new` object for a stored message event, as `Engine.route_stored` enqueues it.

    It refuses JSON that some client cannot read: a field named twice, containers nested deeper than 128, a number
    beyond 64 bits, a surrogate without its other half. It refuses a message of more than 1 MiB less 1,280 bytes.
    Whether a payload is refused does not depend on `seq` and `part`.

    Raises:
        InvalidEvent: the payload is no message event of that channel; the text has the reason.
    """

def text_frame(event: bytes) -> bytes:
    """An unmasked, final WebSocket text frame around `event`."""

def partition_of(channel: str, partitions: int) -> int:
    """The partition of a channel: 32-bit FNV-1a modulo `partitions`, as nats-server computes `{{partition(n,1)}}`."""

def presence_digest(users: Iterable[str]) -> tuple[int, int]:
    """The count and hash that `Engine.digest` returns for an instance with these users, each counted once."""
