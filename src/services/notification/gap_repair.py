"""Repair of gaps: events that the bus has lost are read from the log.

One task delivers the events of all lanes, so a wait for the log holds up everything. Messages and membership
changes are waited for without end. A gap in a stream that may be missed is passed over when the log does not give it
in time.
"""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

import structlog

from fanout import InboundBatch, InvalidEvent, InvalidId, client_event, machine, text_frame
from fanout.errors import Unavailable
from fanout.events import MemberJoined, decode_member_event
from fanout.lanes import Lane
from fanout.ports.log import Log, StoredEvent
from fanout.streams import MEMBERSHIP_STREAM
from fanout.subjects import channel_of
from services.notification.delivered_lanes import DeliveredLanes
from services.notification.metrics import GAPS_PASSED_OVER, GAPS_REPAIRED
from services.notification.stored_delivery import StoredDelivery
from services.notification.write_queue import WriteQueue
from services.runtime.tasks import retry_forever

PATIENCE_S = 2.0
"""How long the inbox waits for a gap in a stream that may be missed."""
REST_FACTOR: Final = 5.0
"""After a wait in vain, the stream is not asked for so many times as long: many lanes may have a gap at once."""

log = structlog.get_logger(__name__)

EarlyJoin = Callable[[str, int], None]
_Before = Callable[[StoredEvent, bytes], None]
"""Called with an event of the log and the JSON object that clients get of it, before it is delivered."""


def _nothing(_stored: StoredEvent, _event: bytes) -> None:
    pass


class GapRepair:
    """Reads from the log what is missing in a lane, and delivers it.

    It retries until the log answers, except for a stream that may be missed.

    Args:
        events: the log.
        lanes: how far each lane was delivered.
        delivery: delivers the events.
        write_queue: says when there is room for more frames.
        on_early_join: called with the user and the seq of a joining that is about to be applied, and that the worker
            which routes the channel's messages may not have applied yet.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        events: Log,
        lanes: DeliveredLanes,
        delivery: StoredDelivery,
        write_queue: WriteQueue,
        on_early_join: EarlyJoin,
        *,
        clock: Callable[[], float] = machine.monotonic_s,
    ) -> None:
        self._log = events
        self._lanes = lanes
        self._delivery = delivery
        self._write_queue = write_queue
        self._on_early_join = on_early_join
        self._clock = clock
        self._rests_until: Final[dict[str, float]] = {}

    async def repair(self, lane: Lane, upto: int, waiting: Iterable[InboundBatch]) -> None:
        """Deliver the events of a lane that are missing before the next event of a batch.

        Args:
            lane: which one.
            upto: the seq of the last missing event.
            waiting: the batch and those that wait behind it. The gaps that they show are repaired by the same reading.
        """
        if lane.spec.plain:
            await self._apply_membership_changes(lane.part)
            await self._fill(lane, self._last_gap(lane, upto, waiting))
        else:
            await self._fill(lane, upto)
        self._lanes.advance(lane, upto)  # no further: events above it that the log lacks are in the batches

    async def _apply_membership_changes(self, part: int) -> None:
        """Apply all membership changes of a partition: one may be missing too, and decides who gets the messages."""
        members = Lane(MEMBERSHIP_STREAM, part)
        end = partial(self._log.last_seq, members.stream)
        newest = await retry_forever(end, "finding the end of the membership changes")
        if newest > self._lanes.upto(members):
            await self._read_log(members, newest, before=self._note_early_join)
            self._lanes.advance(members, newest)

    def _note_early_join(self, stored: StoredEvent, event: bytes) -> None:
        change = decode_member_event(event, channel_of(stored.subject))
        if isinstance(change, MemberJoined):
            self._on_early_join(change.user_id, stored.seq)

    def _last_gap(self, lane: Lane, upto: int, waiting: Iterable[InboundBatch]) -> int:
        """The seq to read up to, so that one reading repairs all the gaps of a lane in the waiting batches.

        It ends at the first membership change that is not applied yet.
        """
        for batch in waiting:
            newest, is_scanned_completely = batch.newest(lane.number, self._lanes.progress)
            upto = max(upto, newest)
            if not is_scanned_completely:
                break
        return upto

    async def _fill(self, lane: Lane, upto: int) -> None:
        after = self._lanes.upto(lane)
        log.info("gap in the inbox: reading the log", lane=lane, after=after, upto=upto)
        if not lane.spec.may_be_missed:
            await self._read_log(lane, upto)
        elif missed := await self._why_missed(lane, upto):
            GAPS_PASSED_OVER.labels(lane.stream).inc()
            log.warning("gap in the inbox: passed over", lane=lane, after=after, upto=upto, reason=missed)
            return
        GAPS_REPAIRED.inc()

    async def _why_missed(self, lane: Lane, upto: int) -> str:
        """Read the log once, within a bounded time; why it did not give everything, or nothing where it did."""
        began = self._clock()
        if began < self._rests_until.get(lane.stream, began):
            return "the log did not give another gap in time a moment ago"
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._replay(lane, upto, _nothing)
        except (TimeoutError, Unavailable) as error:
            ended = self._clock()
            self._rests_until[lane.stream] = ended + REST_FACTOR * (ended - began)
            return str(error) or f"the log did not give it within {PATIENCE_S:g} s"
        return ""

    async def _read_log(self, lane: Lane, upto: int, before: _Before = _nothing) -> None:
        await retry_forever(lambda: self._replay(lane, upto, before), "reading what the inbox missed")

    async def _replay(self, lane: Lane, upto: int, before: _Before) -> None:
        async for stored in self._log.read(lane.stream, after=self._lanes.upto(lane), upto=upto, part=lane.part):
            if stored.seq <= self._lanes.upto(lane):
                continue  # meanwhile the last user has gone, and those who came since begin at a later seq
            await self._deliver(lane, stored, before)
            self._lanes.advance(lane, stored.seq)
            await self._write_queue.room()

    async def _deliver(self, lane: Lane, stored: StoredEvent, before: _Before) -> None:
        channel = channel_of(stored.subject)
        try:
            event = client_event(lane.spec.kind, stored.seq, lane.part, channel, stored.payload)
            before(stored, event)
            await self._delivery.deliver(lane, stored.seq, channel, event, text_frame(event))
        except (InvalidEvent, InvalidId) as error:
            # The worker that routes the event, or the message writer, stores it as a dead letter.
            log.warning("event cannot be delivered", lane=lane, seq=stored.seq, reason=str(error))
