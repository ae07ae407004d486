"""Notices between the devices of one user: the payloads of `user.sync.{user_id}`. Contract section 4.

A notice is about one channel. It says what is stored, so a newer one of the same channel and kind replaces it, and
receivers drop one that is not newer than what they have handled.
"""

from datetime import datetime
from typing import Any, Final

import msgspec

from fanout._core import check_event
from fanout.errors import InvalidEvent
from fanout.events import Timestamp, check_timestamp, encode
from fanout.ids import check_device_id, check_id, check_message_id
from fanout.ports.drafts import Draft


class DraftFields(msgspec.Struct, frozen=True):
    """A draft as clients see it."""

    text: str
    reply_to: str | None
    attachments: list[Any]
    updated_at: Timestamp
    device_id: str | None

    @classmethod
    def of(cls, draft: Draft) -> "DraftFields | None":
        """The fields of a draft; None if there is none."""
        content = draft.content
        if content is None:
            return None
        return cls(content.text, content.reply_to, content.attachments, draft.updated_at, draft.device_id or None)


class _Notice(msgspec.Struct, frozen=True, tag_field="type"):
    user_id: str
    channel_id: str
    source_device: str
    """The device that made the change: it does not get the notice. Empty if that is not known."""

    def __post_init__(self) -> None:
        check_id(self.user_id, "user_id")
        check_id(self.channel_id, "channel_id")
        if self.source_device:
            check_device_id(self.source_device)


class ReadSync(_Notice, frozen=True, tag="read_sync"):
    """The user has read a channel up to a message."""

    last_read_id: str
    last_read_at: str
    seq: int
    """The position of the message in the log."""

    def __post_init__(self) -> None:
        """Refuse ids that are none."""
        super().__post_init__()
        if self.last_read_id:
            check_message_id(self.last_read_id)

    @property
    def version(self) -> int:
        """Rises with each change of the pointer."""
        return self.seq

    def frame(self) -> dict[str, object]:
        """The frame that the user's devices get."""
        return {
            "type": "sync.read",
            "channel_id": self.channel_id,
            "last_read_id": self.last_read_id,
            "last_read_at": self.last_read_at,
        }


class DraftSync(_Notice, frozen=True, tag="draft_sync"):
    """The user has saved or deleted a draft."""

    updated_at: str
    draft: DraftFields | None

    def __post_init__(self) -> None:
        """Refuse ids and times that are none."""
        super().__post_init__()
        check_timestamp(self.updated_at, "updated_at")

    @classmethod
    def of(cls, user_id: str, channel_id: str, draft: Draft, source_device: str = "") -> "DraftSync":
        """The notice of a draft as it is stored."""
        return cls(user_id, channel_id, source_device, draft.updated_at, DraftFields.of(draft))

    @property
    def version(self) -> int:
        """Rises with each change of the draft."""
        return round(datetime.fromisoformat(self.updated_at).timestamp() * 1_000)

    def frame(self) -> dict[str, object]:
        """The frame that the user's devices get."""
        return {
            "type": "sync.draft",
            "channel_id": self.channel_id,
            "draft": self.draft,
            "updated_at": self.updated_at,
        }


UserNotice = ReadSync | DraftSync

_decoder: Final[msgspec.json.Decoder[UserNotice]] = msgspec.json.Decoder(UserNotice)


def decode_user_notice(payload: bytes, user_id: str) -> UserNotice:
    """A notice from the bus.

    Args:
        payload: the bytes.
        user_id: the user whom its subject or its record names; the notice must name the same.

    Raises:
        InvalidEvent: the bytes are no notice about this user, or none that the engine would route.
    """
    try:
        check_event(payload)
        notice = _decoder.decode(payload)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidEvent(f"not a notice between devices: {error}") from error
    if notice.user_id != user_id:
        raise InvalidEvent("the notice and its subject do not name the same user")
    return notice


def encode_user_notice(notice: UserNotice) -> bytes:
    """The payload of a notice."""
    return encode(notice)
