"""The parts that a module of client frames uses: the declaration of a frame's handler, and the errors of frames."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from fanout.error_codes import ErrorCode
from fanout.ids import check_id
from fanout.ports.bus import Bus
from fanout.ports.commands import ClientCommands
from services.notification.housekeeping import Housekeeping
from services.notification.registry import Registry
from services.notification.server_frames import server_frame
from services.notification.session import Session
from services.notification.user_routing import UserRouting


@dataclass(frozen=True)
class FrameContext:
    """The parts of an instance that handlers of frames use."""

    registry: Registry
    user_routing: UserRouting
    housekeeping: Housekeeping
    bus: Bus
    commands: ClientCommands


FrameHandler = Callable[[FrameContext, Session, Any], Awaitable[None]]
"""Handles one frame of an authenticated session. May raise `BadFrame`."""

_Frame = TypeVar("_Frame", bound=msgspec.Struct)


class FrameHandlers:
    """The frame types that one module declares, each with its handler."""

    def __init__(self) -> None:
        self.by_type: dict[type[msgspec.Struct], FrameHandler] = {}

    def handles(
        self, frame_type: type[_Frame]
    ) -> Callable[
        [Callable[[FrameContext, Session, _Frame], Awaitable[None]]],
        Callable[[FrameContext, Session, _Frame], Awaitable[None]],
    ]:
        """Register the decorated function as the handler of a frame type.

        Args:
            frame_type: a struct whose `tag` is the value of the field `type`. Its `__post_init__` checks ids.
        """

        def register(
            handler: Callable[[FrameContext, Session, _Frame], Awaitable[None]],
        ) -> Callable[[FrameContext, Session, _Frame], Awaitable[None]]:
            self.by_type[frame_type] = handler
            return handler

        return register


class ChannelFrame(msgspec.Struct, frozen=True):
    """The base of a frame that names a channel."""

    channel_id: str

    def __post_init__(self) -> None:
        """Refuse a channel id that could reach a subject or a key."""
        check_id(self.channel_id, "channel_id")


class BadFrame(Exception):  # noqa: N818 - it describes the frame
    """The frame is answered by `error`, and the connection stays open.

    Args:
        error: what is wrong, with the code for programs.
        message: what is wrong, for people.
        frame_type: the `type` of the offending frame.

    Attributes:
        code: of the error.
        frame_type: as given.
    """

    def __init__(self, error: ErrorCode, message: str, frame_type: str) -> None:
        super().__init__(message)
        self.code = error.code
        self.frame_type = frame_type

    @classmethod
    def of(cls, frame: msgspec.Struct, error: ErrorCode, message: str) -> "BadFrame":
        """The error of a frame that was decoded."""
        return cls(error, message, type_of(type(frame)))

    def answer(self) -> bytes:
        """The `error` frame. It names the offending type as `offending_type`, since `type` is its own."""
        return server_frame("error", code=self.code, message=str(self), offending_type=self.frame_type)


class MalformedFrame(Exception):  # noqa: N818 - it describes the frame
    """The frame is no JSON object with a `type`: the connection is closed with 4400."""


def type_of(frame: type[msgspec.Struct]) -> str:
    """The value of `type` in frames of a struct."""
    return str(frame.__struct_config__.tag)
