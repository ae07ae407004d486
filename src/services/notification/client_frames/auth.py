"""`auth`: who the client is. It must be the first frame, which `Admission` reads; a later one is an error."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from fanout.error_codes import ALREADY_AUTHENTICATED
from fanout.errors import InvalidId
from fanout.ids import check_id
from fanout.ports.devices import Platform, platform_of
from fanout.ports.presence import ClientState
from services.notification.catch_up.absence import Absence, Position, ResumePoint
from services.notification.client_frames.handlers import BadFrame, FrameContext, FrameHandlers
from services.notification.session import Session

handlers = FrameHandlers()


class Auth(msgspec.Struct, frozen=True, tag="auth"):
    """The first frame of a connection."""

    device_id: str
    token: str | None = None
    platform: Platform | None = None
    state: ClientState = "idle"
    focused_channel: str | None = None
    resume: ResumePoint | None = None
    last_event_seq: Position | None = None
    last_seen: Annotated[datetime, Meta(tz=True)] | None = None

    def __post_init__(self) -> None:
        """Refuse ids that could reach a key, and a platform that is not the one in the device's."""
        if self.platform not in {None, platform_of(self.device_id)}:
            raise InvalidId(f"platform is {self.platform}, and the device_id names another one")
        if self.focused_channel is not None:
            check_id(self.focused_channel, "focused_channel")

    def absence(self) -> Absence | None:
        """The absence of the client, as it says; None if it says nothing, and so was never connected before."""
        point = self.resume
        if point is None and self.last_event_seq is not None:
            point = ResumePoint(self.last_event_seq)
        return None if point is None and self.last_seen is None else Absence(point, self.last_seen)


@handlers.handles(Auth)
async def refuse_second_auth(_context: FrameContext, _session: Session, frame: Auth) -> None:
    """The session is authenticated already."""
    raise BadFrame.of(frame, ALREADY_AUTHENTICATED, "this connection is authenticated")
