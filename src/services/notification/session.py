"""A session: one authenticated connection."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from fanout import machine
from fanout.error_codes import CloseCode
from fanout.events import timestamp
from fanout.ids import new_session_id
from fanout.ports.authenticator import Identity
from fanout.ports.presence import ClientState, DeviceConnection
from fanout.ports.socket import Socket
from services.notification.catch_up.absence import Absence, ResumePoint
from services.notification.metrics import CONNECTIONS_CLOSED
from services.runtime.rates import Rate

log = structlog.get_logger(__name__)

FRAMES: Final = Rate(per_s=50.0, at_once=100)
"""Frames of one client. Those above the rate are read later."""
RECEIPTS: Final = Rate(per_s=10.0, at_once=100)
"""Read receipts of one client. Those above the rate are handled later, and so are the frames behind them."""
TYPING: Final = Rate(per_s=5.0, at_once=10)
"""Typing notices of one client that are passed on. Those above the rate are dropped."""
REPLACED: Final = "replaced: the device has connected again"


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
    heard_at: float = field(default_factory=machine.monotonic_s)
    client_state: ClientState = "idle"
    focused_channel: str | None = None
    order: int = 0
    """The number of its connection in the presence store; 0 until it is recorded."""
    refreshes_at: float = float("-inf")
    """When the client refreshes, as it was told because the log went back; in seconds of the monotonic clock."""
    absence: Absence | None = None
    """The client says that it was away; None if it does not."""
    resumes_from: ResumePoint | None = None
    """The point from which the log can be replayed to the client that was away; None if there is none."""
    given: int = 0
    """Every message up to this seq that concerns the client was given to this connection, or by its catch-up before."""
    is_live: bool = True
    """Whether live events are given to it; False while it catches up."""
    away_since: str | None = None
    """When the device was last known to be connected before this session; None if it never was."""
    ending: Ending | None = None
    """Set when the server ends the session; None before."""
    number: int = -1
    """The number of its socket in the write queue, while the session is in the registry."""
    _on_end: "Callable[[Session, Ending], None] | None" = None
    _newest: int = 0
    """The highest number of a connection of the same device that was heard of."""
    _frames: float = 0.0
    _receipts: float = 0.0
    _typing: float = 0.0

    @property
    def user_id(self) -> str:
        """The user of the connection."""
        return self.identity.user_id

    def connection(self, incarnation: str) -> DeviceConnection:
        """The connection as the presence store records it.

        Args:
            incarnation: of the instance.
        """
        return DeviceConnection(
            user_id=self.user_id,
            device_id=self.device_id,
            instance_id=self.instance_id,
            connected_at=self.connected_at,
            client_state=self.client_state,
            focused_channel=self.focused_channel,
            last_activity=timestamp(),
            incarnation=incarnation,
            order=self.order,
        )

    def attends(self, state: ClientState, focused_channel: str | None) -> bool:
        """Take what the client says of itself. Returns whether it is new."""
        before = (self.client_state, self.focused_channel)
        self.client_state, self.focused_channel = state, focused_channel
        return before != (state, focused_channel)

    def recorded(self, order: int) -> None:
        """The connection was recorded under a number. The session ends if the device has connected again since."""
        self.order = order
        self.replaced_by(0)

    def replaced_by(self, order: int) -> None:
        """A connection of the same device has this number. The session ends if that is the newer one."""
        self._newest = max(self._newest, order)
        if 0 < self.order < self._newest:
            self.end(CloseCode.REPLACED, REPLACED)

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

    def is_wanted(self) -> bool:
        """Whether the client is there, and the session is not to end."""
        return self.ending is None and not self.socket.is_closed

    def pace(self) -> float:
        """Seconds to wait before the client's next frame is read, so that one client cannot keep the instance busy.

        TCP then slows a client that sends faster.
        """
        self._frames, wait = FRAMES.spend(self._frames, machine.monotonic_s())
        return wait

    def pace_of_receipts(self) -> float:
        """Seconds to wait before a receipt is handled, as each may be a frame for every member of its channel."""
        self._receipts, wait = RECEIPTS.spend(self._receipts, machine.monotonic_s())
        return wait

    def may_type(self) -> bool:
        """Whether a typing notice is passed on now: the rate is limited, as each is a frame for every reader."""
        without, wait = TYPING.spend(self._typing, machine.monotonic_s())
        if wait:
            return False
        self._typing = without
        return True
