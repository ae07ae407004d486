"""The Rust core: the routing engine, batches, and the bytes of frames.

`tests/fanout/test_stubs.py` compares this file with the compiled module.
"""

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Literal, Self, TypeAlias, final

from typing_extensions import Buffer

__all__ = [
    "BatchEvent",
    "Deliveries",
    "DeliveryBuffer",
    "Engine",
    "Hub",
    "InboundBatch",
    "LaneProgress",
    "LogCache",
    "ManualClock",
    "Splitter",
    "__version__",
    "check_event",
    "client_event",
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

_BytesLike: TypeAlias = Buffer
"""The bytes of an event, a frame or a batch: `bytes`, or any other object with a buffer, such as `bytearray`,
`memoryview`, `array.array` or `mmap`, whatever the format of its items. `bytes` are used in place; the bytes of the
others, as `bytes(memoryview(x))` has them, are copied once, when the call begins."""

@final
class Engine:
    """A routing table, and the batches that wait to be sent: which instances hold online members of each channel.

    An *instance* is whatever receives batches, usually a process with client connections. Tell the engine which users
    are on which instance (`user_online`, `user_offline`) and of which channels they are members (`join`, `leave`).
    Route events (`route`, `route_stored`), and send to each instance the batches that `drain` returns. The receiver
    reads a batch with `decode_batch`, or with `InboundBatch` and a `Hub`.

    An *ephemeral* event is sent once and may be lost. A *stored* event has a position (`seq`) in a log, and belongs to
    a *lane*, one ordered part of the log: the receiver sees from its batches when a stored event was lost.

    Ids (of users, channels, instances) are strings of 1 to 128 characters of `A-Z a-z 0-9 _ -`. Each call raises
    `InvalidId`, a `ValueError`, for any other string, and `TypeError` for a value of another type. The error names the
    argument, the position in a list (`channels[3]`), and the start of the value. An unknown user, channel or instance
    is no error: the answer is empty, 0 or False. Events may be any bytes-like object: `bytes`, `bytearray`,
    `memoryview`, `array.array` and whatever else has a buffer.

    A list that becomes longer or shorter while a call reads it, by another thread or by an item's own code, is a
    `RuntimeError`; the call changed nothing.

    An *entry* is a (channel, instance) pair. It exists while the instance holds an online member of the channel.

    Threads: every method may be called from any thread. A change of a user waits for a change of the same user that is
    in progress. No call waits for another user's change: a long one locks each part of the table for some
    microseconds, and other calls may see it half done.

    The GIL: a call that is known to take some microseconds keeps it. These release it: `restore`, `snapshot`,
    `drop_instance`, `forget_cached`, `members`, `users`, `occupied_instances`, `mark`, `stats`, and the opening and
    closing of lanes; changes of a user with more than 64 channels, or whom another thread changes at that time;
    `widths` of more than 64 channels; routing more than 8 stored events or `route_many` events at a time, or more than
    16 KiB; and `drain` when more than 16 KiB wait. No call keeps the GIL for more than about a millisecond.

    After a call has released the GIL, a Python thread that computes without pause gives it back only after
    `sys.getswitchinterval()`, 5 ms by default. So with such a thread beside it a call of 1 ms takes 6 ms. A login with
    100,000 channels, which releases the GIL twice, takes some 10 ms longer. Avoid such threads in the
    process, or shorten the wait with `sys.setswitchinterval(0.0005)`, at the cost of more switches.

    Args:
        flush_interval: seconds from the first event of a batch until the batch is due.
        flush_events: number of events with which a batch is due at once; at least 1.
        cache_users: number of users whose channel lists the membership cache keeps after they went offline. The least
            recently used is dropped first.
        cache_ttl: seconds after which a cached list is no longer used.
        max_batch: bytes of the longest batch, the longest message that your transport carries; from 4,096 to 2^30. A
            batch is closed before it passes half of that. An event that no batch can hold is refused.
        clock: what `flush_interval`, `cache_ttl`, `next_due` and the age of a snapshot are measured by; None: the
            machine's clocks.
        seed: determines the keys of the table's hashes, from 0 to 2^64 - 1. With the same seed, the same calls, one
            after the other, give the same answers and files, the order in `users_page` included. None: random keys.
            Take those where ids come from strangers: who knows the keys can choose ids that make the table slow.

    Raises:
        ValueError: a time is negative or not finite, `flush_events` is 0, or `max_batch` is out of its range.
    """

    def __new__(
        cls,
        flush_interval: float = 0.001,
        flush_events: int = 100,
        cache_users: int = 50_000,
        cache_ttl: float = 300.0,
        max_batch: int = 1_048_576,
        clock: ManualClock | None = None,
        seed: int | None = None,
    ) -> Self: ...
    @staticmethod
    def restore(
        path: str | PathLike[str],
        flush_interval: float = 0.001,
        flush_events: int = 100,
        cache_users: int = 50_000,
        cache_ttl: float = 300.0,
        max_batch: int = 1_048_576,
        clock: ManualClock | None = None,
        seed: int | None = None,
    ) -> Engine:
        """Make an engine from a file that `snapshot` wrote. The settings are not in the file: give them here.

        The whole file is verified before any of it is used. The time since the file was written counts for
        `cache_ttl`; if the clock was set back since then, no list counts as cached. A smaller cache keeps the lists
        that were used last.

        The checksum detects damage, not malice: restore only files that nobody else can write.

        Args:
            path: the file.
            flush_interval: seconds, as in the constructor.
            flush_events: as in the constructor.
            cache_users: as in the constructor.
            cache_ttl: seconds, as in the constructor.
            max_batch: bytes, as in the constructor.
            clock: as in the constructor.
            seed: as in the constructor. The file does not depend on it.

        Returns:
            a new engine, without batches, lanes and suspended instances.

        Raises:
            SnapshotRefused: the file is cut, changed, no snapshot, or a snapshot of another version.
            OSError: the file cannot be read.
            ValueError: a setting that the constructor refuses too.
        """
    @property
    def snapshot_note(self) -> bytes:
        """The note of the snapshot that this engine was restored from; empty if it was not restored."""
    def snapshot(self, path: str | PathLike[str], note: _BytesLike = b"") -> int:
        """Write the table to a file: the instances, and the users that are online or cached, with their channels.

        The file does not hold batches, lanes and suspended instances. Other threads may use the engine during the call
        and do not wait for it. The file has each user as the user was at some time during the call; a user who comes
        online during the call may be missing. Memory of channels that lose their last member is freed only when the
        call ends. A second call for the same engine waits for the first.

        The file is written under another name in the same folder (`.NAME.{16 hex digits}.part`), readable by its owner
        only, and is renamed when it is complete and on the disk. The next call removes such a file that a killed
        process left. Let one process at a time write to a path: a call removes the unfinished file of the other, which
        then fails.

        Args:
            path: the file. An existing one is replaced.
            note: any bytes of yours, for example the position in your log. A restored engine has them as
                `snapshot_note`.

        Returns:
            the length of the file in bytes.

        Raises:
            OSError: the file cannot be written. The file that was there before is still there.
            ValueError: the path does not end with a name.
        """
    def user_online(self, user: str, instance: str, channels: Iterable[str] | bytes | None = None) -> int:
        """Note that a user is on an instance. A repeated call changes nothing.

        Args:
            user: an id.
            instance: an id. The instance need not be known.
            channels: ids of the channels of which the user is a member; duplicates are allowed. They replace the
                user's list on every instance and in the cache. They may be packed: `bytes`, with a space between the
                ids, as `packed_channels` returns them; empty for no channels. A long packed list is read without the
                GIL, and the garbage collector has no strings to walk through. None: take the list that the engine has,
                because the user is on another instance or is cached.

        Returns:
            the number of (channel, instance) entries that are new.

        Raises:
            InvalidId: an id is none; nothing was changed.
            MembershipUnknown: `channels` is None, and the engine has no list of the user. Call again with the channels.
            TableFull: the engine has no number left for one more user on an instance. It has 2^26 numbers; an instance
                takes them 32 at a time, and gives those back when it has no user. Nothing was changed.
        """
    def user_offline(self, user: str, instance: str) -> int:
        """Note that a user is no longer on an instance. The user's list stays in the membership cache.

        Returns:
            the number of (channel, instance) entries that are gone; 0 if the user was not there.
        """
    def drop_instance(self, instance: str) -> int:
        """Remove an instance: its users, its batches that were not drained, and its position in each lane.

        Returns:
            the number of users that were on it.
        """
    def join(self, user: str, channel: str) -> bool:
        """Note that a user became a member of a channel. Repeating it changes nothing.

        A list that is cached is changed too. Of a user without a list in the engine nothing is noted.

        Returns:
            whether the user is online.
        """
    def leave(self, user: str, channel: str) -> bool:
        """Note that a user is no longer a member of a channel. Repeating it changes nothing.

        A list that is cached is changed too.

        Returns:
            whether the user is online.
        """
    def forget(self, user: str) -> None:
        """Remove the user's list from the membership cache. A user who is online stays online."""
    def forget_cached(self) -> int:
        """Remove every list from the membership cache. Users who are online stay online.

        A list that another thread adds during the call may be removed too.

        Returns:
            the number of lists that were removed.
        """
    def instances(self, channel: str) -> frozenset[str]:
        """The ids of the instances that hold online members of the channel."""
    def widths(self, channels: Iterable[str]) -> list[int]:
        """For each channel, on how many instances it has online members: `len(instances(channel))`.

        For many channels this is much faster than one call for each, because the memory accesses overlap.

        Args:
            channels: ids.

        Returns:
            one number for each channel, in the same order.
        """
    def members(self, channel: str) -> dict[str, list[str]]:
        """The ids of the channel's online members, sorted, by the id of their instance.

        Other threads may change the table during the call. A member who was online from its beginning to its end is in
        the answer; one who came or went during the call may be in it. The same holds for `channels` and `users`.
        """
    def channels(self, user: str) -> frozenset[str]:
        """The ids of the channels of an online user; empty for a user who is not online."""
    def packed_channels(self, user: str) -> bytes:
        """The ids of the channels of an online user, with a space between them; empty for a user who is not online.

        Other threads run while the ids of a long list are packed. A set of so many strings would be made in one go.
        """
    def membership_count(self, user: str) -> int:
        """The number of channels in the user's list, whether the user is online or cached; 0 without a list.

        It predicts the cost of bringing the user online from the cache, or offline: about 50 ns for each channel.
        """
    def locations(self, user: str) -> frozenset[str]:
        """The ids of the instances on which the user is."""
    def is_member(self, user: str, channel: str) -> bool:
        """Whether the user is online and a member of the channel."""
    def users(self, instance: str) -> list[str]:
        """The ids of the users on the instance, sorted."""
    def users_page(self, instance: str, after: int | None = None) -> tuple[list[str], int | None]:
        """Up to 256 of the users on the instance, in no particular order. Takes about 0.1 ms on any instance.

        A user who is on the instance from the first page to the last is on exactly one page. A user who comes or goes
        in between may be on one.

        Args:
            instance: an id.
            after: the number that came with the page before; None for the first page.

        Returns:
            the users, and the number for the next call; None with the last page.
        """
    def occupied_instances(self) -> frozenset[str]:
        """The ids of the instances that hold at least one user."""
    def digest(self, instance: str) -> tuple[int, int]:
        """The number of users on the instance, and a 64-bit hash of their ids that does not depend on the order.

        Equal to `presence_digest(engine.users(instance))`, but always up to date, so that the call costs a
        microsecond. Two parties compare digests to find out whether they know the same users.
        """
    def route(self, channel: str, event: _BytesLike, exclude: str | None = None, actor: str | None = None) -> int:
        """Add an ephemeral event to the batch of every instance that holds online members of the channel.

        Args:
            channel: id of the channel.
            event: one JSON object in UTF-8, as clients will see it. It is validated and passed on unchanged.
            exclude: id of an instance that does not get it, such as the origin, which delivers it itself.
            actor: id of a user whose own connections are to be left out. The receiver finds it as `BatchEvent.user`,
                and is obliged to do so.

        Returns:
            the number of instances that will get it.

        Raises:
            InvalidId: `channel`, `exclude` or `actor` is no id.
            InvalidEvent: the event is not one JSON object, or is longer than `max_batch` less 1 KiB.
        """
    def route_many(self, events: Sequence[tuple[str, _BytesLike]]) -> int:
        """`route` for several events. All are validated first: after an error none was added.

        Args:
            events: (channel, event) of each, as for `route`.

        Returns:
            the sum of the numbers of instances that will get each event.

        Raises:
            InvalidId: a channel is no id.
            InvalidEvent: an event is not one JSON object, or is longer than `max_batch` less 1 KiB.
        """
    def route_user(self, user: str, event: _BytesLike) -> int:
        """Add an ephemeral event for one user to the batch of every instance that the user is on.

        Args:
            user: id of the user. The receiver finds it as `BatchEvent.user`, with the channel None.
            event: one JSON object in UTF-8.

        Returns:
            the number of instances that will get it.

        Raises:
            InvalidId: `user` is no id.
            InvalidEvent: the event is not one JSON object, or is longer than `max_batch` less 1 KiB.
        """
    def open_lane(self, lane: int, epoch: int, position: int) -> None:
        """Begin to route a lane: one ordered part of a log, such as one partition of one stream.

        Each stored event of the lane carries the `seq` of the lane's event before it *for that receiver*, as
        `BatchEvent.prev`. So a receiver sees when an event was lost. For the first event or mark that an instance gets
        of the lane, `prev` is the position of the lane at that time. A lane that is opened again begins as if new.

        Args:
            lane: a number of your choice from 1 to 2^32 - 1, the same at the receivers.
            epoch: rises each time that another process takes the lane over. Receivers drop what comes later from a
                process with a lower epoch.
            position: the `seq` up to which all events of the lane were routed before.

        Raises:
            ValueError: `lane` is 0, which is for ephemeral events.
        """
    def close_lane(self, lane: int) -> None:
        """Stop routing a lane. For a lane that is not open this does nothing."""
    def route_stored(
        self,
        kind: str,
        lane: int,
        part: int,
        events: Deliveries | Sequence[tuple[int, str, _BytesLike] | tuple[int, str, _BytesLike, str | None]],
    ) -> list[tuple[int, str]]:
        """Route stored events of one kind: validate each, add it to the batches of its instances, advance the lane.

        The stored format of a "message.new" is one JSON object in UTF-8:

            {"event_id": "evt_...", "type": "message.new", "channel_id": "general",
             "message": {"message_id": "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV", "channel_id": "general",
                         "sender_id": "alice", "text": "Hello", "sent_at": "2026-02-01T10:00:00.000Z"}}

        All of these fields must be there. All are strings but `message`. `message_id` is `msg_` and a ULID in capitals.
        Both `channel_id` name the channel that the event is routed to. Optional: `correlation_id` beside `event_id`; in
        the message `thread_id` (an id), `also_send_to_channel` (true or false), `client_msg_id` (a string), `mentions`
        (an array of strings) and `attachments` (an array). Further fields are allowed. Clients get `{"type":
        "message.new", "seq", "part", "channel_id", "message"}` or, where the message has a `thread_id` and
        `also_send_to_channel` is not true, `{"type": "thread.reply", "seq", "part", "channel_id", "thread_id",
        "message"}`, with the bytes of `message` unchanged; `message_frame` returns it, and says what is refused.

        The stored format of a "member", a change of a membership, and of a "receipt.read", a read receipt, is any one
        JSON object. Clients get it unchanged.
        `client_event` returns what clients get, for an event of any kind.

        While the call runs, other threads' calls for any lane wait.

        Args:
            kind: "message.new" or "member".
            lane: an open lane.
            part: a number that clients get with each message, such as the partition.
            events: (seq, channel, payload as stored) of each, in rising order of `seq`. A fourth item is the id of a
                user whose instances get the event too, whether the user is a member of the channel or not; None for
                nobody. The event has to name this user as well, for receivers that read it from the log. Or
                `Deliveries` of a log: the channel is the last token of the subject.

        Returns:
            (seq, reason) of each event that can never be delivered: it is not an event of its kind, its channel or
            user is no id, or it is longer than a batch may be. The lane advances past it. Keep such events aside, for a
            person to look at.

        Raises:
            LookupError: the lane is not open; nothing was added.
            ValueError: a `seq` is not above the one before it, or the kind is not known; nothing was added.
        """
    def advance(self, lane: int, seq: int) -> None:
        """Note that the lane was handled up to `seq`, for events that are not to be routed.

        A `seq` that is not above the lane's position changes nothing.

        Raises:
            LookupError: the lane is not open.
        """
    def mark(self) -> int:
        """Add to the batch of every instance a mark for each open lane, which says up to which `seq` it was routed.

        Call it periodically, for example every second: without it a receiver notices the loss of a lane's last event
        only when the next one comes.

        Returns:
            the number of instances; 0 if no lane is open.
        """
    def suspend(self, instance: str) -> None:
        """Send an instance no stored events and no marks, because the table does not have all its users yet.

        Ephemeral events go on. After `resume`, `prev` of the first event of each lane is the lane's position then. If
        the instance has delivered less than that, it sees a gap, and reads from the log what it missed.
        """
    def resume(self, instance: str) -> bool:
        """Send an instance stored events and marks again.

        Returns:
            whether it was suspended.
        """
    def drain(self, force: bool = False) -> list[tuple[str, bytes]]:
        """Take the batches that are due out of the engine. Send each to its instance, in this order.

        A batch is closed, and due at once, before it passes half of `max_batch`. A single event that is longer makes a
        batch of its own, which is no longer than `max_batch`.

        Args:
            force: take all batches, also those that are not due.

        Returns:
            (instance, batch) of each. The batches of one instance are in order. The format is internal: the receiver
            reads it with `decode_batch` or `InboundBatch` of the same version of this library.
        """
    @property
    def max_batch(self) -> int:
        """Bytes of the longest batch. Set it when your transport's longest message changes.

        Batches that wait already are not cut again, and may be longer than a limit that was lowered.

        Raises:
            ValueError: it is set below 4,096 or above 2^30.
        """
    @max_batch.setter
    def max_batch(self, max_batch: int) -> None: ...
    def next_due(self) -> float | None:
        """Seconds until the next batch is due, 0 if one is due now, None if no event waits."""
    def pending_bytes(self) -> int:
        """Bytes of the batches that wait to be drained, as in `stats`, in a microsecond."""
    def stats(self) -> dict[str, int]:
        """Counts and bytes of memory, by name.

        Counts now: `users` (online), `channels` (with an entry), `instances` (with a user), `entries`, `cached_users`,
        `pending_events` and `pending_bytes` (of the batches that wait; until they are drained, batches share the
        memory of their events, so they take less).

        Counts since the beginning: `routed` (an event counts once for each instance), `flushes` (batches drained),
        `copied_bytes` (each event once when it is routed, each batch once when it is drained).

        Bytes of memory: `bytes_ids` (names), `bytes_placements` (which user is on which instance, which channel on
        which), `bytes_memberships` (the lists of online and cached users), `bytes_cache` (the cache without its lists),
        and their sum, `bytes_total`.
        """

@final
class ManualClock:
    """The clocks of engines in a simulation or a test: they stand still until they are set. Engines may share one.

    Args:
        monotonic_ns: nanoseconds since an origin of your choice.
        unix_ns: nanoseconds since 1970. Snapshots have their age by them.

    Raises:
        ValueError: a number is negative or above 2^64 - 1.
    """

    def __new__(cls, monotonic_ns: int = 0, unix_ns: int = 0) -> Self: ...
    def set(self, monotonic_ns: int, unix_ns: int) -> None:
        """Set the clocks.

        Args:
            monotonic_ns: nanoseconds since the same origin, at least those that it was set to before.
            unix_ns: nanoseconds since 1970. They may go back, as those of a machine's clock that is set.

        Raises:
            ValueError: `monotonic_ns` goes back, or a number is negative or above 2^64 - 1; nothing was changed.
        """

@final
class Hub:
    """Queues WebSocket frames for the sockets of one process, and writes them with few system calls.

    It takes each session (one client's connection) as an instance of an engine of its own: in that engine, the user of
    the session is online on the instance that has the session's id. So the engine says which sockets get an event of a
    channel. Everything that waits for a socket leaves in one write. Sockets take turns, so that an event for many
    sockets delays one for few sockets by at most 32 writes.

    The hub writes to a socket's descriptor only while the kernel takes everything at once. The *owner* of the socket,
    your event loop's transport, writes what is left over. A frame is *over budget* for a socket if more bytes would
    wait than its budget allows, if the owner has bytes buffered (see `block`), if there is no descriptor, or before the
    socket is opened. The hub does not queue such a frame; it returns the socket, and the owner decides: `push` the
    frame or drop it.

    Call a hub from one thread, that of the event loop that owns the sockets. Other threads may change the engine.

    Args:
        engine: an engine whose instances are sessions only.
    """

    def __new__(cls, engine: Engine) -> Self: ...
    def add(self, session: str, descriptor: int | None, budget: int) -> int:
        """Add a socket. Nothing is written to it before `open`.

        Args:
            session: id of the session. It must not be an instance of the engine yet. Call `drop_instance` for it only
                after `remove`.
            descriptor: file descriptor of the connected, non-blocking socket; None to leave all writing to the owner.
                Call `block` or `remove` before you close it.
            budget: bytes that may wait for the socket. Ephemeral frames may use half of it.

        Returns:
            the socket's number. It is valid until `remove`.

        Raises:
            InvalidId: `session` is no id.
            ValueError: the session has a socket already.
        """
    def remove(self, socket: int) -> None:
        """Remove a socket with everything that waits for it. For an unknown number this does nothing."""
    def deliver(
        self,
        channel: str,
        frame: _BytesLike,
        *,
        seq: int = 0,
        ephemeral: bool = False,
        without: Sequence[int] = (),
        also: Sequence[int] = (),
    ) -> list[int]:
        """Queue a frame for the sockets of a channel's members.

        Args:
            channel: id of the channel.
            frame: one WebSocket frame, such as `BatchEvent.frame` or what `text_frame` returns.
            seq: place in the log of a message; 0 for every other event. A socket that catches up gets messages from the
                log.
            ephemeral: whether it may use only half of each socket's budget.
            without: numbers of sockets that do not get it.
            also: numbers of sockets that get it too, members or not. None gets it twice.

        Returns:
            the sockets for which the frame is over budget, so that it was not queued. Decide for each: `push` or drop.

        Raises:
            InvalidId: `channel` is no id.
        """
    def receive(
        self, inbound: InboundBatch, progress: LaneProgress, most: int
    ) -> tuple[BatchEvent | None, list[int], int, int]:
        """Queue the events of a batch for the sockets of their channels, until one needs the caller.

        Each call continues where the one before stopped. It stops at the end of the batch; when more than `most`
        frames wait; at an event that is over budget for some sockets; and at an event that the caller has to handle:
        one with a gap before it, of a lane that is not plain or not known, or one that names a user. The next call
        continues after that event.

        Args:
            inbound: the batch.
            progress: how far each lane has come. The call moves it on for events of plain lanes, and
                for marks.
            most: number of frames, as `frames` counts them.

        Returns:
            four values. The event at which it stopped, or None. The sockets for which that event is over budget; if the
            list is empty, the event was not handled at all. The number of events that were dropped because they had
            been delivered before. The number of events that were skipped because this version does not know their kind.

        Raises:
            ValueError: the rest of the batch cannot be read.
        """
    def push(self, socket: int, frame: _BytesLike) -> bool:
        """Queue a frame for one socket, whatever its budget.

        Returns:
            False if there is no such socket.
        """
    def catch_up(self, socket: int, most_aside: int) -> None:
        """Let a socket get older messages first: you read them from the log and `push` them.

        Until `go_live`, live messages are left out, because you come to them in the log. Other live frames are set
        aside.

        Args:
            socket: its number.
            most_aside: bytes of frames that may be set aside. Ephemeral frames may use half of them.
        """
    def hold(self, socket: int) -> None:
        """Set live messages aside too, for a socket that catches up.

        Read the log to its end then, and call `go_live`.
        """
    def is_holding(self, socket: int) -> bool:
        """Whether no live message was left out since the last `hold`.

        If one was, because it found no room, read the log on from where you are, and `hold` again.
        """
    def set_aside(self, socket: int, frame: _BytesLike, *, ephemeral: bool = False) -> bool:
        """Set a frame of your own aside for a socket that catches up.

        Returns:
            False if the socket does not catch up, so that you have to queue the frame.
        """
    def go_live(self, socket: int, floor: int, end: _BytesLike | None = None) -> tuple[int, int]:
        """End the catching up: queue `end`, then what was set aside, and from now on everything that comes.

        Args:
            socket: its number.
            floor: messages up to this `seq` are left out, those that were set aside and those to come: the socket has
                them, or does not need them.
            end: a frame that ends what the socket got from the log; None for none.

        Returns:
            the numbers of ephemeral and of other frames that found no room and are missing.
        """
    def waiting(self, socket: int) -> int:
        """Bytes that wait in the hub for a socket."""
    @property
    def frames(self) -> int:
        """Number of frames that wait for opened sockets. A frame for ten sockets counts ten times."""
    def open(self, socket: int, first: _BytesLike) -> None:
        """Begin to write to a socket: `first`, then what waits, then what comes. Call it once for each socket.

        Args:
            socket: its number.
            first: one frame, for example the answer to the client's authentication.
        """
    def block(self, socket: int, blocked: bool) -> None:
        """Leave all writing for a socket to its owner, or take it back.

        Call it with True as soon as the owner has bytes buffered or begins to close the connection: frames that the hub
        wrote then would overtake the buffered bytes. Call it with False when the buffer is empty.
        """
    def mute(self, socket: int) -> None:
        """Queue no more frames of channels for a socket. What waits is still written, and `push` still works.

        This takes effect at once, while removing a session with many channels from the engine takes longer.
        """
    def flush(self, most: int) -> tuple[int, list[tuple[int, bytes]], bool]:
        """Write what waits to at most `most` sockets. Call it until nothing waits. It never blocks.

        It releases the GIL if more than 16 frames wait.

        Returns:
            three values. The number of frames that no longer wait. (socket, bytes) that the owner has to write now,
            where the kernel did not take everything; the bytes may begin inside a frame. Whether more sockets wait.
        """
    def flush_one(self, socket: int) -> tuple[int, list[tuple[int, bytes]], bool]:
        """Write what waits for one socket, before its turn. Returns the same as `flush`."""

@final
class InboundBatch:
    """A batch of `Engine.drain` at its receiver, with the position up to which it was delivered.

    Pass it to `Hub.receive` until `is_done`. `len` is the length of the batch in bytes. To read a batch without a hub,
    use `decode_batch`.

    Args:
        payload: the bytes as `Engine.drain` returned them.

    Raises:
        ValueError: the bytes are not a batch of this version.
    """

    def __new__(cls, payload: _BytesLike) -> Self: ...
    def __len__(self) -> int: ...
    @property
    def is_done(self) -> bool:
        """Whether everything in it was delivered."""
    def newest(self, lane: int, progress: LaneProgress) -> tuple[int, bool]:
        """The highest `seq` of a lane in the part that was not delivered yet. Nothing is delivered by the call.

        While a gap is repaired, this says up to where the log has to be read: later events are in the batch.

        Scanning stops before the first undelivered event or mark of a lane that is not plain.

        Returns:
            the `seq`, 0 if there is none; and whether the whole rest was scanned.
        """

@final
class LaneProgress:
    """How far the events of each lane were delivered at a receiver. It finds gaps and repeats.

    For each event of `decode_batch` with a lane: make the lane known once with `advance`; `check` the event; repair a
    gap from your log; deliver; `advance` to the event's `seq`.
    """

    def __new__(cls) -> Self: ...
    def advance(self, lane: int, upto: int, *, plain: bool) -> None:
        """Note that everything of a lane up to a `seq` was delivered here, or concerns nobody here.

        A lane never moves back. The first call for a lane makes it known: give the position from which on this
        receiver needs the events.

        Args:
            lane: its number.
            upto: a `seq`.
            plain: whether `Hub.receive` may deliver the lane's events by itself, because they are for the members of
                their channels and nothing else is to be done. Only the first call for a lane decides.
        """
    def upto(self, lane: int) -> int | None:
        """The `seq` up to which everything of a lane was delivered; None if the lane is not known."""
    def is_repeat(self, event: _BytesLike) -> bool:
        """Whether an event with the same message was seen by an earlier call, under any `seq`. Remembers it.

        A log that went back, after a restored backup for example, delivers events again under new numbers. They are
        recognised by the bytes of their message. The last 65,536 messages are remembered.

        Args:
            event: a "message.new" or "thread.reply" as clients get it, such as `BatchEvent.event`.
        """
    def lanes(self) -> list[int]:
        """The numbers of the known lanes, rising."""
    def check(self, record: BatchEvent) -> Literal["next", "gap", "stale"]:
        """Find out what to do with an event or mark of a lane.

        An epoch above all that were checked before makes later events of lower epochs stale.

        Args:
            record: an event whose `lane` is not 0.

        Returns:
            "next": deliver it. "gap": first deliver the events above `upto(lane)` and up to `record.prev` from the log.
            "stale": do nothing, it was delivered or comes from a process that lost the lane.

        Raises:
            LookupError: the lane is not known; see `advance`.
        """

@final
class Deliveries:
    """Stored events in the order in which a log delivered them, in one block of memory.

    `deliveries[index]` is (seq, subject, payload, attempt, reply subject, time). `attempt` counts the deliveries of the
    event from 1; the reply subject is where NATS expects the acknowledgement; `time` is when the event was stored, in
    nanoseconds since 1970, or 0. `attempt` and the reply subject are 1 and "" for events of `of` and `after`.
    """

    @staticmethod
    def of(events: Sequence[tuple[int, str, _BytesLike] | tuple[int, str, _BytesLike, int]]) -> Deliveries:
        """Deliveries from events that no NATS server sent.

        Args:
            events: (seq, subject, payload) or (seq, subject, payload, time) of each. The last token of the subject,
                behind the last dot, is the channel.
        """
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> tuple[int, str, bytes, int, str, int]: ...
    def reply(self, index: int) -> str:
        """The reply subject of one of them: where NATS expects its acknowledgement."""
    @property
    def last_seq(self) -> int:
        """The `seq` of the last event, 0 if there is none."""
    @property
    def last_time(self) -> int:
        """When the last event was stored, in nanoseconds since 1970; 0 if that is not known."""
    @property
    def pending(self) -> int:
        """Number of events that still waited for the consumer when the last event was sent."""
    def count_upto(self, seq: int) -> int:
        """The number of events whose `seq` is at most this one. The events must be in rising order of `seq`."""
    def after(self, start: int) -> Deliveries:
        """The events from an index on, without their reply subjects: they cannot be acknowledged."""

@final
class LogCache:
    """Holds the newest messages of a log as frames, and finds those that a client lacks.

    All clients that come back at the same time are served from one reading of the log. For each: read what is `missing`
    between the client's point and the end of the log, and `add` it; then `push` what `next` returns to the client's
    socket, until `next` has come to the end.

    Frames take a bounded amount of memory: those that were used longest ago are dropped, and have to be read again. So
    that messages can be counted, what is known of them stays until `forget`.

    Args:
        engine: has the channels of the users whose clients are served.
        partitions: of the log.
        most_bytes: of all frames, apart from those used last.

    Raises:
        ValueError: `partitions` is 0.
    """

    def __new__(cls, engine: Engine, partitions: int, most_bytes: int) -> Self: ...
    def missing(self, after: int, upto: int, *, with_frames: bool = False) -> tuple[int, int] | None:
        """The next range of the log to read, so that the cache has all messages between two `seq`.

        Args:
            after: the `seq` before the first that is needed.
            upto: the last one.
            with_frames: whether frames are needed too that were dropped.

        Returns:
            (after, upto) of the range, which is part of that or a little longer; None if nothing is missing.
        """
    def add(self, after: int, upto: int, events: Deliveries) -> int:
        """Add messages that were read: all that the log has in a range of `missing`, or in the next part of it.

        It releases the GIL.

        Args:
            after: the `seq` before the range.
            upto: the last `seq` of the range.
            events: what was read. Events outside the range are ignored.

        Returns:
            the number of events that are no messages, and that no client gets.
        """
    def count(self, user: str, points: Sequence[int], upto: int, spans: Sequence[tuple[str, int, int]] = ()) -> int:
        """The number of messages in the cache that a client lacks.

        Args:
            user: of the client. The engine says which channels are this user's.
            points: for each partition, the `seq` up to which the client has everything.
            upto: later messages do not count.
            spans: (channel, from, until) in nanoseconds since 1970: when the user was a member of the channels that are
                named. Messages of these channels that were stored at other times are not for the client.

        Raises:
            InvalidId: `user` is no id.
        """
    def next(
        self,
        user: str,
        points: Sequence[int],
        after: int,
        upto: int,
        most: int,
        spans: Sequence[tuple[str, int, int]] = (),
    ) -> tuple[bytes, int, int]:
        """The frames of the next messages that a client lacks, in the order of the log.

        Args:
            user: as for `count`.
            points: as for `count`.
            after: the `seq` to which the call before has come; at first the lowest of the points.
            upto: the last `seq`.
            most: bytes. One frame may be longer.
            spans: as for `count`.

        Returns:
            the frames, one behind the other; the `seq` to which they bring the client; and how many they are. If there
            are none and that is not `upto`, the next frame is `missing`.

        Raises:
            InvalidId: `user` is no id.
        """
    def time_upto(self, seq: int) -> int | None:
        """When the newest message up to a `seq` was stored, in nanoseconds since 1970; None if it is not known here."""
    def forget(self, upto: int) -> None:
        """Forget messages up to a `seq`, apart from some that are neighbours of later ones."""
    def clear(self) -> None:
        """Forget everything, because the log has numbered its messages again."""
    @property
    def bytes(self) -> int:
        """Bytes of the frames."""

@final
class DeliveryBuffer:
    """Holds the deliveries of a JetStream consumer until they are taken. A `Splitter` fills it.

    `len` is the number of deliveries that wait.

    Args:
        batch: the most deliveries that `take` returns.
        ordered: after a delivery is missing, or an event comes a second time, accept nothing more and set `error`.
    """

    def __new__(cls, batch: int, *, ordered: bool = False) -> Self: ...
    def attach(self, consumer: str, lifts: Sequence[tuple[int, int]] = []) -> None:
        """Accept what a consumer delivers from now on, from its first delivery, and nothing of other consumers.

        Args:
            consumer: its name in JetStream.
            lifts: (first sequence of the stream, number added to it and to all later ones). The deliveries have the
                sums as `seq`, so that `seq` goes on rising after a stream began again at 1.
        """
    def pause(self) -> None:
        """Accept nothing until `attach` is called again."""
    def clear(self) -> None:
        """Drop the deliveries that wait."""
    def take(self) -> Deliveries | None:
        """Take the deliveries that wait, at most `batch`; None if none waits."""
    def __len__(self) -> int: ...
    @property
    def bytes(self) -> int:
        """Bytes of the payloads that wait."""
    @property
    def order(self) -> int:
        """The number, within the consumer, of the last delivery that was accepted."""
    @property
    def error(self) -> str | None:
        """Why nothing more is accepted; None if there is no error."""
    @property
    def received(self) -> int:
        """The number of deliveries that have come from the attached consumers since the beginning, accepted or not."""
    def replies(self) -> list[str]:
        """The reply subject of each delivery that waits."""

@final
class Splitter:
    """Splits what a NATS server sends on one connection: deliveries go to buffers, the rest to the client library.

    An operation of the protocol that is not complete waits for its end. After malformed bytes everything goes to the
    library, until `reset`.
    """

    def __new__(cls) -> Self: ...
    def take(self, sid: int, buffer: DeliveryBuffer) -> None:
        """Put a subscription's deliveries into a buffer from now on. Its other messages still go to the library.

        Args:
            sid: the subscription's id on this connection.
            buffer: an attached buffer.
        """
    def leave(self, sid: int) -> None:
        """Let a subscription's deliveries go to the library again."""
    def reset(self) -> None:
        """Forget an incomplete operation: the connection is a new one."""
    def feed(self, data: _BytesLike) -> tuple[bytes, list[int]]:
        """Split the next bytes from the server.

        Returns:
            the complete operations that are for the library; the ids of the subscriptions whose buffers got deliveries.
        """

@final
class BatchEvent:
    """One event of a batch, or a mark: an entry without an event that says how far a lane was routed."""

    kind: str | None
    """"ephemeral", "mark", or the kind of a stored event: "message.new" or "member". None for a kind that this version
    does not know: the entry keeps its place in its lane, and everything else of it is empty. Skip it."""
    lane: int
    """The lane of a stored event or mark; 0 for an ephemeral event."""
    epoch: int
    """The epoch with which the sender opened the lane; 0 for an ephemeral event."""
    prev: int
    """The `seq` of the event before this one in this lane for this instance; 0 for an ephemeral event."""
    seq: int
    """The event's position in its log; 0 for an ephemeral event. Of a mark: everything of the lane up to here that
    concerns this instance was sent."""
    channel: str | None
    """The channel whose members get it; None for an event to a user, and for a mark."""
    user: str | None
    """For an event without a channel: the user who gets it. For a channel's ephemeral event: the user whose own
    connections do not get it. For a stored event: a user who gets it in addition to the channel's members."""
    event: bytes
    """The JSON object for clients; empty for a mark and for an unknown kind."""
    frame: bytes
    """`event` as one unmasked, final WebSocket text frame (RFC 6455, section 5.2), ready for a socket; empty for a mark
    and for an unknown kind."""

def decode_batch(payload: _BytesLike) -> list[BatchEvent]:
    """Read the events of a batch, in the order in which they were routed.

    Args:
        payload: the bytes as `Engine.drain` returned them.

    Raises:
        ValueError: the bytes are cut, not a batch, or a batch of another version.
    """

def check_event(event: _BytesLike) -> None:
    """Check that an event can be routed by an engine with the default `max_batch`.

    Raises:
        InvalidEvent: the event is not one JSON object, or is longer than 1 MiB less 1 KiB.
    """

def client_event(kind: str, seq: int, part: int, channel: str, payload: _BytesLike) -> bytes:
    """The JSON object that clients get for a stored event: what `Engine.route_stored` adds to batches.

    A receiver that reads an event from the log, because a batch was lost, makes the same bytes with it.

    Args:
        kind: "message.new", "member" or "receipt.read", as for `Engine.route_stored`.
        seq: the event's position in the log.
        part: a number for clients, such as the partition.
        channel: the channel of the event.
        payload: the event as it is stored.

    Returns:
        one JSON object, not yet a WebSocket frame; see `text_frame`.

    Raises:
        InvalidId: `channel` is no id.
        InvalidEvent: the payload is no event of that kind; the text says why.
        ValueError: the kind is not known.
    """

def message_frame(seq: int, part: int, channel: str, payload: _BytesLike) -> bytes:
    """`client_event` of the kind "message.new", with the same arguments and errors.

    An event is refused if it has not the stored format that `Engine.route_stored` describes, or if some reader could
    not take it: a field that is there twice, containers nested deeper than 128, a number beyond 64 bits, half of a
    surrogate pair, or a message of more than 1 MiB less 1,536 bytes. Whether it is refused does not depend on `seq` and
    `part`.
    """

def text_frame(event: _BytesLike) -> bytes:
    """One unmasked, final WebSocket text frame (RFC 6455, section 5.2) around an event, which is not checked."""

def partition_of(channel: str, partitions: int) -> int:
    """The partition of a channel, from 0: 32-bit FNV-1a modulo `partitions`, like `{{partition(n,1)}}` of nats-server.

    Raises:
        ValueError: `partitions` is 0.
    """

def presence_digest(users: Iterable[str]) -> tuple[int, int]:
    """The count and hash that `Engine.digest` returns for an instance with exactly these users. Duplicates count once.

    Raises:
        InvalidId: a user is no id.
    """
