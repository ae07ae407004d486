"""Read receipts: `message.read`. They are hybrid, by the size of the channel."""

from collections.abc import Callable
from datetime import datetime

from fanout import machine, subjects
from fanout.events import ReceiptRead, encode, timestamp
from fanout.ids import new_event_id
from fanout.ports.log import Log
from fanout.ports.memberships import Memberships
from fanout.ports.receipts import MAX_MEMBERS
from services.command.read_marker import ReadMarker
from services.runtime.membership_cache import MembershipCache
from services.runtime.positions import Positions


class ReadReceipts:
    """Appends the receipts of small channels to the log, and moves the read pointers of large ones.

    Args:
        log: stores the receipts until they are written.
        memberships: says how large a channel is.
        cache: says who may read what.
        positions: find messages.
        marker: moves the pointers.
        now: the time, with a zone.
    """

    def __init__(
        self,
        log: Log,
        memberships: Memberships,
        cache: MembershipCache,
        positions: Positions,
        marker: ReadMarker,
        now: Callable[[], datetime] = machine.utc_now,
    ) -> None:
        self._log = log
        self._memberships = memberships
        self._cache = cache
        self._positions = positions
        self._marker = marker
        self._now = now

    async def message_read(self, user_id: str, channel_id: str, message_id: str) -> None:
        """Note that a user has read a message; see `ClientCommands.message_read`."""
        if await self._memberships.member_count(channel_id, MAX_MEMBERS + 1) > MAX_MEMBERS:
            await self._marker.mark_read(user_id, channel_id, message_id)
            return
        await self._cache.check(channel_id, user_id)
        message = await self._positions.find(channel_id, message_id)
        if message.sender_id != user_id:
            await self._cache.check(channel_id, user_id)  # once more: finding the message may have taken long
            await self._append(user_id, channel_id, message_id)

    async def _append(self, user_id: str, channel_id: str, message_id: str) -> None:
        event = ReceiptRead(new_event_id(), channel_id, message_id, [user_id], timestamp(self._now()))
        # A repeat within the dedup window is no further event; one behind it changes nothing in the store.
        msg_id = f"{user_id}:{message_id}"
        await self._log.append(subjects.receipt(channel_id), encode(event), msg_id=msg_id)
