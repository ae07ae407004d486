"""Reading partitions: each event is read, routed, published and acknowledged, in the order of its partition."""

import asyncio
from contextlib import aclosing
from functools import partial

import structlog

from fanout import Engine, PartitionLost
from fanout.lanes import Lane
from fanout.ports.log import Log, PartitionReader, StoredBatch
from fanout.subjects import MESSAGES, META
from services.fan_out.metrics import EVENTS_REJECTED, EVENTS_ROUTED, PARTITIONS_HELD
from services.fan_out.publisher import Publisher
from services.runtime.tasks import Tasks, retry_forever

log = structlog.get_logger(__name__)


class Partitions:
    """The partitions that this worker reads, each in a task of its own.

    Args:
        worker_id: this worker.
        engine: routes the events.
        events: the log.
        publisher: puts what was routed on the bus.
        tasks: runs the readers.
    """

    def __init__(self, worker_id: str, engine: Engine, events: Log, publisher: Publisher, tasks: Tasks) -> None:
        self._worker_id = worker_id
        self._engine = engine
        self._log = events
        self._publisher = publisher
        self._tasks = tasks
        self._readers: dict[int, PartitionReader] = {}
        self._reading: dict[int, asyncio.Task[None]] = {}
        self._stopping: set[int] = set()
        self._meta_position = 0
        self._meta_moved = asyncio.Event()

    def held(self) -> list[int]:
        """The partitions that this worker reads now, sorted."""
        return sorted(self._readers)

    def holds(self, part: int) -> bool:
        """Whether this worker reads the partition."""
        return part in self._readers

    def meta_handled(self, seq: int) -> None:
        """Note that each membership event up to `seq` was applied, and routed where this worker reads its partition."""
        self._meta_position = seq
        self._meta_moved.set()
        for part in self._readers:
            self._engine.advance(Lane(META, part).number, seq)

    async def claim(self, part: int) -> None:
        """Become the reader of a partition, unless another worker claims it at the same moment.

        Raises:
            Unavailable: the log does not answer.
        """
        try:
            reader = await self._log.claim(part, self._worker_id)
        except PartitionLost:
            log.info("another worker claimed the partition first", partition=part)
            return
        self._open_lanes(reader, reader.position)
        self._readers[part] = reader
        PARTITIONS_HELD.set(len(self._readers))
        self._reading[part] = self._tasks.start(self._read(reader), f"partition-{part}")
        log.info("reads partition", partition=part, epoch=reader.epoch, position=reader.position)

    async def release(self, part: int) -> None:
        """Finish the batch in hand, then stop reading a partition, so that another worker can take it."""
        reading = self._reading.get(part)
        if reading is None or part in self._stopping:
            return
        reader = self._readers[part]
        self._stopping.add(part)
        try:
            reading.cancel()
            await asyncio.wait([reading])
            if self._readers.get(part) is reader:  # a task that is cancelled before its first step cannot clean up
                await self._give_up(reader)
        finally:
            self._stopping.discard(part)

    async def release_all(self) -> None:
        """Release every partition."""
        await asyncio.gather(*(self.release(part) for part in self.held()))

    async def find_idle_positions(self) -> None:
        """Advance the lanes of idle partitions, so that instances learn that they have missed nothing."""
        await asyncio.gather(*(self._advance_if_idle(reader) for reader in list(self._readers.values())))

    async def _advance_if_idle(self, reader: PartitionReader) -> None:
        try:
            position = await reader.caught_up()
        except PartitionLost:
            return  # the task that reads the partition finds the same and cleans up
        if position is not None and self._readers.get(reader.partition) is reader:
            self._engine.advance(Lane(MESSAGES, reader.partition).number, position)

    def _open_lanes(self, reader: PartitionReader, position: int) -> None:
        self._engine.open_lane(Lane(MESSAGES, reader.partition).number, reader.epoch, position)
        self._engine.open_lane(Lane(META, reader.partition).number, reader.epoch, self._meta_position)

    async def _read(self, reader: PartitionReader) -> None:
        try:
            await self._follow_members()
            await self._read_until_lost(reader)
        except PartitionLost:
            log.info("lost partition", partition=reader.partition, epoch=reader.epoch)
        finally:
            await self._give_up(reader)

    async def _follow_members(self) -> None:
        """Wait until each membership change is applied that the last reader may have routed.

        Otherwise a user who got a `member.joined` from the last reader could miss the messages that follow.
        """
        newest = await retry_forever(lambda: self._log.last_seq(META), "finding the end of the membership changes")
        while True:
            self._meta_moved.clear()
            if not await retry_forever(lambda: self._has_changes_left(newest), "looking for membership changes"):
                return
            await self._meta_moved.wait()

    async def _has_changes_left(self, upto: int) -> bool:
        """Whether a change up to `upto` is not applied yet. A log that went back may hold none there."""
        if self._meta_position >= upto:
            return False
        async with aclosing(self._log.read(META, after=self._meta_position, upto=upto)) as events:
            return await anext(events, None) is not None

    async def _read_until_lost(self, reader: PartitionReader) -> None:
        epoch, position = reader.epoch, reader.position
        # The library that waits for events may lose a cancellation that comes in the same turn of the loop as events.
        while reader.partition not in self._stopping:
            events = await reader.fetch()
            if reader.epoch != epoch:
                epoch = reader.epoch
                self._open_lanes(reader, position)
            # A cancellation does not interrupt a batch: `release` waits until the batch is acknowledged.
            batch = asyncio.ensure_future(self._handle(reader, events))
            try:
                await asyncio.shield(batch)
            except asyncio.CancelledError:
                await batch
                raise
            position = events.last_seq

    async def _handle(self, reader: PartitionReader, events: StoredBatch) -> None:
        part = reader.partition
        rejected = self._engine.route_stored("message.new", Lane(MESSAGES, part).number, part, events.deliveries)
        EVENTS_ROUTED.inc(len(events) - len(rejected))
        if rejected:
            await self._dead_letter(events, dict(rejected))
        await self._publisher.settle()
        await retry_forever(lambda: reader.ack(events.last_seq), "acknowledging routed events")

    async def _dead_letter(self, events: StoredBatch, reasons: dict[int, str]) -> None:
        for event in events:
            if (reason := reasons.get(event.seq)) is not None:
                EVENTS_REJECTED.inc()
                log.warning("event cannot be delivered", seq=event.seq, subject=event.subject, reason=reason)
                await retry_forever(partial(self._log.dead_letter, MESSAGES, event, reason), "dead-lettering an event")

    async def _give_up(self, reader: PartitionReader) -> None:
        self._forget(reader.partition)
        await reader.close()

    def _forget(self, part: int) -> None:
        self._readers.pop(part, None)
        self._reading.pop(part, None)
        self._engine.mark()  # where this worker stopped, so that instances see no gap before the next reader begins
        self._publisher.poke()
        for stream in (MESSAGES, META):
            self._engine.close_lane(Lane(stream, part).number)
        PARTITIONS_HELD.set(len(self._readers))
