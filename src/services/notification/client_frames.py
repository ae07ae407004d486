"""What a client's frames do."""

import time

import msgspec
import structlog

from fanout import Unavailable, text_frame
from fanout.events import Typing as TypingNotice
from fanout.events import typing_frame
from fanout.ports.bus import Bus
from fanout.subjects import typing as typing_subject
from services.notification.close_codes import UNAUTHENTICATED
from services.notification.frames import (
    Auth,
    BadFrame,
    Heartbeat,
    Ping,
    TypingStart,
    TypingStop,
    decode,
    server_frame,
)
from services.notification.housekeeping import Housekeeping
from services.notification.inbox import Inbox
from services.notification.registry import Registry
from services.notification.session import Session

log = structlog.get_logger(__name__)

PONG = server_frame("pong")


class ClientFrames:
    """Handles the frames of authenticated clients."""

    def __init__(self, registry: Registry, inbox: Inbox, housekeeping: Housekeeping, bus: Bus) -> None:
        self._registry = registry
        self._inbox = inbox
        self._housekeeping = housekeeping
        self._bus = bus

    async def handle(self, session: Session, raw: str | bytes) -> None:
        """Do what a frame asks.

        Raises:
            MalformedFrame: the connection must be closed.
            BadFrame: to be answered by `error`.
        """
        session.heard_at = time.monotonic()
        match decode(raw):
            case Heartbeat() as frame:
                self._heartbeat(session, frame)
            case TypingStart(channel_id):
                await self._typing(session, channel_id, typing=True)
            case TypingStop(channel_id):
                await self._typing(session, channel_id, typing=False)
            case Ping():
                self._registry.write_queue.answer(session, PONG)
            case Auth():
                raise BadFrame("already_authenticated", "this connection is authenticated", "auth")

    def _heartbeat(self, session: Session, frame: Heartbeat) -> None:
        if frame.device_id not in {None, session.device_id}:
            raise BadFrame("wrong_device", "the heartbeat names another device than this connection's", "heartbeat")
        if session.identity.expires_at <= time.time():
            session.end(UNAUTHENTICATED, "the token has expired")
            return
        session.client_state = frame.state
        session.focused_channel = frame.focused_channel
        self._housekeeping.heard(session)
        upto = self._inbox.delivered_upto()
        self._registry.write_queue.answer(session, server_frame("heartbeat.ok", seq=upto))

    async def _typing(self, session: Session, channel_id: str, *, typing: bool) -> None:
        kind = "typing.start" if typing else "typing.stop"
        if not self._registry.is_member(session.user_id, channel_id):
            raise BadFrame("not_a_member", "only members of a channel type in it", kind)
        if not session.may_type():
            return
        frame = text_frame(typing_frame(channel_id, session.user_id, typing=typing))
        self._registry.deliver(channel_id, frame, ephemeral=True, without=session.user_id)
        notice = TypingNotice(session.user_id, session.instance_id, typing)
        try:
            await self._bus.publish(typing_subject(channel_id), msgspec.json.encode(notice))
        except Unavailable:
            log.debug("typing not passed on: the bus is away")
