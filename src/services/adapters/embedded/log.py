"""The log inside one process, stored durably in a SQLite file."""

import asyncio
import fcntl
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import IO, Final, Self

import fanout
from fanout import machine
from fanout.errors import PartitionLost, TooLarge, Unavailable
from fanout.events import MAX_BATCH, longest_event
from fanout.log_record import LogRecord
from fanout.ports.deployment import Deployment
from fanout.ports.log import Appended, Numbering, PartitionEvents, Reset, StoredEvent
from fanout.streams import ROUTED_STREAMS, STREAMS, stream_of
from fanout.subjects import channel_of, dead
from services.adapters.embedded.deployment import EmbeddedDeployment
from services.adapters.embedded.durable import DurableQueue, EmbeddedConsumer
from services.adapters.embedded.faults import FaultInjection
from services.adapters.embedded.readers import EmbeddedPartitionReader, EmbeddedTail, Partition, batch_of
from services.adapters.embedded.store import EventStore, Floor, NewEvent
from services.adapters.embedded.stream import Stream
from services.adapters.embedded.suspension import suspending
from services.runtime.tasks import Tasks, periodic

ACK_WAIT_S: Final = 30.0
_SAVE_EVERY_S: Final = 0.1
_PRUNE_EVERY_S: Final = 60.0


class InUse(Unavailable):
    """Another process has the file open."""


@suspending
class EmbeddedLog:
    """`fanout.ports.log.Log` for one process.

    `append` returns after the commit, which appends of the same moment share. The positions of readers are saved ten
    times a second and on `close`, so after a crash a few events are delivered again.
    """

    def __init__(
        self,
        store: EventStore,
        *,
        faults: FaultInjection,
        ack_wait: float,
        clock: Callable[[], float],
        deployment: Deployment,
        longest: int,
    ) -> None:
        self._store = store
        self._resources = AsyncExitStack()
        self._deployment = deployment
        self._listeners: dict[Callable[[Reset], None], None] = {}
        self._numberings: dict[str, Numbering] = {}
        self._faults = faults
        self._ack_wait = ack_wait
        self._clock = clock
        self._longest = longest
        self._streams = {name: Stream(name, store, seq) for name, seq in store.last_seqs.items()}
        self._queues: dict[tuple[str, str], DurableQueue] = {}
        lanes = [(stream, part) for stream in ROUTED_STREAMS for part in range(store.partitions)]
        self._partitions = {lane: self._partition(*lane) for lane in lanes}
        self._saved_floors = dict(store.floors)
        self._saved_positions = {lane: state.position for lane, state in self._partitions.items()}
        self._failure: BaseException | None = None
        self._tasks = Tasks(self._fail)

    @classmethod
    async def open(
        cls,
        path: Path | None,
        *,
        deployment: Deployment | None = None,
        adopt: bool = False,
        partitions: int = 1,
        faults: FaultInjection | None = None,
        ack_wait: float = ACK_WAIT_S,
        clock: Callable[[], float] = machine.wall_s,
        longest: int = longest_event(MAX_BATCH),
    ) -> Self:
        """Open or create the log.

        Args:
            path: its file, in an existing folder; None keeps the log in memory, for tests.
            deployment: owns the log, and keeps what must not be lost with the file; None: one in memory.
            adopt: take over a file that holds events and carries no deployment's id.
            partitions: of each partitioned stream; what the file was created with wins.
            faults: the faults to inject; none by default.
            ack_wait: seconds after which a durable consumer's unacknowledged event is delivered again.
            clock: seconds since the epoch, for the dedup window and the age of events.
            longest: bytes of the longest event that `append` takes.

        Raises:
            ForeignStore: the file belongs to another deployment.
            InUse: another process has the file open.
            Unavailable: the file cannot be opened.
        """
        owner, faults = deployment or EmbeddedDeployment("embedded"), faults or FaultInjection()
        async with AsyncExitStack() as opened:
            store = await _opened(opened, path, partitions)
            await store.claim_for(owner, adopt=adopt)
            await store.prune(clock())
            log = cls(store, faults=faults, ack_wait=ack_wait, clock=clock, deployment=owner, longest=longest)
            await log._recognise()
            log._begin(opened.pop_all())
        return log

    def _begin(self, resources: AsyncExitStack) -> None:
        """Begin the background work. From now on the resources are the log's, which closes them."""
        self._resources = resources
        self._tasks.start(periodic(_SAVE_EVERY_S, self._save, "keeping the log's positions"), "log-save")
        self._tasks.start(periodic(_PRUNE_EVERY_S, self._prune, "pruning the log"), "log-prune")

    async def close(self) -> None:
        """End every reader, save the positions, and close the file."""
        await self._tasks.cancel()
        for stream in self._streams.values():
            stream.close()
        try:
            await self._save()
        finally:
            await self._resources.aclose()

    @property
    def partitions(self) -> int:
        """See the port."""
        return self._store.partitions

    async def append(self, subject: str, payload: bytes, *, msg_id: str) -> Appended:
        """See the port.

        Raises:
            ValueError: no stream takes the subject.
            Unavailable, TooLarge: see the port.
        """
        if len(payload) > self._longest:
            raise TooLarge(f"the event has {len(payload)} bytes; the log takes {self._longest}")
        return await self._append(stream_of(subject), subject, payload, msg_id)

    async def get(self, stream: str, seq: int) -> StoredEvent | None:
        """See the port."""
        page = await self._stream(stream).page(after=seq - 1, upto=seq)
        return page[0] if page else None

    async def last_seq(self, stream: str) -> int:
        """See the port."""
        return self._stream(stream).last_seq

    async def seq_at(self, stream: str, at_s: float) -> int:
        """See the port."""
        return await self._store.seq_at(stream, at_s)

    def numbering(self, stream: str) -> Numbering:
        """See the port."""
        return self._numberings[stream]

    async def recall(self, stream: str, seq: int, stored_ns: int) -> None:
        """See the port. If the file is an older copy, new events are numbered above those that were known."""
        found = await self._stream(stream).page(after=seq - 1, upto=seq)
        held = found[0].stored_ns == stored_ns if found else seq < await self._store.first_seq(stream)
        record = await self._deployment.log_record(stream)
        if held or record is None:
            return
        now_us = int(self._clock() * 1_000_000)
        survived_ns = await self._store.last_stored_ns(stream)
        await self._renumber(
            stream, record.restored(self._stream(stream).last_seq + 1, survived_ns, now_us=now_us, given=seq)
        )

    def on_reset(self, listener: Callable[[Reset], None]) -> Callable[[], None]:
        """See the port."""
        self._listeners[listener] = None

        def forget() -> None:
            self._listeners.pop(listener, None)

        return forget

    async def missed_reset(self, stream: str, since: float) -> Reset | None:
        """See the port."""
        record = await self._deployment.log_record(stream)
        survived_ns = None if record is None else record.survived_since(int(since * 1e6))
        return None if survived_ns is None else Reset(stream, survived_ns)

    async def acknowledged(self, stream: str, durable: str) -> int:
        """See the port."""
        events = self._stream(stream)
        upto = events.last_seq
        queue = self._queues.get((stream, durable))
        floor = self._store.floors.get((stream, durable), 0) if queue is None else queue.floor
        pending = floor < upto and await events.page(after=floor, upto=upto, limit=1)
        return floor if pending else max(floor, upto)

    async def consume(self, stream: str, durable: str, *, batch: int = 200) -> EmbeddedConsumer:
        """See the port."""
        queue = self._queues.get((stream, durable))
        if queue is None:
            floor = self._store.floors.get((stream, durable), 0)
            queue = DurableQueue(self._stream(stream), floor, ack_wait=self._ack_wait, faults=self._faults)
            self._queues[stream, durable] = queue
        return EmbeddedConsumer(queue, batch)

    async def tail(self, stream: str, *, after: int) -> EmbeddedTail:
        """See the port."""
        return EmbeddedTail(self._stream(stream), after, self._faults)

    async def read(self, stream: str, *, after: int, upto: int, part: int | None = None) -> AsyncGenerator[StoredEvent]:
        """See the port."""
        while page := await self._stream(stream).page(after=after, upto=upto, part=part):
            for event in page:
                yield event
            after = page[-1].seq

    async def pages(self, stream: str, *, after: int, upto: int) -> AsyncGenerator[PartitionEvents]:
        """See the port."""
        while page := await self._stream(stream).page(after=after, upto=upto):
            yield batch_of(page)
            after = page[-1].seq

    async def claim(self, stream: str, partition: int, owner: str) -> EmbeddedPartitionReader:
        """See the port.

        Raises:
            ValueError: there is no such partition.
            PartitionLost: see the port.
        """
        state = self._partitions.get((stream, partition))
        if state is None:
            raise ValueError(f"{stream} has no partition {partition}: it has {self.partitions} or is not partitioned")
        epoch = await self._store.claim(stream, partition, owner, state.position)
        if epoch < state.epoch:
            raise PartitionLost(f"partition {partition} was claimed at the same moment")
        state.epoch = epoch
        events = self._stream(stream)
        events.bell.ring()
        return EmbeddedPartitionReader(events, state, self._faults)

    async def dead_letter(self, stream: str, event: StoredEvent, reason: str) -> None:
        """See the port."""
        subject = dead(stream, channel_of(event.subject))
        await self._append(stream_of(subject), subject, event.payload, f"{stream}:{event.seq}", reason)

    async def ping(self) -> None:
        """See the port."""
        self._check_sound()
        await self._store.ping()

    async def _append(
        self, name: str, subject: str, payload: bytes, msg_id: str, reason: str | None = None
    ) -> Appended:
        self._check_sound()
        part = fanout.partition_of(channel_of(subject), self.partitions)
        stored = self._store.append(NewEvent(name, subject, part, payload, msg_id, self._clock(), reason))
        stored.add_done_callback(self._streams[name].grow_by)
        return await asyncio.shield(stored)

    async def _recognise(self) -> None:
        """Check whether this is the file that the deployment knows. A new file begins above all old positions."""
        created = self._store.created
        for stream in STREAMS:
            record = await self._deployment.log_record(stream)
            if record is None:
                record = LogRecord.first(created)
                await self._deployment.replace_log_record(stream, record)
            elif record.created != created:
                now_us = int(self._clock() * 1_000_000)
                record = record.replaced(created, 0, now_us=now_us, given=0)
                await self._renumber(stream, record)
            self._number(stream, record)

    async def _renumber(self, name: str, record: LogRecord) -> None:
        """Number new events above all positions that were given, in the file itself, and call the listeners."""
        newest = record.segments[-1]
        await self._store.skip_to(name, newest.start + newest.lift - 1)
        await self._deployment.replace_log_record(name, record)
        stream = self._stream(name)
        stream.last_seq = max(stream.last_seq, newest.start + newest.lift - 1)
        self._number(name, record)
        for listener in list(self._listeners):
            listener(Reset(name, newest.survived_ns))

    def _number(self, name: str, record: LogRecord) -> None:
        self._numberings[name] = Numbering(record.identity("", name), record.begins)

    def _stream(self, name: str) -> Stream:
        stream = self._streams.get(name)
        if stream is None:
            raise ValueError(f"there is no stream {name}")
        self._check_sound()
        stream.check_open()
        return stream

    def _partition(self, stream: str, number: int) -> Partition:
        claim = self._store.claims.get((stream, number))
        return Partition(number, 0, 0) if claim is None else Partition(number, claim.epoch, claim.position)

    async def _save(self) -> None:
        floors = {key: queue.floor for key, queue in self._queues.items()}
        positions = {lane: state.position for lane, state in self._partitions.items()}
        new_floors = floors.items() - self._saved_floors.items()
        new_positions = positions.items() - self._saved_positions.items()
        if new_floors or new_positions:
            changed = [(*lane, position) for lane, position in new_positions]
            await self._store.save([Floor(*key, floor) for key, floor in new_floors], changed)
            self._saved_floors.update(new_floors)
            self._saved_positions.update(new_positions)

    async def _prune(self) -> None:
        await self._store.prune(self._clock())

    def _fail(self, failure: BaseException) -> None:
        self._failure = failure
        for stream in self._streams.values():
            stream.fail(failure)

    def _check_sound(self) -> None:
        if self._failure is not None:
            raise Unavailable(f"the log has failed: {self._failure}") from self._failure


async def _opened(resources: AsyncExitStack, path: Path | None, partitions: int) -> EventStore:
    if path is not None:
        resources.enter_context(_lock(path))
    store = await EventStore.open(path, partitions)
    resources.push_async_callback(store.close)
    return store


def is_in_use(path: Path) -> bool:
    """Whether another process has the log of this file open. Creates nothing."""
    try:
        handle = _lock_file(path).open("rb")
    except OSError:  # never opened, or not readable: opening it will say why
        return False
    with handle:
        return not _locked(handle, fcntl.LOCK_SH)


def _lock(path: Path) -> IO[bytes]:
    """Lock a file for this process, until it ends or the returned handle is closed."""
    try:
        handle = _lock_file(path).open("ab")
    except OSError as error:
        raise Unavailable(f"{path} cannot be opened: {error}") from error
    if not _locked(handle, fcntl.LOCK_EX):
        handle.close()
        raise InUse(f"{path} is open in another process; only one process at a time can use an embedded log")
    return handle


def _lock_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _locked(handle: IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
