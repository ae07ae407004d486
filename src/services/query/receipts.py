"""The call that reads the receipts of a message."""

from fanout.api.receipts import MAX_RECEIPTS, MessageReceipts, ReceiptMode, ReceiptsRequest, UserReceipt
from fanout.error_codes import MESSAGE_NOT_FOUND, UNKNOWN_MESSAGE
from fanout.errors import CallRejected
from fanout.ports.memberships import Memberships
from fanout.ports.receipts import MAX_MEMBERS, Receipts
from services.runtime.membership_cache import MembershipCache
from services.runtime.positions import Positions


class ReceiptQueries:
    """Handles the calls of `fanout.api.receipts`.

    Args:
        memberships: says how large a channel is.
        cache: says who may read which channel.
        positions: find messages.
        store: has the receipts.
    """

    def __init__(self, memberships: Memberships, cache: MembershipCache, positions: Positions, store: Receipts) -> None:
        self._memberships = memberships
        self._cache = cache
        self._positions = positions
        self._store = store

    async def receipts(self, user_id: str, request: ReceiptsRequest) -> MessageReceipts:
        """The receipts of a message; see `ReceiptCalls.receipts`."""
        await self._cache.check(request.channel, user_id)
        await self._check_message(request)
        found = await self._store.receipts_of(request.channel, request.message_id, MAX_RECEIPTS + 1)
        receipts = [UserReceipt(*receipt) for receipt in found[:MAX_RECEIPTS]]
        mode: ReceiptMode = "rows" if found or await self._has_receipts(request.channel) else "pointer"
        return MessageReceipts(receipts, mode, more=len(found) > MAX_RECEIPTS)

    async def _check_message(self, request: ReceiptsRequest) -> None:
        try:
            await self._positions.find(request.channel, request.message_id)
        except CallRejected as error:
            if error.error_code is UNKNOWN_MESSAGE:
                raise CallRejected(MESSAGE_NOT_FOUND) from error
            raise

    async def _has_receipts(self, channel_id: str) -> bool:
        return await self._memberships.member_count(channel_id, MAX_MEMBERS + 1) <= MAX_MEMBERS
