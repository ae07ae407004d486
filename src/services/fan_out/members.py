"""Membership changes: from META into the table, and to the members of the channel."""

import asyncio

from fanout import Engine, InvalidEvent, partition_of
from fanout.events import MemberJoined, MemberLeft, decode_member_event
from fanout.lanes import Lane
from fanout.ports.log import Log, StoredEvent
from fanout.streams import MEMBERSHIP_STREAM
from fanout.subjects import channel_of
from services.fan_out.metrics import READER_NAME
from services.fan_out.partitions import Partitions
from services.fan_out.presence_applier import PresenceApplier
from services.fan_out.publisher import Publisher
from services.runtime.dead_letters import dead_letter
from services.runtime.membership_order import MembershipOrder
from services.runtime.tasks import retry_forever


class Members:
    """Follows META and applies each event to the table.

    Each worker has the whole table, so each reads all of META. The worker that reads a channel's partition also routes
    the channel's membership events.
    """

    def __init__(
        self,
        engine: Engine,
        events: Log,
        presence_applier: PresenceApplier,
        partitions: Partitions,
        publisher: Publisher,
        order: MembershipOrder,
    ) -> None:
        self._engine = engine
        self._log = events
        self._presence_applier = presence_applier
        self._partitions = partitions
        self._publisher = publisher
        self._order = order
        self._position = 0

    @property
    def position(self) -> int:
        """Every event of META up to this sequence was applied."""
        return self._position

    async def run(self, after: int) -> None:
        """Follow META from the event after the sequence `after`; cancel it to stop."""
        tail = await retry_forever(lambda: self._log.tail(MEMBERSHIP_STREAM, after=after), "reading membership changes")
        self._handled(after)
        try:
            while True:
                for event in await tail.fetch():
                    await self._handle(event)
                    self._handled(event.seq)
                self._publisher.poke()
        finally:
            await tail.close()

    def _handled(self, seq: int) -> None:
        self._position = seq
        self._partitions.meta_handled(seq)

    async def _handle(self, stored: StoredEvent) -> None:
        try:
            event = decode_member_event(stored.payload, channel_of(stored.subject))
            if await self._order.is_newest(event):
                await self._apply(stored, event)
        except InvalidEvent as error:
            await dead_letter(self._log, MEMBERSHIP_STREAM, stored, str(error), reader=READER_NAME)

    async def _apply(self, stored: StoredEvent, event: MemberJoined | MemberLeft) -> None:
        part = partition_of(event.channel_id, self._log.partitions)
        if self._partitions.is_claimed(part):
            # The user gets the event too, a member of the channel or not, and so do the instances that have the user.
            lane = Lane(MEMBERSHIP_STREAM, part)
            routed = (stored.seq, event.channel_id, stored.payload, event.user_id)
            if rejected := self._partitions.route(lane, [routed]):
                raise InvalidEvent(rejected[0][1])
        # Before the change, because a list that is being loaded may be applied while the change waits.
        self._presence_applier.membership_changed(event.user_id)
        change = self._engine.join if isinstance(event, MemberJoined) else self._engine.leave
        if self._presence_applier.is_moving(event.user_id):
            # A thread adds or removes this user, who is in many channels. The change waits for it; the loop must not.
            await asyncio.to_thread(change, event.user_id, event.channel_id)
        else:
            change(event.user_id, event.channel_id)
