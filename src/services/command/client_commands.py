"""The commands that clients give over their WebSockets, each handed to the part that handles it."""

from fanout.ports.unread import ReadPosition
from services.command.read_marker import ReadMarker
from services.command.read_receipts import ReadReceipts


class CommandHandlers:
    """`fanout.ports.commands.ClientCommands`.

    Args:
        marker: moves read pointers.
        receipts: handles read receipts.
    """

    def __init__(self, marker: ReadMarker, receipts: ReadReceipts) -> None:
        self._marker = marker
        self._receipts = receipts

    async def mark_read(self, user_id: str, channel_id: str, message_id: str) -> ReadPosition | None:
        """See the port."""
        return await self._marker.mark_read(user_id, channel_id, message_id)

    async def message_read(self, user_id: str, channel_id: str, message_id: str) -> None:
        """See the port."""
        await self._receipts.message_read(user_id, channel_id, message_id)
