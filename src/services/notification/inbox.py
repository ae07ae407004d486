"""The inbox: batches of fan-out workers become frames on sockets, in order and once, and every gap is repaired.

Each stored event in a batch carries the seq of the lane's previous event *for this instance*. If that is above the seq
up to which the lane was delivered, the bus has lost events, and they are read from the log first.
"""

import asyncio
from collections import deque
from contextlib import AbstractContextManager
from typing import Final

from fanout import BatchEvent, InboundBatch, InvalidEvent
from fanout.lanes import Lane, UnknownLane
from fanout.ports.bus import Bus
from fanout.ports.log import Log
from fanout.subjects import instance_events
from services.notification.delivered_lanes import DeliveredLanes
from services.notification.gap_repair import EarlyJoin, GapRepair
from services.notification.metrics import INBOX_OVERFLOWS, STALE_DROPPED
from services.notification.registry import Registry
from services.notification.stored_delivery import MembershipChanges, StoredDelivery
from services.notification.user_events import UserEvents
from services.runtime.membership_order import MembershipOrder
from services.runtime.skipping import skip
from services.runtime.tasks import retry_forever

BACKLOG_BYTES = 64 * 1024 * 1024
"""Bytes of batches that may wait for delivery. Batches above that are dropped, and their events read from the log."""


class Inbox:
    """The inbox of one instance. One task handles it, so the order of events needs no lock.

    Args:
        instance_id: this instance.
        bus: carries the batches.
        events: the log, from which gaps are repaired.
        registry: has the sessions.
        order: recognises membership events that are older than one that was applied.
        user_events: handles events that are for one user.
    """

    def __init__(
        self,
        instance_id: str,
        bus: Bus,
        events: Log,
        registry: Registry,
        order: MembershipOrder,
        user_events: UserEvents,
    ) -> None:
        self._instance_id = instance_id
        self._bus = bus
        self._registry = registry
        self._user_events: Final = user_events
        self._lanes: Final = DeliveredLanes(events)
        self._delivery: Final = StoredDelivery(registry, self._lanes, order)
        self._gap_repair: Final = GapRepair(
            events, self._lanes, self._delivery, registry.write_queue, self._hear_early_join
        )
        self._early_joins: list[EarlyJoin] = []
        self._batches: deque[InboundBatch] = deque()
        self._backlog = 0
        self._arrived = asyncio.Event()

    async def listen(self) -> None:
        """Subscribe to the batches of this instance."""
        await retry_forever(
            lambda: self._bus.subscribe(instance_events(self._instance_id), self._hear),
            "listening to the inbox",
        )

    def on_early_join(self, listener: EarlyJoin) -> None:
        """Call `listener` with the user and the seq of a joining that is read from the log, before it is applied.

        The worker that routes the messages of the channel may not have applied it yet.
        """
        self._early_joins.append(listener)

    async def rebase(self) -> None:
        """Begin at the end of the streams. Call it before the first session of an instance that has none.

        Raises:
            Unavailable: the log cannot say where its streams end.
        """
        await self._lanes.rebase()

    def delivered_upto(self) -> int:
        """The seq of MESSAGES up to which every event that concerns this instance's clients was delivered."""
        return self._lanes.messages_upto()

    def watching(self, user_id: str) -> AbstractContextManager[MembershipChanges]:
        """Count the membership events of a user that are applied within the context."""
        return self._delivery.watching(user_id)

    def missed_changes(self, user_id: str) -> None:
        """Changes of a user's memberships may not have come here: a list that is being loaded now is loaded again."""
        self._delivery.count_change(user_id)

    async def run(self) -> None:
        """Deliver batches until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._batches:
                await self._deliver(self._batches[0])
                self._backlog -= len(self._batches.popleft())
                await asyncio.sleep(0)  # the frames of one batch leave in one write for each socket

    def _hear_early_join(self, user_id: str, seq: int) -> None:
        for listener in self._early_joins:
            listener(user_id, seq)

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
            while (event := await self._registry.write_queue.receive(batch, self._lanes.progress)) is not None:
                if event.lane:
                    await self._handle_stored(event)
                else:
                    self._deliver_ephemeral(event)
        except ValueError as error:
            skip("rest_of_batch", error)

    def _deliver_ephemeral(self, event: BatchEvent) -> None:
        if event.channel is not None:
            self._registry.deliver(event.channel, event.frame, ephemeral=True, without=event.user)
        elif event.user is not None:
            self._user_events.hear(event.user, event.event)

    async def _handle_stored(self, event: BatchEvent) -> None:
        try:
            lane = Lane.of_number(event.lane)
        except UnknownLane as error:
            skip("record", error)
            return
        if not await self._is_next(lane, event):
            STALE_DROPPED.inc(event.channel is not None)
            return
        await self._deliver_stored(lane, event)
        self._lanes.advance(lane, event.seq)

    async def _is_next(self, lane: Lane, event: BatchEvent) -> bool:
        """Whether an event was not delivered yet. A gap before it is repaired first."""
        self._lanes.advance(lane, self._lanes.upto(lane))  # makes the lane known
        found = self._lanes.progress.check(event)
        if found == "gap":
            await self._gap_repair.repair(lane, event.prev, self._batches)
            found = self._lanes.progress.check(event)
        return found != "stale"

    async def _deliver_stored(self, lane: Lane, event: BatchEvent) -> None:
        if event.kind is None:
            skip("record", "its kind is not known here")
            return
        if event.channel is None:
            return  # a mark
        try:
            await self._delivery.deliver(lane, event.seq, event.channel, event.event, event.frame, also=event.user)
        except InvalidEvent as error:
            skip("record", error)
