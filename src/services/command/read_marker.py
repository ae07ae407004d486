"""Moves read pointers: `mark_read`."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from fanout import machine
from fanout.errors import Unavailable
from fanout.events import timestamp
from fanout.ports.drafts import MEMBERSHIP_NOT_COUNTED
from fanout.ports.unread import ChannelState, ReadPosition, UnreadCounts
from services.runtime.channel_messages import ChannelMessages
from services.runtime.membership_cache import MembershipCache
from services.runtime.positions import Positions
from services.runtime.read_positions import ReadPositions


class ReadMarker:
    """Moves read pointers.

    Args:
        cache: says who may mark what.
        counts: the unread store.
        positions: find messages.
        channel_messages: reads messages between positions.
        now: the time, with a zone.
    """

    def __init__(
        self,
        cache: MembershipCache,
        counts: UnreadCounts,
        positions: Positions,
        channel_messages: ChannelMessages,
        now: Callable[[], datetime] = machine.utc_now,
    ) -> None:
        self._cache = cache
        self._counts = counts
        self._positions = positions
        self._channel_messages = channel_messages
        self._read_positions = ReadPositions(channel_messages)
        self._now = now

    async def mark_read(self, user_id: str, channel_id: str, message_id: str) -> ReadPosition | None:
        """Move a read pointer; see `ClientCommands.mark_read`.

        Returns:
            the pointer; None if it was there or further already, and nothing changed.
        """
        await self._cache.check(channel_id, user_id)
        (state,) = await self._counts.states(user_id, [channel_id])
        seq = await self._seq_of(channel_id, message_id, state)
        if seq <= state.pointer.seq:
            return None
        counted = await self._read_positions.at(user_id, channel_id, seq, state)
        position = replace(counted, message_id=message_id, read_at=timestamp(self._now()))
        older = await self._older_mentions(user_id, channel_id, seq, state)
        await self._cache.check(channel_id, user_id)  # once more: finding the message may have taken long
        moved = await self._counts.mark_read(user_id, channel_id, position, older_mentions=older)
        if not moved:
            await self._check_membership(user_id, channel_id, seq)
        return position if moved else None

    async def _check_membership(self, user_id: str, channel_id: str, seq: int) -> None:
        """Tell a lower pointer from one that was further: it does not move until a new membership is counted.

        Raises:
            Unavailable: the counter has not handled the event of the join yet.
        """
        (state,) = await self._counts.states(user_id, [channel_id])
        if state.pointer.seq < seq:
            raise Unavailable(MEMBERSHIP_NOT_COUNTED)

    async def _seq_of(self, channel_id: str, message_id: str, state: ChannelState) -> int:
        if message_id == state.latest_id:
            return state.latest_seq
        return (await self._positions.find(channel_id, message_id)).position.seq

    async def _older_mentions(self, user_id: str, channel_id: str, seq: int, state: ChannelState) -> int:
        """The mentions after a position that the unread store does not know by their positions."""
        between = self._channel_messages.between(channel_id, seq, state.mentions_from - 1)
        return sum([user_id in message.mentions async for message in between])
