"""`draft.save` and `channel.open`: drafts, which all devices of a user share."""

from typing import Any

from msgspec import UNSET, UnsetType, field

from fanout import text_frame
from fanout.api.messages import check_attachments
from fanout.error_codes import DRAFT_CONFLICT
from fanout.events import encode
from fanout.ids import check_message_id
from fanout.ports.drafts import Base, Draft, DraftContent
from fanout.user_sync import DraftFields, DraftSync
from services.notification.client_frames.commanding import refusals_of
from services.notification.client_frames.handlers import BadFrame, ChannelFrame, FrameContext, FrameHandlers
from services.notification.metrics import FRAMES_REFUSED
from services.notification.server_frames import server_frame
from services.notification.session import Session

handlers = FrameHandlers()


class DraftSave(ChannelFrame, frozen=True, tag="draft.save"):
    """The user's draft in a channel is now this one; with `draft: null` there is none any more."""

    text: str | UnsetType = UNSET
    reply_to: str | None = None
    attachments: list[Any] = field(default_factory=list)
    base_updated_at: str | UnsetType | None = UNSET
    draft: UnsetType | None = UNSET

    def __post_init__(self) -> None:
        """Refuse a frame without a text that deletes nothing, and ids and attachments that cannot be stored."""
        super().__post_init__()
        if (self.text is UNSET) == (self.draft is UNSET):
            raise ValueError("draft.save has either a text or draft: null")
        if self.reply_to is not None:
            check_message_id(self.reply_to, "reply_to")
        check_attachments(self.attachments)

    @property
    def content(self) -> DraftContent | None:
        """The draft; None if it is deleted."""
        return None if self.text is UNSET else DraftContent(self.text, self.reply_to, self.attachments)

    @property
    def base(self) -> Base | None:
        """The draft that the edit was made from; None if the frame does not say."""
        return None if self.base_updated_at is UNSET else Base(self.base_updated_at)


class ChannelOpen(ChannelFrame, frozen=True, tag="channel.open"):
    """The user looks at a channel."""


@handlers.handles(DraftSave)
async def save_draft(context: FrameContext, session: Session, frame: DraftSave) -> None:
    """Save or delete the draft, and answer `draft.saved`. A stale edit is answered by an error and the draft."""
    async with refusals_of(frame):
        saved = await context.commands.save_draft(
            session.user_id, frame.channel_id, frame.content, device_id=session.device_id, base=frame.base
        )
    if saved.is_refused:
        _refuse(context, session, frame, saved.draft)
        return
    answer = server_frame("draft.saved", channel_id=frame.channel_id, updated_at=saved.draft.updated_at)
    context.registry.write_queue.answer(session, answer)


@handlers.handles(ChannelOpen)
async def open_channel(context: FrameContext, session: Session, frame: ChannelOpen) -> None:
    """Note that the channel is focused, and answer `draft.load`."""
    async with refusals_of(frame):
        draft = await context.commands.open_channel(session.user_id, frame.channel_id)
    is_new = session.attends(session.client_state, frame.channel_id)
    context.housekeeping.renew(session, at_once=is_new)
    fields = {"draft": DraftFields.of(draft), "updated_at": draft.updated_at or None}
    answer = text_frame(encode({"type": "draft.load", "channel_id": frame.channel_id, **fields}))
    context.registry.write_queue.answer(session, answer)


def _refuse(context: FrameContext, session: Session, frame: DraftSave, there: Draft) -> None:
    refusal = BadFrame.of(frame, DRAFT_CONFLICT, DRAFT_CONFLICT.text)
    FRAMES_REFUSED.labels(refusal.code).inc()
    context.registry.write_queue.answer(session, refusal.answer())
    notice = DraftSync.of(session.user_id, frame.channel_id, there)
    context.registry.write_queue.queue(session, text_frame(encode(notice.frame())))
