"""`typing.start` and `typing.stop`: passed on to the other members of a channel, here and on other instances.

Typing is disposable: a notice may be dropped for a slow reader, above the sender's rate, or while the bus is away.
"""

import msgspec
import structlog

from fanout import Unavailable, text_frame
from fanout.error_codes import NOT_A_MEMBER
from fanout.events import Typing, typing_frame
from fanout.subjects import typing as typing_subject
from services.notification.client_frames.handlers import BadFrame, ChannelFrame, FrameContext, FrameHandlers
from services.notification.session import Session

log = structlog.get_logger(__name__)

handlers = FrameHandlers()


class TypingStart(ChannelFrame, frozen=True, tag="typing.start"):
    """The user has started to type."""


class TypingStop(ChannelFrame, frozen=True, tag="typing.stop"):
    """The user has stopped typing."""


@handlers.handles(TypingStart)
async def start_typing(context: FrameContext, session: Session, frame: TypingStart) -> None:
    """Pass on that the user types."""
    await _pass_on(context, session, frame, typing=True)


@handlers.handles(TypingStop)
async def stop_typing(context: FrameContext, session: Session, frame: TypingStop) -> None:
    """Pass on that the user types no more."""
    await _pass_on(context, session, frame, typing=False)


async def _pass_on(context: FrameContext, session: Session, frame: ChannelFrame, *, typing: bool) -> None:
    channel_id, user_id = frame.channel_id, session.user_id
    if not context.registry.is_member(user_id, channel_id):
        raise BadFrame.of(frame, NOT_A_MEMBER, "only members of a channel type in it")
    if not session.may_type():
        return
    local = text_frame(typing_frame(channel_id, user_id, typing=typing))
    context.registry.deliver(channel_id, local, ephemeral=True, without=user_id)
    notice = Typing(user_id, session.instance_id, typing)
    try:
        await context.bus.publish(typing_subject(channel_id), msgspec.json.encode(notice))
    except Unavailable:
        log.debug("typing not passed on: the bus is away")
