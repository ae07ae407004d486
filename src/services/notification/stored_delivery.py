"""Delivery of stored events, whether they came in a batch or were read from the log."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fanout.events import MemberLeft, decode_member_event
from fanout.lanes import Lane
from services.notification.delivered_lanes import DeliveredLanes
from services.notification.metrics import STALE_DROPPED
from services.notification.registry import Registry
from services.runtime.membership_order import MembershipOrder


@dataclass(slots=True, eq=False)
class MembershipChanges:
    """How many membership events of one user were applied."""

    count: int = 0


class StoredDelivery:
    """Delivers messages to the readers of their channel, and applies membership events.

    Args:
        registry: has the sessions.
        lanes: recognise a message that was delivered before under another seq.
        order: recognises a membership event that is older than one that was applied.
    """

    def __init__(self, registry: Registry, lanes: DeliveredLanes, order: MembershipOrder) -> None:
        self._registry = registry
        self._lanes = lanes
        self._order = order
        self._watched: defaultdict[str, list[MembershipChanges]] = defaultdict(list)

    @contextmanager
    def watching(self, user_id: str) -> Iterator[MembershipChanges]:
        """Count the membership events of a user that are applied within the context."""
        changes = MembershipChanges()
        self._order.loading(user_id)
        self._watched[user_id].append(changes)
        try:
            yield changes
        finally:
            self._watched[user_id].remove(changes)
            if not self._watched[user_id]:
                del self._watched[user_id]

    def count_change(self, user_id: str) -> None:
        """Count a change of a user's memberships, so that a list that is being loaded now is loaded again."""
        for changes in self._watched.get(user_id, ()):
            changes.count += 1

    async def deliver(
        self, lane: Lane, seq: int, channel: str, event: bytes, frame: bytes, *, also: str | None = None
    ) -> None:
        """Deliver one stored event.

        Args:
            lane: where it is stored.
            seq: its place there.
            channel: of its subject.
            event: the JSON object that clients get.
            frame: the same as a WebSocket frame.
            also: a user who gets the event too, a reader of the channel or not. A membership event names its own, which
                holds for an event that was read from the log, too.

        Raises:
            InvalidEvent: it is a membership event that cannot be read.
        """
        if lane.spec.changes_memberships:
            await self._apply_membership(channel, event, frame)
        elif self._lanes.progress.is_repeat(event):
            STALE_DROPPED.inc()  # the log went back, and gave the message another seq
        else:
            self._registry.deliver(channel, frame, seq=seq if lane.spec.replayed else 0, also=also)

    async def _apply_membership(self, channel: str, event: bytes, frame: bytes) -> None:
        change = decode_member_event(event, channel)
        user_id = change.user_id
        if not await self._order.is_newest(change, has_list=bool(self._registry.sessions_of(user_id))):
            return
        self.count_change(user_id)
        if isinstance(change, MemberLeft):
            await self._registry.leave(user_id, channel)
        else:
            await self._registry.join(user_id, channel)
        self._registry.deliver(channel, frame, also=user_id)
