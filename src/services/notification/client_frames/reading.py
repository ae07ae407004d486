"""`mark_read`: the client has shown a channel up to a message."""

from fanout.error_codes import UNAVAILABLE
from fanout.errors import CallRejected, Unavailable
from fanout.ids import check_message_id
from services.notification.client_frames.handlers import BadFrame, ChannelFrame, FrameContext, FrameHandlers
from services.notification.session import Session

handlers = FrameHandlers()


class MarkRead(ChannelFrame, frozen=True, tag="mark_read"):
    """Everything up to a message of the channel is read."""

    message_id: str

    def __post_init__(self) -> None:
        """Refuse ids that could reach a key."""
        super().__post_init__()
        check_message_id(self.message_id)


@handlers.handles(MarkRead)
async def mark_read(context: FrameContext, session: Session, frame: MarkRead) -> None:
    """Move the user's read pointer. There is no answer.

    The pointer is stored when the command returns it, so the user's other devices can be told from here.
    """
    try:
        await context.commands.mark_read(session.user_id, frame.channel_id, frame.message_id)
    except CallRejected as error:
        raise BadFrame.of(frame, error.error_code, str(error)) from error
    except Unavailable as error:
        raise BadFrame.of(frame, UNAVAILABLE, UNAVAILABLE.text) from error
