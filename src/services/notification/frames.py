"""What clients send, decoded and checked, and the small frames that answer them. Contract section 3."""

from typing import Any, Literal

import msgspec

from fanout import InvalidId, text_frame
from fanout.events import encode
from fanout.ids import check_device_id, check_id


class Auth(msgspec.Struct, frozen=True, tag="auth"):
    """The first frame."""

    device_id: str
    token: str | None = None
    platform: str | None = None
    resume: dict[str, Any] | None = None
    last_event_seq: int | None = None
    last_seen: str | None = None

    def __post_init__(self) -> None:
        """Refuse a device id that could reach a key."""
        check_device_id(self.device_id)


class Heartbeat(msgspec.Struct, frozen=True, tag="heartbeat"):
    """Every 30 s: the connection lives, and what its user does."""

    device_id: str | None = None
    state: Literal["active", "idle", "background"] = "active"
    focused_channel: str | None = None
    client_timestamp: str | None = None

    def __post_init__(self) -> None:
        """Refuse a channel that could reach a key."""
        if self.focused_channel is not None:
            check_id(self.focused_channel, "focused_channel")


class _ChannelFrame(msgspec.Struct, frozen=True):
    channel_id: str

    def __post_init__(self) -> None:
        """Refuse a channel that could reach a subject."""
        check_id(self.channel_id, "channel_id")


class TypingStart(_ChannelFrame, frozen=True, tag="typing.start"):
    """The user types."""


class TypingStop(_ChannelFrame, frozen=True, tag="typing.stop"):
    """The user has stopped typing."""


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Answered by `pong`."""


ClientFrame = Auth | Heartbeat | TypingStart | TypingStop | Ping

_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(ClientFrame)


class _Typed(msgspec.Struct):
    type: str


_type_of = msgspec.json.Decoder(_Typed)
_known = frozenset({"auth", "heartbeat", "typing.start", "typing.stop", "ping"})


class BadFrame(Exception):  # noqa: N818 - it describes the frame
    """A frame that is answered by `error`; the connection lives on.

    Attributes:
        code: stable, for programs.
        frame_type: the offending frame's `type`.
    """

    def __init__(self, code: str, message: str, frame_type: str) -> None:
        super().__init__(message)
        self.code = code
        self.frame_type = frame_type


class MalformedFrame(Exception):  # noqa: N818 - it describes the frame
    """A frame that is no JSON object with a `type`: the connection is closed with 4400."""


def decode(frame: str | bytes) -> ClientFrame:
    """Read a client's frame.

    Raises:
        MalformedFrame: it is binary, or no JSON object with a `type`.
        BadFrame: its type is unknown, or a field is missing, of the wrong type, or holds what an id may not.
    """
    if isinstance(frame, bytes):
        raise MalformedFrame("frames are text")
    try:
        kind = _type_of.decode(frame).type
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedFrame(f"not a JSON object with a type: {error}") from error
    if kind not in _known:
        raise BadFrame("unknown_type", f"no frame of type {kind[:64]!r} is known here", kind[:64])
    try:
        decoded: ClientFrame = _decoder.decode(frame)
    except (msgspec.ValidationError, InvalidId) as error:
        code = "invalid_id" if isinstance(error.__cause__ or error, InvalidId) else "invalid_frame"
        raise BadFrame(code, str(error), kind) from error
    return decoded


def server_frame(kind: str, **fields: object) -> bytes:
    """A WebSocket text frame of one JSON object; fields that are None are left out."""
    present = {name: value for name, value in fields.items() if value is not None}
    return text_frame(encode({"type": kind, **present}))


def error_frame(error: BadFrame) -> bytes:
    """The `error` answer; `offending` names the frame's type, since `type` is this frame's own."""
    return text_frame(
        encode({"type": "error", "code": error.code, "message": str(error), "offending_type": error.frame_type})
    )
