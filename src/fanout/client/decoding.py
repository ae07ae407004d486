"""From the text of a frame to an event."""

from typing import Any, Final, Union, cast

import msgspec

from fanout.client.errors import ProtocolViolation
from fanout.client.events import Event, ServerFrame, Unknown

KNOWN: Final = {str(frame.__struct_config__.tag): frame for frame in ServerFrame.__subclasses__()}
"""The types of frames that have a struct of their own, each with it."""


class _Typed(msgspec.Struct):
    type: str


_typed: msgspec.json.Decoder[_Typed] = msgspec.json.Decoder(_Typed)
_known: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Union[tuple(KNOWN.values())])  # noqa: UP007 - built at run time
_unknown: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


def decode(text: str) -> Event:
    """The event that a frame of the server tells.

    Raises:
        ProtocolViolation: it is no JSON object with a `type`, or a field of a type that is known is missing or wrong.
    """
    frame_type = _type_of(text)
    if frame_type not in KNOWN:
        return Unknown(type=frame_type, fields=_unknown.decode(text))
    try:
        return cast("Event", _known.decode(text))
    except msgspec.DecodeError as error:
        raise ProtocolViolation(f"the server sent a frame {frame_type} that cannot be read: {error}") from error


def _type_of(text: str) -> str:
    try:
        return _typed.decode(text).type
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProtocolViolation(f"the server sent a frame that is not a JSON object with a type: {error}") from error
