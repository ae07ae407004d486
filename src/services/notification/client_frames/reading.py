"""`mark_read` and `message.read`: the client has shown a channel up to a message, or a message."""

import asyncio

from fanout.ids import check_message_id
from services.notification.client_frames.commanding import refusals_of
from services.notification.client_frames.handlers import ChannelFrame, FrameContext, FrameHandlers
from services.notification.session import Session

handlers = FrameHandlers()


class _OfMessage(ChannelFrame, frozen=True):
    message_id: str

    def __post_init__(self) -> None:
        """Refuse ids that could reach a key."""
        super().__post_init__()
        check_message_id(self.message_id)


class MarkRead(_OfMessage, frozen=True, tag="mark_read"):
    """Everything up to a message of the channel is read."""


class MessageRead(_OfMessage, frozen=True, tag="message.read"):
    """A message of the channel is read: a read receipt."""


@handlers.handles(MarkRead)
async def mark_read(context: FrameContext, session: Session, frame: MarkRead) -> None:
    """Move the user's read pointer. There is no answer; the user's other devices get `sync.read`."""
    async with refusals_of(frame):
        await context.commands.mark_read(
            session.user_id, frame.channel_id, frame.message_id, device_id=session.device_id
        )


@handlers.handles(MessageRead)
async def message_read(context: FrameContext, session: Session, frame: MessageRead) -> None:
    """Note that the user has read a message. There is no answer; the members of a small channel get `receipt.read`."""
    await asyncio.sleep(session.pace_of_receipts())
    async with refusals_of(frame):
        await context.commands.message_read(session.user_id, frame.channel_id, frame.message_id)
