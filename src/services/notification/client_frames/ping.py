"""`ping`: lets a client measure the round trip, and learn whether the connection is alive."""

from typing import Final

import msgspec

from services.notification.client_frames.handlers import FrameContext, FrameHandlers
from services.notification.server_frames import server_frame
from services.notification.session import Session

PONG: Final = server_frame("pong")

handlers = FrameHandlers()


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Answered by `pong`."""


@handlers.handles(Ping)
async def answer_ping(context: FrameContext, session: Session, _frame: Ping) -> None:
    """Write `pong`."""
    context.registry.write_queue.answer(session, PONG)
