"""The inbox: batches from fan-out workers become frames on sockets, in order, once, and without a silent hole.

A worker's events carry, per lane, the sequence of the event before them *for this instance*. Where that is more than
what arrived, something was lost on the way (the bus forgets), and it is read from the log before going on.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from fanout import InvalidEvent, Record, decode_batch, message_frame, text_frame
from fanout.events import MemberLeft, decode_member_event
from fanout.lanes import Lane
from fanout.ports.bus import Bus
from fanout.ports.log import Log, Stored
from fanout.subjects import MESSAGES, META, channel_of, instance_events
from services.notification.metrics import GAPS_REPAIRED, INBOX_OVERFLOWS, STALE_DROPPED
from services.notification.registry import Registry
from services.runtime.tasks import insist

log = structlog.get_logger(__name__)

BACKLOG_BYTES = 64 * 1024 * 1024
"""What may wait to be delivered. More is dropped, shows as a hole, and is read from the log when there is time."""


@dataclass(slots=True)
class _Progress:
    """How far a lane has come here."""

    upto: int
    """Everything of the lane up to here that concerns this instance was delivered."""
    epoch: int = 0


@dataclass(slots=True, eq=False)
class MembershipChanges:
    """How many membership events of one user were applied."""

    count: int = 0


class Inbox:
    """One instance's inbox, handled by one task: order needs no lock."""

    def __init__(self, instance_id: str, bus: Bus, events: Log, registry: Registry) -> None:
        self._instance_id = instance_id
        self._bus = bus
        self._log = events
        self._registry = registry
        self._batches: deque[bytes] = deque()
        self._backlog = 0
        self._arrived = asyncio.Event()
        self._baseline = {MESSAGES: 0, META: 0}
        self._lanes: dict[int, _Progress] = {}
        self._watched: defaultdict[str, list[MembershipChanges]] = defaultdict(list)

    async def listen(self) -> None:
        """Begin to hear the workers."""
        await insist(
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
        for number, progress in self._lanes.items():
            progress.upto = max(progress.upto, self._baseline[Lane.of_number(number).stream])

    def delivered_upto(self) -> int:
        """The sequence of MESSAGES up to which all that concerns this instance's clients was delivered."""
        parts = (self._progress(Lane(MESSAGES, part)).upto for part in range(self._log.partitions))
        return min(parts)

    @contextmanager
    def watching(self, user_id: str) -> Iterator["MembershipChanges"]:
        """Count the membership events of a user that are applied here within the context."""
        changes = MembershipChanges()
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
                payload = self._batches.popleft()
                self._backlog -= len(payload)
                await self._handle(payload)

    def _hear(self, _subject: str, payload: bytes) -> None:
        if self._backlog + len(payload) > BACKLOG_BYTES:
            INBOX_OVERFLOWS.inc()
            return
        self._backlog += len(payload)
        self._batches.append(payload)
        self._arrived.set()

    async def _handle(self, payload: bytes) -> None:
        try:
            records = decode_batch(payload)
        except ValueError as error:
            log.warning("batch cannot be read", reason=str(error), size=len(payload))
            return
        for record in records:
            if record.lane:
                await self._handle_stored(record)
            else:
                self._deliver_ephemeral(record)
            if self._registry.outgoing.is_full:
                await self._registry.outgoing.room()
        await asyncio.sleep(0)  # what one batch brought leaves in one write per socket

    def _deliver_ephemeral(self, record: Record) -> None:
        if record.channel is not None:
            self._registry.deliver(record.channel, record.frame, ephemeral=True, without=record.user)
        elif record.user is not None:
            self._registry.deliver_to_user(record.user, record.frame, ephemeral=True)

    async def _handle_stored(self, record: Record) -> None:
        lane = Lane.of_number(record.lane)
        progress = self._progress(lane)
        if record.epoch < progress.epoch:
            STALE_DROPPED.inc()
            return
        progress.epoch = record.epoch
        if record.prev > progress.upto:
            await self._repair(lane, progress, record.prev)
        if record.seq <= progress.upto:
            STALE_DROPPED.inc(record.channel is not None)
            return
        if record.channel is not None:
            self._deliver_stored(lane, record.channel, record.event, record.frame)
        progress.upto = record.seq

    def _deliver_stored(self, lane: Lane, channel: str, event: bytes, frame: bytes) -> None:
        if lane.stream == META:
            self._apply_member_event(channel, event, frame)
        else:
            self._registry.deliver(channel, frame)

    def _apply_member_event(self, channel: str, event: bytes, frame: bytes) -> None:
        change = decode_member_event(event, channel)
        user_id = change.user_id
        for changes in self._watched.get(user_id, ()):
            changes.count += 1
        if isinstance(change, MemberLeft):
            self._registry.leave(user_id, channel)
        else:
            self._registry.join(user_id, channel)
        self._registry.deliver(channel, frame, also=user_id)

    async def _repair(self, lane: Lane, progress: _Progress, upto: int) -> None:
        GAPS_REPAIRED.inc()
        log.info("hole in the inbox, reading the log", lane=lane, after=progress.upto, upto=upto)
        await insist(lambda: self._replay(lane, progress, upto), "reading what the inbox missed")
        progress.upto = max(progress.upto, upto)

    async def _replay(self, lane: Lane, progress: _Progress, upto: int) -> None:
        async for stored in self._log.read(lane.stream, after=progress.upto, upto=upto, part=lane.part):
            if stored.seq <= progress.upto:
                continue  # the last user went meanwhile, and those who came since begin later
            self._deliver_from_log(lane, stored)
            progress.upto = stored.seq
            await self._registry.outgoing.room()

    def _deliver_from_log(self, lane: Lane, stored: Stored) -> None:
        channel = channel_of(stored.subject)
        try:
            event = stored.payload
            if lane.stream == MESSAGES:
                event = message_frame(stored.seq, lane.part, channel, stored.payload)
            self._deliver_stored(lane, channel, event, text_frame(event))
        except InvalidEvent as error:
            # The worker that routes it, or the writer, keeps it as a dead letter.
            log.warning("event cannot be delivered", lane=lane, seq=stored.seq, reason=str(error))

    def _progress(self, lane: Lane) -> _Progress:
        number = lane.number
        progress = self._lanes.get(number)
        if progress is None:
            progress = self._lanes[number] = _Progress(self._baseline[lane.stream])
        return progress
