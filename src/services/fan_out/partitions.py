"""Reading partitions: each event is read, routed, published and acknowledged, in the order of its partition."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from functools import partial

import structlog

from fanout import Deliveries, Engine, PartitionLost, Unavailable
from fanout.lanes import Lane
from fanout.ports.log import Log, PartitionEvents, PartitionReader
from fanout.streams import MEMBERSHIP_STREAM, ROUTED_STREAMS
from services.fan_out.metrics import EVENTS_ROUTED, PARTITIONS_HELD, READER_NAME
from services.fan_out.publisher import Publisher
from services.fan_out.suspensions import Suspensions
from services.runtime.dead_letters import dead_letter
from services.runtime.tasks import Tasks, retry_forever

log = structlog.get_logger(__name__)

CLAIM_AGAIN_AFTER_S = 0.5
"""Seconds after the loss of a further stream of a partition: by then a worker that took it has noticed its mistake."""


@dataclass(slots=True, eq=False)
class _Claim:
    """A partition that this worker reads."""

    first: Lane
    """The lane of the first stream that is read by partition. Who reads it reads the partition."""
    readers: dict[Lane, PartitionReader]
    """One for each stream that is read by partition, as soon as it is claimed."""
    reading: asyncio.Task[None] | None = None
    stopping: bool = False
    """No further batch may begin."""
    released: bool = False

    @property
    def epoch(self) -> int:
        """The epoch of the first stream's reader, also for the lanes that have no reader of their own.

        No two workers have the same one: the log gives each reader of a partition its own epoch.
        """
        return self.readers[self.first].epoch


class Partitions:
    """The partitions that this worker reads, each in a task of its own.

    The first stream that is read by partition says who reads a partition. The same worker reads the partition of the
    other streams beside it, so a stream that is away holds up no other one.

    Args:
        worker_id: this worker.
        engine: routes the events.
        events: the log.
        publisher: puts what was routed on the bus.
        tasks: runs the readers.
        suspensions: of the instances that the table may lack users of.
    """

    def __init__(
        self,
        worker_id: str,
        engine: Engine,
        events: Log,
        publisher: Publisher,
        tasks: Tasks,
        suspensions: Suspensions,
    ) -> None:
        self._worker_id = worker_id
        self._engine = engine
        self._log = events
        self._publisher = publisher
        self._tasks = tasks
        self._suspensions = suspensions
        self._claims: dict[int, _Claim] = {}
        self._meta_position = 0
        self._meta_moved = asyncio.Event()
        """Set when `_meta_position` rises, and then replaced. No waiter clears it, because several partitions wait."""

    def claimed(self) -> list[int]:
        """The partitions that this worker reads now, sorted."""
        return sorted(self._claims)

    def epochs(self) -> dict[int, int]:
        """The partitions that this worker reads now, each with the epoch of its claim."""
        return {part: self._claims[part].epoch for part in self.claimed()}

    @property
    def members_upto(self) -> int:
        """Each membership change up to this position of META was applied."""
        return self._meta_position

    def is_claimed(self, part: int) -> bool:
        """Whether this worker reads the partition."""
        return part in self._claims

    def meta_handled(self, seq: int) -> None:
        """Note that each membership event up to `seq` was applied, and routed where this worker reads its partition."""
        self._meta_position = seq
        self._meta_moved.set()
        self._meta_moved = asyncio.Event()
        for part in self._claims:
            self._engine.advance(Lane(MEMBERSHIP_STREAM, part).number, seq)

    async def claim(self, part: int) -> None:
        """Become the reader of a partition, unless another worker claims it at the same moment.

        Raises:
            Unavailable: the log does not answer.
        """
        first = Lane(ROUTED_STREAMS[0], part)
        try:
            reader = await self._log.claim(first.stream, part, self._worker_id)
        except PartitionLost:
            log.info("another worker claimed the partition first", partition=part)
            return
        claim = _Claim(first, {first: reader})
        self._open_lanes(claim, first, reader.position)
        self._claims[part] = claim
        PARTITIONS_HELD.set(len(self._claims))
        claim.reading = self._tasks.start(self._read(part, claim), f"partition-{part}")
        log.info("reads partition", partition=part, epoch=claim.epoch)

    async def release(self, part: int) -> None:
        """Finish the batch in hand, then stop reading a partition, so that another worker can take it."""
        claim = self._claims.get(part)
        if claim is None or claim.reading is None or claim.released:
            return
        claim.released = claim.stopping = True
        claim.reading.cancel()
        await asyncio.wait([claim.reading])
        if self._claims.get(part) is claim:  # a task that is cancelled before its first step cannot clean up
            await self._give_up(part, claim)

    async def release_all(self) -> None:
        """Release every partition."""
        await asyncio.gather(*(self.release(part) for part in self.claimed()))

    async def find_idle_positions(self) -> None:
        """Advance the lanes of idle partitions, so that instances learn that they have missed nothing."""
        lanes = [(claim, lane) for claim in self._claims.values() for lane in claim.readers]
        await asyncio.gather(*(self._advance_if_idle(claim, lane) for claim, lane in lanes))

    async def _advance_if_idle(self, claim: _Claim, lane: Lane) -> None:
        reader = claim.readers.get(lane)
        if reader is None:
            return  # it was lost since this look was planned
        try:
            position = await reader.caught_up()
        except PartitionLost:
            return  # the task that reads the partition finds the same and cleans up
        except Unavailable:
            if self._is_open(claim, lane, reader):
                raise
            return  # it was closed meanwhile
        if position is not None and self._is_open(claim, lane, reader):
            self._engine.advance(lane.number, position)

    def _is_open(self, claim: _Claim, lane: Lane, reader: PartitionReader) -> bool:
        return self._claims.get(lane.part) is claim and claim.readers.get(lane) is reader

    def _open_lanes(self, claim: _Claim, lane: Lane, position: int) -> None:
        """Open the lane of a reader, and with the first one that of the membership changes."""
        self._engine.open_lane(lane.number, claim.readers[lane].epoch, position)
        if lane == claim.first:
            self._engine.open_lane(Lane(MEMBERSHIP_STREAM, lane.part).number, claim.epoch, self._meta_position)

    async def _read(self, part: int, claim: _Claim) -> None:
        try:
            await self._follow_members()
            # The changes that were applied before the claim were routed by nobody. Each instance learns of them by the
            # mark of their lane, before it gets a message that follows them.
            self._mark()
            await self._read_streams(claim)
        except PartitionLost:
            log.info("lost partition", partition=part, epoch=claim.epoch)
        finally:
            await self._give_up(part, claim)

    async def _follow_members(self) -> None:
        """Wait until each membership change is applied that the last reader may have routed.

        Otherwise a user who got a `member.joined` from the last reader could miss the messages that follow.
        """
        end = partial(self._log.last_seq, MEMBERSHIP_STREAM)
        newest = await retry_forever(end, "finding the end of the membership changes")
        while True:
            moved = self._meta_moved  # before the look: a change that is applied during the look ends the wait
            if not await retry_forever(lambda: self._has_changes_left(newest), "looking for membership changes"):
                return
            await moved.wait()

    async def _has_changes_left(self, upto: int) -> bool:
        """Whether a change up to `upto` is not applied yet. A log that went back may hold none there."""
        if self._meta_position >= upto:
            return False
        async with aclosing(self._log.read(MEMBERSHIP_STREAM, after=self._meta_position, upto=upto)) as events:
            return await anext(events, None) is not None

    async def _read_streams(self, claim: _Claim) -> None:
        """Read all streams; where one ends, the others finish their batches in hand and end too."""
        others = (Lane(stream, claim.first.part) for stream in ROUTED_STREAMS[1:])
        readings = [self._read_batches(claim, claim.first), *(self._read_beside(claim, lane) for lane in others)]
        reading = [asyncio.create_task(each) for each in readings]
        try:
            await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
        finally:
            claim.stopping = True
            # Each is cancelled once, so that it finishes its batch. A further cancellation of this task reaches them
            # through `gather`, and ends a batch that cannot be finished.
            for task in reading:
                task.cancel()
            ended = await asyncio.gather(*reading, return_exceptions=True)
            # Here and not behind: an error in the batch in hand counts also where a release cancelled this task.
            errors = [error for error in ended if isinstance(error, Exception)]
            for error in sorted(errors, key=lambda error: isinstance(error, PartitionLost)):
                raise error

    async def _read_beside(self, claim: _Claim, lane: Lane) -> None:
        """Read the partition of a further stream, until the reading of the first one ends.

        A worker that has not noticed yet that it lost the partition may take this stream from its reader. The reader
        then claims it again.
        """
        while not claim.stopping:
            try:
                claim.readers[lane] = reader = await self._claim_beside(lane)
                self._open_lanes(claim, lane, reader.position)
                await self._read_batches(claim, lane)
            except PartitionLost:
                log.info("lost a stream of a partition", stream=lane.stream, partition=lane.part)
            finally:
                await self._give_up_lane(claim, lane)
            await asyncio.sleep(CLAIM_AGAIN_AFTER_S)

    async def _claim_beside(self, lane: Lane) -> PartitionReader:
        return await retry_forever(
            lambda: self._log.claim(lane.stream, lane.part, self._worker_id), f"claiming {lane.stream}"
        )

    async def _give_up_lane(self, claim: _Claim, lane: Lane) -> None:
        """Close the lane of a further stream and its reader, unless that is done with those of the whole claim."""
        if claim.stopping or (reader := claim.readers.pop(lane, None)) is None:
            return
        self._mark()
        self._engine.close_lane(lane.number)
        await reader.close()

    async def _read_batches(self, claim: _Claim, lane: Lane) -> None:
        reader = claim.readers[lane]
        epoch, position = reader.epoch, reader.position
        # The library that waits for events may lose a cancellation that comes in the same turn of the loop as events.
        while not claim.stopping:
            events = await reader.fetch()
            if reader.epoch != epoch:
                epoch = reader.epoch
                self._open_lanes(claim, lane, position)
            # A cancellation does not interrupt a batch: `release` waits until the batch is acknowledged.
            batch = asyncio.ensure_future(self._handle(lane, reader, events))
            try:
                await asyncio.shield(batch)
            except asyncio.CancelledError:
                await batch
                raise
            position = events.last_seq

    async def _handle(self, lane: Lane, reader: PartitionReader, events: PartitionEvents) -> None:
        rejected = self.route(lane, events.deliveries)
        EVENTS_ROUTED.inc(len(events) - len(rejected))
        if rejected:
            await self._dead_letter(lane, events, dict(rejected))
        await self._publisher.settle()
        await retry_forever(lambda: reader.ack(events.last_seq), "acknowledging routed events")

    def route(
        self, lane: Lane, events: Deliveries | Sequence[tuple[int, str, bytes, str | None]]
    ) -> list[tuple[int, str]]:
        """Route stored events of a lane; returns those that are refused, as `Engine.route_stored` does."""
        self._suspensions.follow_contact()
        return self._engine.route_stored(lane.spec.kind, lane.number, lane.part, events)

    async def _dead_letter(self, lane: Lane, events: PartitionEvents, reasons: dict[int, str]) -> None:
        for event in events:
            if (reason := reasons.get(event.seq)) is not None:
                await dead_letter(self._log, lane.stream, event, reason, reader=READER_NAME)

    async def _give_up(self, part: int, claim: _Claim) -> None:
        self._forget(part, claim)
        await _close(claim.readers)

    def _mark(self) -> None:
        self._suspensions.mark()
        self._publisher.poke()

    def _forget(self, part: int, claim: _Claim) -> None:
        self._claims.pop(part, None)
        self._mark()  # where this worker stopped, so that instances see no gap before the next reader begins
        for lane in (*claim.readers, Lane(MEMBERSHIP_STREAM, part)):
            self._engine.close_lane(lane.number)
        PARTITIONS_HELD.set(len(self._claims))


async def _close(readers: Mapping[Lane, PartitionReader]) -> None:
    async with AsyncExitStack() as closing:  # it goes on where one of them raises
        for reader in readers.values():
            closing.push_async_callback(reader.close)
