"""Housekeeping: the periodic work of an instance for all its sessions, so that an idle one needs no task of its own."""

from itertools import islice

from fanout import Unavailable, machine
from fanout.error_codes import CloseCode
from fanout.ports.presence import Connections
from services.notification.control import Control
from services.notification.device_sessions import DeviceSessions
from services.notification.lease_keeper import LeaseKeeper
from services.notification.registry import Registry
from services.notification.session import Session
from services.runtime.tasks import Tasks, periodic
from services.runtime.time_slice import TimeSlice

RENEW_LEASE_EVERY_S = 3.0
PUBLISH_DIGEST_EVERY_S = 1.0
RENEW_CONNECTIONS_EVERY_S = 1.0
SWEEP_EVERY_S = 1.0
RECORD_DEVICES_EVERY_S = 1.0
RENEWED_AT_ONCE = 100
"""Connections in one call of the store: a few milliseconds of the event loop."""


class Housekeeping:
    """The periodic tasks of an instance.

    Args:
        registry: has the sessions.
        control: publishes the digest.
        lease_keeper: renews the lease.
        connections: the presence store's record of connections.
        device_sessions: record the activity of devices.
        heartbeat_timeout_s: seconds after which a client that has sent no frame is disconnected.
    """

    def __init__(
        self,
        registry: Registry,
        control: Control,
        lease_keeper: LeaseKeeper,
        connections: Connections,
        device_sessions: DeviceSessions,
        *,
        heartbeat_timeout_s: float,
    ) -> None:
        self._registry = registry
        self._control = control
        self._lease_keeper = lease_keeper
        self._connections = connections
        self._device_sessions = device_sessions
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self._to_renew: dict[Session, None] = {}  # a set that keeps its order

    def start(self, tasks: Tasks) -> None:
        """Start the periodic tasks."""
        for seconds, action, what in (
            (RENEW_LEASE_EVERY_S, self._lease_keeper.renew, "renewing the lease"),
            (PUBLISH_DIGEST_EVERY_S, self._control.publish_digest, "publishing the digest"),
            (RENEW_CONNECTIONS_EVERY_S, self._renew_connections, "renewing connections"),
            (RECORD_DEVICES_EVERY_S, self._device_sessions.record, "recording the activity of devices"),
            (SWEEP_EVERY_S, self._sweep, "closing silent connections"),
        ):
            tasks.start(periodic(seconds, action, what), what)

    def renew_soon(self, session: Session) -> None:
        """Renew the record of a session's connection with the next batch, and that of its device from time to time."""
        self._to_renew[session] = None
        self._device_sessions.hear(session)

    async def _renew_connections(self) -> None:
        for _ in range(0, len(self._to_renew), RENEWED_AT_ONCE):
            some = list(islice(self._to_renew, RENEWED_AT_ONCE))
            for session in some:
                del self._to_renew[session]
            try:
                await self._connections.renew([session.connection() for session in some if session.ending is None])
            except Unavailable:
                self._to_renew.update(dict.fromkeys(some))
                raise

    async def _sweep(self) -> None:
        """End the sessions of clients that are silent, and those whose token has expired."""
        silent_since = machine.monotonic_s() - self._heartbeat_timeout_s
        now = machine.wall_s()
        turn = TimeSlice()
        for session in self._registry.sessions():
            if session not in self._registry:
                continue  # removed during this sweep
            if session.heard_at < silent_since:
                session.end(CloseCode.HEARTBEAT_TIMEOUT, "no heartbeat in time")
            elif session.identity.expires_at <= now:
                session.end(CloseCode.UNAUTHENTICATED, "the token has expired")
            await turn.breathe()
