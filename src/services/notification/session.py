"""A session: one authenticated connection."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from fanout.error_codes import CloseCode
from fanout.events import timestamp
from fanout.ids import new_session_id
from fanout.ports.authenticator import Identity
from fanout.ports.presence import DeviceConnection
from fanout.ports.socket import Socket
from services.notification.metrics import CONNECTIONS_CLOSED

log = structlog.get_logger(__name__)

FRAMES_PER_S = 50.0
"""The rate that one client may send at in the long run."""
FRAMES_AT_ONCE = 100
"""Frames that a client that was quiet may send at once."""
TYPING_PER_S = 5.0
TYPING_AT_ONCE = 10
"""Typing notices of a client that was quiet which are passed on at once. Those above the rate are dropped."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the server ends a session."""

    code: CloseCode
    reason: str


@dataclass(eq=False, slots=True)
class Session:
    """One device's connection on this instance."""

    socket: Socket
    identity: Identity
    device_id: str
    instance_id: str
    budget: int
    """Bytes that may wait for this client; ephemeral frames may use half of it."""
    session_id: str = field(default_factory=new_session_id)
    connected_at: str = field(default_factory=timestamp)
    heard_at: float = field(default_factory=time.monotonic)
    client_state: str = "active"
    focused_channel: str | None = None
    ending: Ending | None = None
    """Set when the server ends the session; None before."""
    number: int = -1
    """The number of its socket in the write queue, while the session is in the registry."""
    _on_end: "Callable[[Session, Ending], None] | None" = None
    _paced_until: float = 0.0
    _typing_until: float = 0.0

    @property
    def user_id(self) -> str:
        """The user of the connection."""
        return self.identity.user_id

    def connection(self) -> DeviceConnection:
        """The connection as the presence store records it."""
        return DeviceConnection(
            user_id=self.user_id,
            device_id=self.device_id,
            instance_id=self.instance_id,
            connected_at=self.connected_at,
            client_state=self.client_state,
            focused_channel=self.focused_channel,
            last_activity=timestamp(),
        )

    def when_ended(self, close: "Callable[[Session, Ending], None]") -> None:
        """Call `close` when the session is ended, or now if it is ended already."""
        self._on_end = close
        if self.ending is not None:
            close(self, self.ending)

    def end(self, code: CloseCode, reason: str) -> None:
        """End the session. Only the first call has an effect."""
        if self.ending is not None:
            return
        self.ending = Ending(code, reason)
        CONNECTIONS_CLOSED.labels(str(code)).inc()
        log.info("session ends", user_id=self.user_id, session_id=self.session_id, code=int(code), reason=reason)
        if self._on_end is not None:
            self._on_end(self, self.ending)

    def pace(self) -> float:
        """Seconds to wait before the client's next frame is read, so that one client cannot keep the instance busy.

        TCP then slows a client that sends faster. The state is one number for each connection: this is the generic cell
        rate algorithm (ITU-T I.371) as a virtual schedule.
        """
        now = time.monotonic()
        self._paced_until = max(self._paced_until, now) + 1 / FRAMES_PER_S
        return max(0.0, self._paced_until - now - FRAMES_AT_ONCE / FRAMES_PER_S)

    def may_type(self) -> bool:
        """Whether a typing notice is passed on now: the rate is limited, as each is a frame for every reader."""
        now = time.monotonic()
        if self._typing_until - now > TYPING_AT_ONCE / TYPING_PER_S:
            return False
        self._typing_until = max(self._typing_until, now) + 1 / TYPING_PER_S
        return True
