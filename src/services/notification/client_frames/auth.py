"""`auth`: who the client is. It must be the first frame, which `Admission` reads; a later one is an error."""

from typing import Any

import msgspec

from fanout.error_codes import ALREADY_AUTHENTICATED
from fanout.ids import check_device_id
from services.notification.client_frames.handlers import BadFrame, FrameContext, FrameHandlers
from services.notification.session import Session

handlers = FrameHandlers()


class Auth(msgspec.Struct, frozen=True, tag="auth"):
    """The first frame of a connection."""

    device_id: str
    token: str | None = None
    platform: str | None = None
    resume: dict[str, Any] | None = None
    last_event_seq: int | None = None
    last_seen: str | None = None

    def __post_init__(self) -> None:
        """Refuse a device id that could reach a key."""
        check_device_id(self.device_id)


@handlers.handles(Auth)
async def refuse_second_auth(_context: FrameContext, _session: Session, frame: Auth) -> None:
    """The session is authenticated already."""
    raise BadFrame.of(frame, ALREADY_AUTHENTICATED, "this connection is authenticated")
