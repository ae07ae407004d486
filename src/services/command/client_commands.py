"""The commands that clients give over their WebSockets, each handed to the part that handles it."""

from fanout.ports.drafts import Base, Draft, DraftContent, Saved
from fanout.user_sync import ReadSync
from services.command.drafts import DraftCommands
from services.command.read_marker import ReadMarker
from services.command.read_receipts import ReadReceipts
from services.runtime.active_channels import ActiveChannels
from services.runtime.user_sync import UserSync


class CommandHandlers:
    """`fanout.ports.commands.ClientCommands`.

    Args:
        marker: moves read pointers.
        receipts: handles read receipts.
        drafts: saves and loads drafts.
        user_sync: tells the other devices of a user.
        active_channels: notes which channels are opened.
    """

    def __init__(
        self,
        marker: ReadMarker,
        receipts: ReadReceipts,
        drafts: DraftCommands,
        user_sync: UserSync,
        active_channels: ActiveChannels,
    ) -> None:
        self._active_channels = active_channels
        self._marker = marker
        self._receipts = receipts
        self._drafts = drafts
        self._user_sync = user_sync

    async def mark_read(self, user_id: str, channel_id: str, message_id: str, *, device_id: str = "") -> None:
        """See the port."""
        to = await self._marker.mark_read(user_id, channel_id, message_id)
        if to is not None:
            await self._user_sync.publish(ReadSync(user_id, channel_id, device_id, to.message_id, to.read_at, to.seq))

    async def message_read(self, user_id: str, channel_id: str, message_id: str) -> None:
        """See the port."""
        await self._receipts.message_read(user_id, channel_id, message_id)

    async def save_draft(
        self,
        user_id: str,
        channel_id: str,
        content: DraftContent | None,
        *,
        device_id: str = "",
        base: Base | None = None,
    ) -> Saved:
        """See the port."""
        return await self._drafts.save(user_id, channel_id, content, device_id=device_id, base=base)

    async def open_channel(self, user_id: str, channel_id: str) -> Draft:
        """See the port."""
        draft = await self._drafts.load(user_id, channel_id)
        self._active_channels.note(user_id, channel_id)
        return draft
