"""`heartbeat`: keeps the connection and its presence record alive, and reports how far delivery has come."""

import msgspec

from fanout import machine
from fanout.error_codes import WRONG_DEVICE, CloseCode
from fanout.ids import check_id
from fanout.ports.presence import ClientState
from services.notification.client_frames.handlers import BadFrame, FrameContext, FrameHandlers
from services.notification.server_frames import server_frame
from services.notification.session import Session

handlers = FrameHandlers()


class Heartbeat(msgspec.Struct, frozen=True, tag="heartbeat"):
    """Sent every 30 s: the connection is alive, and what its user does."""

    device_id: str | None = None
    state: ClientState | None = None
    focused_channel: str | None = None
    client_timestamp: str | None = None

    def __post_init__(self) -> None:
        """Refuse a channel id that could reach a key."""
        if self.focused_channel is not None:
            check_id(self.focused_channel, "focused_channel")


@handlers.handles(Heartbeat)
async def renew_session(context: FrameContext, session: Session, frame: Heartbeat) -> None:
    """Record what the client says, at once if that is new, and answer `heartbeat.ok`.

    A session whose token has expired is ended.
    """
    if frame.device_id not in {None, session.device_id}:
        raise BadFrame.of(frame, WRONG_DEVICE, "the heartbeat names another device than this connection's")
    if session.identity.expires_at <= machine.wall_s():
        session.end(CloseCode.UNAUTHENTICATED, "the token has expired")
        return
    is_new = session.attends(frame.state or session.client_state, frame.focused_channel)
    context.housekeeping.renew(session, at_once=is_new)
    delivered = context.user_routing.delivered_upto(session)
    context.registry.write_queue.answer(session, server_frame("heartbeat.ok", seq=delivered))
