"""Reading partitions: log -> route -> publish -> acknowledge, one partition at a time in order."""

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
    """The partitions that this worker reads."""

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
        """Every membership event up to `seq` was applied and, where this worker holds its partition, routed."""
        self._meta_position = seq
        self._meta_moved.set()
        for part in self._readers:
            self._engine.advance(Lane(META, part).number, seq)

    async def claim(self, part: int) -> None:
        """Become the reader of a partition, unless another worker does so at this moment."""
        try:
            reader = await self._log.claim(part, self._worker_id)
        except PartitionLost:
            log.info("another worker was first", partition=part)
            return
        self._open_lanes(reader, reader.position)
        self._readers[part] = reader
        PARTITIONS_HELD.set(len(self._readers))
        self._reading[part] = self._tasks.start(self._read(reader), f"partition-{part}")
        log.info("reads partition", partition=part, epoch=reader.epoch, position=reader.position)

    async def release(self, part: int) -> None:
        """Stop reading a partition after the batch in hand, so that another worker can take it."""
        reading = self._reading.get(part)
        if reading is None or part in self._stopping:
            return
        reader = self._readers[part]
        self._stopping.add(part)
        try:
            reading.cancel()
            await asyncio.wait([reading])
            if self._readers.get(part) is reader:  # cancelled before its first step, it could not clean up
                await self._give_up(reader)
        finally:
            self._stopping.discard(part)

    async def release_all(self) -> None:
        """Stop reading everything, each after the batch in hand."""
        await asyncio.gather(*(self.release(part) for part in self.held()))

    async def find_idle_positions(self) -> None:
        """Advance the lanes of quiet partitions, so that receivers learn that they have missed nothing."""
        await asyncio.gather(*(self._advance_if_idle(reader) for reader in list(self._readers.values())))

    async def _advance_if_idle(self, reader: PartitionReader) -> None:
        try:
            position = await reader.caught_up()
        except PartitionLost:
            return  # its own task learns the same and cleans up
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
        """Apply at least what the last reader can have routed: whoever was told of a membership has its messages."""
        newest = await retry_forever(lambda: self._log.last_seq(META), "finding the end of the membership changes")
        while True:
            self._meta_moved.clear()
            if not await retry_forever(lambda: self._has_changes_left(newest), "looking for membership changes"):
                return
            await self._meta_moved.wait()

    async def _has_changes_left(self, upto: int) -> bool:
        """Whether a change was not applied. Where the log went back, there may be none up to its end."""
        if self._meta_position >= upto:
            return False
        async with aclosing(self._log.read(META, after=self._meta_position, upto=upto)) as events:
            return await anext(events, None) is not None

    async def _read_until_lost(self, reader: PartitionReader) -> None:
        epoch, position = reader.epoch, reader.position
        # A cancellation that comes in the same turn as events may be lost in the library that waits for them.
        while reader.partition not in self._stopping:
            events = await reader.fetch()
            if reader.epoch != epoch:
                epoch = reader.epoch
                self._open_lanes(reader, position)
            # A batch that was begun is ended: a release that cancels this task waits for its acknowledgement.
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
        self._engine.mark()  # where this worker stopped, so that the next one's beginning shows no hole
        self._publisher.poke()
        for stream in (MESSAGES, META):
            self._engine.close_lane(Lane(stream, part).number)
        PARTITIONS_HELD.set(len(self._readers))
