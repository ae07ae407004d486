"""Drafts on their way to the server: the last text of each channel arrives, and a stale one replaces nothing."""

from dataclasses import dataclass
from typing import Any, Final

from fanout.client.client_frames import encode
from fanout.client.errors import OutboxFull
from fanout.client.events import Draft, DraftLoad, DraftSaved, ErrorFrame, Event, SyncDraft
from fanout.client.outbox import WORTH_REPEATING

SAVE: Final = "draft.save"
MOST_WAITING: Final = 10_000
LONGEST_FRAME: Final = 256 * 1024
"""Characters. A server closes the connection at a longer frame, and the client would send it again."""

_CONFLICT: Final = "draft_conflict"

Content = dict[str, Any] | None
"""The fields of a draft; None if there is none."""


@dataclass(slots=True)
class _Edit:
    content: Content
    base: str | None
    """The `updated_at` of the draft that was edited; None if there was none."""
    earlier: tuple[Content, ...] = ()
    """The contents that this client sent before and got no answer to: one may be stored."""

    def frame(self, channel_id: str) -> str:
        """The frame that saves it."""
        fields: dict[str, Any] = {"draft": None} if self.content is None else self.content
        return encode(SAVE, channel_id=channel_id, base_updated_at=self.base, **fields)

    @property
    def draft(self) -> Draft | None:
        """The draft as it will be."""
        return None if self.content is None else Draft(**self.content)


class DraftBox:
    """Saves drafts, one edit of a channel at a time.

    An edit names the draft that it was made from. If there is another one by now, the server refuses the edit and tells
    that draft, which replaces the edit. The server answers the edits of a connection in their order.
    """

    def __init__(self) -> None:
        self._known: dict[str, str | None] = {}
        """The `updated_at` of the newest draft of each channel that this client knows."""
        self._edits: dict[str, _Edit] = {}
        """The newest edit of each channel that is not sent."""
        self._sent: dict[str, _Edit] = {}
        """The edit of each channel that is sent and not answered, in their order."""
        self._refused: dict[str, _Edit] = {}
        """The edits that were refused, and of which the newer draft is about to come."""
        self._withheld: dict[str, SyncDraft] = {}
        """By channel, the last draft of which the program was not told, because an edit was under way."""

    def save(self, channel_id: str, content: Content) -> None:
        """Replace the draft of a channel, or delete it.

        Raises:
            OutboxFull: too many drafts wait to be sent.
            ValueError: it is too long.
        """
        edit = self._edits.get(channel_id) or _Edit(content, self._known.get(channel_id))
        if len(_Edit(content, edit.base).frame(channel_id)) > LONGEST_FRAME:
            raise ValueError(f"a draft may have {LONGEST_FRAME:,} characters, with its attachments")
        if channel_id not in self._edits and len(self._edits) >= MOST_WAITING:
            raise OutboxFull(f"{MOST_WAITING:,} drafts wait to be sent")
        edit.content = content
        self._edits[channel_id] = edit

    def take_unsent(self) -> list[str]:
        """The frames to send now: none of a channel whose last one is not answered."""
        ready = [channel_id for channel_id in self._edits if not self._is_awaited(channel_id)]
        for channel_id in ready:
            self._sent[channel_id] = self._edits.pop(channel_id)
        return [self._sent[channel_id].frame(channel_id) for channel_id in ready]

    def hear(self, event: Event) -> list[Event]:
        """Take what the server says of drafts, and return what the program is told of it. There may be more to send.

        While an edit is under way the program is told of no other draft: the edit will either replace that, or be
        refused, and then the program is told.
        """
        match event:
            case DraftSaved(channel_id=channel_id, updated_at=updated_at):
                self._sent.pop(channel_id, None)
                self._follow(channel_id, updated_at)
                return [event, *self._still_newer(channel_id)]
            case ErrorFrame(offending_type="draft.save", code=code) if self._sent:
                return [event, *self._note_error(code)]
            case SyncDraft():
                return self._note_draft(event)
            case DraftLoad(channel_id=channel_id):
                self._learn(channel_id, event.updated_at)
                under_way = self._under_way(channel_id)
                return [event if under_way is None else DraftLoad(channel_id=channel_id, draft=under_way.draft)]
        return [event]

    def note_loss(self) -> None:
        """The connection is lost: what was not answered is to be sent again, unless there is a newer edit."""
        for channel_id, sent in (self._sent | self._refused).items():
            self._put_back(channel_id, sent)
        self._sent.clear()
        self._refused.clear()

    def _is_awaited(self, channel_id: str) -> bool:
        return channel_id in self._sent or channel_id in self._refused

    def _under_way(self, channel_id: str) -> _Edit | None:
        return self._edits.get(channel_id) or self._sent.get(channel_id) or self._refused.get(channel_id)

    def _learn(self, channel_id: str, updated_at: str | None) -> None:
        self._known[channel_id] = max(self._known.get(channel_id) or "", updated_at or "") or None

    def _note_error(self, code: str) -> list[SyncDraft]:
        channel_id = next(iter(self._sent))
        sent = self._sent.pop(channel_id)
        if code == _CONFLICT:
            self._refused[channel_id] = sent
        elif code in WORTH_REPEATING:
            self._put_back(channel_id, sent)
        return self._still_newer(channel_id)

    def _note_draft(self, event: SyncDraft) -> list[Event]:
        channel_id = event.channel_id
        if channel_id in self._refused:
            self._withheld.pop(channel_id, None)
            self._note_refusal(event, self._refused.pop(channel_id))
        else:
            self._learn(channel_id, event.updated_at)
        if self._under_way(channel_id) is None:
            return [event]
        self._withheld[channel_id] = event
        return []

    def _still_newer(self, channel_id: str) -> list[SyncDraft]:
        """The draft of which the program was not told, if no edit is under way and it is the newest one."""
        if self._under_way(channel_id) is not None:
            return []
        withheld = self._withheld.pop(channel_id, None)
        if withheld is None or (withheld.updated_at or "") <= (self._known.get(channel_id) or ""):
            return []
        self._learn(channel_id, withheld.updated_at)
        return [withheld]

    def _note_refusal(self, event: SyncDraft, refused: _Edit) -> None:
        """Let the next edit be made from the draft that there is if this client has saved that; else drop the edit."""
        channel_id, updated_at = event.channel_id, event.updated_at or None
        if any(_is_content(event.draft, content) for content in (refused.content, *refused.earlier)):
            if not _is_content(event.draft, refused.content):
                self._put_back(channel_id, refused)
            self._follow(channel_id, updated_at)
        else:
            self._known[channel_id] = updated_at
            self._edits.pop(channel_id, None)

    def _follow(self, channel_id: str, updated_at: str | None) -> None:
        """The draft is what this client has saved, so its next edit was made from that."""
        self._known[channel_id] = updated_at
        if channel_id in self._edits:
            self._edits[channel_id].base = updated_at
            self._edits[channel_id].earlier = ()

    def _put_back(self, channel_id: str, sent: _Edit) -> None:
        """Make an edit one that is to be sent, or let the newer one be sent in its place."""
        newer = self._edits.get(channel_id)
        if newer is None:
            self._edits[channel_id] = sent
        else:
            newer.base, newer.earlier = sent.base, (*sent.earlier, sent.content)


def _is_content(draft: Draft | None, content: Content) -> bool:
    """Whether a draft has a content."""
    if draft is None or content is None:
        return draft is None and content is None
    fields = draft.text, draft.reply_to, draft.attachments or []
    return fields == (content["text"], content.get("reply_to"), content.get("attachments") or [])
