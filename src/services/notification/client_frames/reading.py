"""`mark_read` and `message.read`: the client has shown a channel up to a message, or a message."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fanout.error_codes import UNAVAILABLE
from fanout.errors import CallRejected, Unavailable
from fanout.ids import check_message_id
from services.notification.client_frames.handlers import BadFrame, ChannelFrame, FrameContext, FrameHandlers
from services.notification.session import Session

handlers = FrameHandlers()

ANSWERED_WITHIN_S: Final = 10.0
"""Seconds for a command. The client's heartbeats wait behind it, so it ends long before they are missed."""


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
    """Move the user's read pointer. There is no answer.

    The pointer is stored when the command returns it, so the user's other devices can be told from here.
    """
    async with _refusals_of(frame):
        await context.commands.mark_read(session.user_id, frame.channel_id, frame.message_id)


@handlers.handles(MessageRead)
async def message_read(context: FrameContext, session: Session, frame: MessageRead) -> None:
    """Note that the user has read a message. There is no answer; the members of a small channel get `receipt.read`."""
    await asyncio.sleep(session.pace_of_receipts())
    async with _refusals_of(frame):
        await context.commands.message_read(session.user_id, frame.channel_id, frame.message_id)


@asynccontextmanager
async def _refusals_of(frame: ChannelFrame) -> AsyncIterator[None]:
    """Turn what a command is refused with into the error of its frame; a command may take `ANSWERED_WITHIN_S`."""
    try:
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            yield
    except CallRejected as error:
        raise BadFrame.of(frame, error.error_code, str(error)) from error
    except (Unavailable, TimeoutError) as error:
        raise BadFrame.of(frame, UNAVAILABLE, UNAVAILABLE.text) from error
