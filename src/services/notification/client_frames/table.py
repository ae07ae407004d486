"""From a client's bytes to the handler of the frame's type."""

from collections.abc import Iterable
from typing import Any, Union

import msgspec

from fanout import InvalidId, machine
from fanout.error_codes import INVALID_FRAME, INVALID_ID, UNKNOWN_TYPE
from services.notification.client_frames.handlers import (
    BadFrame,
    FrameContext,
    FrameHandler,
    FrameHandlers,
    MalformedFrame,
    type_of,
)
from services.notification.session import Session

_TYPE_IN_ERRORS = 64
"""Characters of an unknown type that the answer repeats."""


class _Typed(msgspec.Struct):
    type: str


_type_decoder = msgspec.json.Decoder(_Typed)


class FrameTable:
    """Every frame that clients may send, with its handler.

    Args:
        concerns: what the modules declare. A type belongs to one of them.
    """

    def __init__(self, concerns: Iterable[FrameHandlers]) -> None:
        self._handlers: dict[type[msgspec.Struct], FrameHandler] = {}
        for concern in concerns:
            self._handlers.update(concern.by_type)
        self.types = frozenset(map(type_of, self._handlers))
        """The values of `type` that are known."""
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Union[tuple(self._handlers)])  # noqa: UP007 - the types are known at run time only

    def decode(self, raw: str | bytes) -> msgspec.Struct:
        """Read a client's frame.

        Raises:
            MalformedFrame: it is binary, or no JSON object with a `type`.
            BadFrame: its type is unknown, or a field is missing, has the wrong type, or is no valid id.
        """
        if isinstance(raw, bytes):
            raise MalformedFrame("frames are text")
        frame_type = _type_in(raw)
        if frame_type not in self.types:
            shown = frame_type[:_TYPE_IN_ERRORS]
            raise BadFrame(UNKNOWN_TYPE, f"no frame of type {shown!r} is known here", shown)
        try:
            frame: msgspec.Struct = self._decoder.decode(raw)
        except (msgspec.ValidationError, InvalidId) as error:
            code = INVALID_ID if isinstance(error.__cause__ or error, InvalidId) else INVALID_FRAME
            raise BadFrame(code, str(error), frame_type) from error
        return frame

    async def handle(self, context: FrameContext, session: Session, raw: str | bytes) -> None:
        """Decode a frame of an authenticated session, and call the handler of its type.

        Raises:
            MalformedFrame: the connection must be closed.
            BadFrame: to be answered by `error`.
        """
        session.heard_at = machine.monotonic_s()
        frame = self.decode(raw)
        await self._handlers[type(frame)](context, session, frame)


def _type_in(raw: str) -> str:
    try:
        return _type_decoder.decode(raw).type
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedFrame(f"not a JSON object with a type: {error}") from error
