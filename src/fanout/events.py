"""Stored events, and messages between services: decoded and checked by msgspec, encoded by orjson.

The envelope of a stored message keeps the client's `message` object whole, so that the fan-out path wraps its bytes
without decoding them (see `fanout.message_frame`).
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, TypeVar

import msgspec
import orjson
from msgspec import Meta

from fanout import machine
from fanout._core import check_event, message_frame
from fanout.errors import InvalidEvent
from fanout.ids import check_id, check_message_id

MAX_TEXT: Final = 40_000
MAX_BATCH: Final = 1 << 20
"""Bytes of the longest batch, even if the bus takes more."""
MIN_BATCH: Final = 4_096
"""Bytes that the longest batch must be able to have."""
EVENT_OVERHEAD: Final = 1_536
"""An upper bound of the bytes that a stored message or a batch adds to an event: headers, names, a lane and a seq."""
MESSAGE_NEW: Final = "message.new"
MEMBER_JOINED: Final = "member.joined"
MEMBER_LEFT: Final = "member.left"
RECEIPT_READ: Final = "receipt.read"


Timestamp = Annotated[str, Meta(description="RFC 3339, UTC, milliseconds", extra_json_schema={"format": "date-time"})]


def timestamp(moment: datetime | None = None) -> str:
    """RFC 3339, UTC, milliseconds, as every time on the wire."""
    moment = machine.utc_now() if moment is None else moment.astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def later_timestamp(than: str) -> str:
    """The timestamp a millisecond after another one."""
    return timestamp(datetime.fromisoformat(than) + timedelta(milliseconds=1))


def longest_event(max_payload: int) -> int:
    """Bytes of the longest event that can be stored and delivered.

    Args:
        max_payload: bytes that one message of the log and the bus may have.
    """
    return min(max_payload, MAX_BATCH) - EVENT_OVERHEAD


class Message(msgspec.Struct, omit_defaults=True, frozen=True):
    """A message as clients see it, contract section 3.

    A message with a `thread_id` is a reply. It belongs to the thread, and to the channel too only with
    `also_send_to_channel`.
    """

    message_id: str
    channel_id: str
    sender_id: str
    text: str
    sent_at: Timestamp
    thread_id: Annotated[
        str | None, Meta(description="Of a reply: the `message_id` of the first message of its thread.")
    ] = None
    mentions: list[str] | None = None
    attachments: list[Any] | None = None
    client_msg_id: str | None = None
    also_send_to_channel: Annotated[
        bool | None, Meta(description="Of a reply: whether it was sent to the channel too.")
    ] = None

    @property
    def is_only_in_thread(self) -> bool:
        """Whether it is a reply that was not sent to the channel too."""
        return self.thread_id is not None and not self.also_send_to_channel


class StoredMessage(Message, omit_defaults=True, frozen=True, kw_only=True):
    """A message of the history, with its position in the log."""

    seq: Annotated[int, Meta(description="The message's position in the log: within a channel it gives the order.")]

    @classmethod
    def of(cls, message: Message, seq: int) -> "StoredMessage":
        """A message with its position."""
        return cls(**msgspec.structs.asdict(message), seq=seq)


class MessageEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """The payload of `messages.send.{channel_id}`.

    `message` is the client's object as bytes (`msgspec.Raw`): a reader that needs its fields decodes it as `Message`.
    """

    event_id: str
    type: str
    channel_id: str
    message: msgspec.Raw
    correlation_id: str | None = None


class MemberEvent(msgspec.Struct, frozen=True, tag_field="type"):
    """The fields that the payloads of `channels.member.*` share.

    `version` rises with each change of the same user and channel: an event with a lower one than another that was seen
    is older than that, wherever it is in the log, and must not undo it.
    """

    event_id: str
    channel_id: str
    user_id: str
    at: str
    version: Annotated[int, Meta(ge=1, le=2**63 - 1)]


class MemberJoined(MemberEvent, frozen=True, omit_defaults=True, tag=MEMBER_JOINED):
    """The payload of `channels.member.joined.{channel_id}`.

    `messages_seq` is the end of MESSAGES when the event was published: what is up to there is read for the new member.
    """

    messages_seq: int | None = None


class MemberLeft(MemberEvent, frozen=True, tag=MEMBER_LEFT):
    """The payload of `channels.member.left.{channel_id}`."""


class ReceiptRead(msgspec.Struct, frozen=True, tag_field="type", tag=RECEIPT_READ):
    """The payload of `receipts.read.{channel_id}`: users who have read a message, at a time."""

    event_id: str
    channel_id: str
    message_id: str
    read_by: Annotated[list[str], Meta(min_length=1)]
    read_at: Timestamp


class Typing(msgspec.Struct, frozen=True):
    """The payload of `client.typing.{channel_id}`."""

    user_id: str
    instance_id: str
    typing: bool


_message_event = msgspec.json.Decoder(MessageEvent)
_message = msgspec.json.Decoder(Message)
_member_event: msgspec.json.Decoder[MemberJoined | MemberLeft] = msgspec.json.Decoder(MemberJoined | MemberLeft)
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_receipt_event = msgspec.json.Decoder(ReceiptRead)
_typing = msgspec.json.Decoder(Typing)


def decode_message_event(payload: bytes, channel_id: str) -> Message:
    """The message inside a stored event.

    Args:
        payload: the event as the log holds it.
        channel_id: the channel of its subject, which the event must name too.

    Raises:
        InvalidEvent: the bytes are no message event of that channel.
    """
    try:
        message_frame(
            0, 0, channel_id, payload
        )  # the check that fan-out makes: every reader must refuse the same events
        return _message.decode(_message_event.decode(payload).message)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidEvent(f"not a message event: {error}") from error


def decode_member_event(payload: bytes, channel_id: str) -> MemberJoined | MemberLeft:
    """The membership change inside a stored event.

    Raises:
        InvalidEvent: the bytes are no member event of that channel, or none that the engine would route.
    """
    try:
        check_event(payload)
        event = _member_event.decode(payload)
        check_id(event.user_id, "user_id")
        check_id(event.channel_id, "channel_id")
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidEvent(f"not a member event: {error}") from error
    return _of_channel(event, channel_id)


def decode_receipt_event(payload: bytes, channel_id: str) -> ReceiptRead:
    """The read receipt inside a stored event.

    Raises:
        InvalidEvent: the bytes are no receipt of that channel, or none that the engine would route.
    """
    try:
        check_event(payload)
        event = _receipt_event.decode(payload)
        check_id(event.channel_id, "channel_id")
        check_message_id(event.message_id)
        for user_id in event.read_by:
            check_id(user_id, "read_by")
        check_timestamp(event.read_at, "read_at")
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidEvent(f"not a read receipt: {error}") from error
    return _of_channel(event, channel_id)


def decode_typing(payload: bytes) -> Typing:
    """A typing notice from the bus.

    Raises:
        InvalidEvent: the bytes are none.
    """
    try:
        notice = _typing.decode(payload)
        check_id(notice.user_id, "user_id")
        check_id(notice.instance_id, "instance_id")
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidEvent(f"not a typing notice: {error}") from error
    return notice


def check_timestamp(text: str, name: str) -> None:
    """Check that a text is a time as `timestamp` writes it.

    Args:
        text: the text.
        name: of its field, for the error's text.

    Raises:
        ValueError: it is none.
    """
    if _TIMESTAMP.fullmatch(text) is None:
        raise ValueError(f"{name} is not RFC 3339, UTC, with milliseconds")
    datetime.fromisoformat(text)  # such a day and time there is


_OfChannel = TypeVar("_OfChannel", MemberJoined | MemberLeft, ReceiptRead)


def _of_channel(event: _OfChannel, channel_id: str) -> _OfChannel:
    if event.channel_id != channel_id:
        raise InvalidEvent("the event and its subject do not name the same channel")
    return event


def encode(event: msgspec.Struct | dict[str, Any]) -> bytes:
    """Any event as JSON bytes. A `msgspec.Raw` inside it is copied unchanged."""
    return orjson.dumps(event, default=_builtins)


def _builtins(value: object) -> object:
    if isinstance(value, msgspec.Raw):
        return orjson.Fragment(bytes(value))
    return msgspec.to_builtins(value, builtin_types=(msgspec.Raw,))


def typing_frame(channel_id: str, user_id: str, *, typing: bool) -> bytes:
    """The frame by which clients see typing."""
    return encode({"type": "typing", "channel_id": channel_id, "user_id": user_id, "typing": typing})
