"""What handlers of frames use of an instance, with members of a channel on sockets that the tests read."""

from types import SimpleNamespace
from typing import Any, cast

from fanout.packed_ids import pack
from services.adapters.embedded.bus import EmbeddedBus
from services.notification.client_frames.concerns import CLIENT_FRAMES
from services.notification.client_frames.handlers import FrameContext
from services.notification.registry import Registry
from services.notification.session import Session
from tests.support.harness import Client, RecordedCommands
from tests.support.sessions import session_of

DELIVERED = 7


class Room:
    """The parts of one instance."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.bus = EmbeddedBus()
        self.commands = RecordedCommands()
        self.renewed: list[tuple[Session, bool]] = []
        user_routing = SimpleNamespace(delivered_upto=lambda _user_id: DELIVERED)
        housekeeping = SimpleNamespace(renew=lambda session, *, at_once: self.renewed.append((session, at_once)))
        self.context = FrameContext(
            self.registry, cast("Any", user_routing), cast("Any", housekeeping), self.bus, self.commands
        )

    async def enter(self, user_id: str, *channels: str, expires_at: float = 4e9) -> Session:
        """Add a session that was told `auth.ok` and reads channels."""
        session = session_of(user_id, expires_at=expires_at)
        self.registry.add(session)
        await self.registry.subscribe(session, pack(channels))
        self.registry.write_queue.open(session, b"")
        return session

    async def send(self, session: Session, raw: str) -> None:
        await CLIENT_FRAMES.handle(self.context, session, raw)

    def received(self, session: Session) -> list[dict[str, Any]]:
        self.registry.write_queue.flush(session)
        return cast("Client", session.socket).frames
