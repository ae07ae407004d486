"""The inbox: batches from fan-out workers become frames on sockets, in order, once, and without a silent hole.

A worker's events carry, per lane, the sequence of the event before them *for this instance*. Where that is more than
what arrived, something was lost on the way (the bus forgets), and it is read from the log before going on.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import structlog

from fanout import BatchEvent, InboundBatch, InvalidEvent, LaneProgress, message_frame, text_frame
from fanout.events import MemberLeft, decode_member_event
from fanout.lanes import Lane, UnknownLane
from fanout.ports.bus import Bus
from fanout.ports.log import Log, Stored
from fanout.streams import INBOX_STREAMS, MEMBERSHIP_STREAMS
from fanout.subjects import MESSAGES, channel_of, instance_events
from services.notification.metrics import GAPS_REPAIRED, INBOX_OVERFLOWS, STALE_DROPPED
from services.notification.registry import Registry
from services.runtime.membership_order import MembershipOrder
from services.runtime.skipping import skip
from services.runtime.tasks import retry_forever

log = structlog.get_logger(__name__)

BACKLOG_BYTES = 64 * 1024 * 1024
"""What may wait to be delivered. More is dropped, shows as a hole, and is read from the log when there is time."""


@dataclass(slots=True, eq=False)
class MembershipChanges:
    """How many membership events of one user were applied."""

    count: int = 0


class Inbox:
    """One instance's inbox, handled by one task: order needs no lock."""

    def __init__(self, instance_id: str, bus: Bus, events: Log, registry: Registry, order: MembershipOrder) -> None:
        self._instance_id = instance_id
        self._bus = bus
        self._log = events
        self._registry = registry
        self._order = order
        self._batches: deque[InboundBatch] = deque()
        self._backlog = 0
        self._arrived = asyncio.Event()
        self._baseline = dict.fromkeys(INBOX_STREAMS, 0)
        self._chains = LaneProgress()
        self._watched: defaultdict[str, list[MembershipChanges]] = defaultdict(list)

    async def listen(self) -> None:
        """Begin to hear the workers."""
        await retry_forever(
            lambda: self._bus.subscribe(instance_events(self._instance_id), self._hear),
            "listening to the inbox",
        )

    async def rebase(self) -> None:
        """Nobody is here whom an earlier event could concern: begin at the end of the streams.

        Raises:
            Unavailable: the log cannot say where its streams end.
        """
        for stream in self._baseline:
            self._baseline[stream] = await self._log.last_seq(stream)
        for number in self._chains.lanes():
            lane = Lane.of_number(number)
            self._advance(lane, self._baseline[lane.stream])

    def delivered_upto(self) -> int:
        """The sequence of MESSAGES up to which all that concerns this instance's clients was delivered."""
        return min(self._upto(Lane(MESSAGES, part)) for part in range(self._log.partitions))

    @contextmanager
    def watching(self, user_id: str) -> Iterator["MembershipChanges"]:
        """Count the membership events of a user that are applied here within the context."""
        changes = MembershipChanges()
        self._order.loading(user_id)
        self._watched[user_id].append(changes)
        try:
            yield changes
        finally:
            self._watched[user_id].remove(changes)
            if not self._watched[user_id]:
                del self._watched[user_id]

    async def run(self) -> None:
        """Deliver for ever."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._batches:
                await self._deliver(self._batches[0])
                self._backlog -= len(self._batches.popleft())
                await asyncio.sleep(0)  # what one batch brought leaves in one write per socket

    def _hear(self, _subject: str, payload: bytes) -> None:
        if self._backlog + len(payload) > BACKLOG_BYTES:
            INBOX_OVERFLOWS.inc()
            return
        try:
            self._batches.append(InboundBatch(payload))
        except ValueError as error:
            skip("batch", error)
            return
        self._backlog += len(payload)
        self._arrived.set()

    async def _deliver(self, batch: InboundBatch) -> None:
        try:
            while (record := await self._registry.write_queue.receive(batch, self._chains)) is not None:
                if record.lane:
                    await self._handle_stored(record)
                else:
                    self._deliver_ephemeral(record)
        except ValueError as error:
            skip("rest_of_batch", error)

    def _deliver_ephemeral(self, record: BatchEvent) -> None:
        if record.channel is not None:
            self._registry.deliver(record.channel, record.frame, ephemeral=True, without=record.user)
        elif record.user is not None:
            self._registry.deliver_to_user(record.user, record.frame, ephemeral=True)

    async def _handle_stored(self, record: BatchEvent) -> None:
        try:
            lane = Lane.of_number(record.lane)
        except UnknownLane as error:
            skip("record", error)
            return
        self._advance(lane, self._upto(lane))  # so that the lane is known
        verdict = self._chains.check(record)
        if verdict == "gap":
            await self._mend(lane, record.prev)
            verdict = self._chains.check(record)
        if verdict == "stale":
            STALE_DROPPED.inc(record.channel is not None)
            return
        if record.kind is None:
            skip("record", "its kind is not known here")
        if record.channel is not None:
            try:
                await self._deliver_stored(lane, record.channel, record.event, record.frame)
            except InvalidEvent as error:
                skip("record", error)
        self._advance(lane, record.seq)

    async def _mend(self, lane: Lane, upto: int) -> None:
        if lane.spec.plain:
            await self._catch_up_with_members(lane.part)
            await self._repair(lane, self._end_of_holes(lane, upto))
        else:
            await self._repair(lane, upto)
        self._advance(lane, upto)  # and no further: what the log has not is in the batches

    async def _catch_up_with_members(self, part: int) -> None:
        """Apply all changes of memberships first: one may be in the same hole, and says who gets the messages there."""
        for members in (Lane(stream, part) for stream in MEMBERSHIP_STREAMS):
            end = partial(self._log.last_seq, members.stream)
            newest = await retry_forever(end, "finding the end of the membership changes")
            if newest > self._upto(members):
                await self._read_log(members, newest)
                self._advance(members, newest)

    def _end_of_holes(self, lane: Lane, upto: int) -> int:
        """Where to read to: one reading of the log mends all the holes of a lane that the waiting batches show.

        But no further than to a change of a membership that is not applied yet.
        """
        for batch in self._batches:
            newest, whole = batch.newest(lane.number, self._chains)
            upto = max(upto, newest)
            if not whole:
                break
        return upto

    async def _deliver_stored(self, lane: Lane, channel: str, event: bytes, frame: bytes) -> None:
        if lane.spec.changes_memberships:
            await self._apply_member_event(channel, event, frame)
        elif self._chains.is_repeat(event):
            STALE_DROPPED.inc()  # the log went back, and reads it again under another seq
        else:
            self._registry.deliver(channel, frame)

    async def _apply_member_event(self, channel: str, event: bytes, frame: bytes) -> None:
        change = decode_member_event(event, channel)
        user_id = change.user_id
        if not await self._order.is_newest(change, held=bool(self._registry.sessions_of(user_id))):
            return
        for changes in self._watched.get(user_id, ()):
            changes.count += 1
        if isinstance(change, MemberLeft):
            await self._registry.leave(user_id, channel)
        else:
            await self._registry.join(user_id, channel)
        self._registry.deliver(channel, frame, also=user_id)

    async def _repair(self, lane: Lane, upto: int) -> None:
        GAPS_REPAIRED.inc()
        log.info("hole in the inbox, reading the log", lane=lane, after=self._upto(lane), upto=upto)
        await self._read_log(lane, upto)

    async def _read_log(self, lane: Lane, upto: int) -> None:
        await retry_forever(lambda: self._replay(lane, upto), "reading what the inbox missed")

    async def _replay(self, lane: Lane, upto: int) -> None:
        async for stored in self._log.read(lane.stream, after=self._upto(lane), upto=upto, part=lane.part):
            if stored.seq <= self._upto(lane):
                continue  # the last user went meanwhile, and those who came since begin later
            await self._deliver_from_log(lane, stored)
            self._advance(lane, stored.seq)
            await self._registry.write_queue.room()

    async def _deliver_from_log(self, lane: Lane, stored: Stored) -> None:
        channel = channel_of(stored.subject)
        try:
            event = stored.payload
            if lane.spec.sequenced:
                event = message_frame(stored.seq, lane.part, channel, stored.payload)
            await self._deliver_stored(lane, channel, event, text_frame(event))
        except InvalidEvent as error:
            # The worker that routes it, or the writer, keeps it as a dead letter.
            log.warning("event cannot be delivered", lane=lane, seq=stored.seq, reason=str(error))

    def _upto(self, lane: Lane) -> int:
        upto = self._chains.upto(lane.number)
        return self._baseline[lane.stream] if upto is None else upto

    def _advance(self, lane: Lane, upto: int) -> None:
        self._chains.advance(lane.number, upto, plain=lane.spec.plain)
