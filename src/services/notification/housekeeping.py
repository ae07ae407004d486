"""Housekeeping: the periodic work of an instance for all its sessions, so that an idle one needs no task of its own."""

from fanout import machine
from fanout.error_codes import CloseCode
from services.notification.connection_records import RENEW_EVERY_S, ConnectionRecords
from services.notification.control import Control
from services.notification.device_sessions import DeviceSessions
from services.notification.lease_keeper import LeaseKeeper
from services.notification.presence_publisher import PresencePublisher
from services.notification.presence_sweep import SWEEP_PRESENCE_EVERY_S, PresenceSweep
from services.notification.registry import Registry
from services.notification.session import Session
from services.runtime.tasks import Tasks, periodic
from services.runtime.time_slice import TimeSlice

RENEW_LEASE_EVERY_S = 3.0
PUBLISH_DIGEST_EVERY_S = 1.0
SWEEP_EVERY_S = 1.0
RECORD_DEVICES_EVERY_S = 1.0


class Housekeeping:
    """The periodic tasks of an instance.

    Args:
        registry: has the sessions.
        control: publishes the digest.
        lease_keeper: renews the lease.
        connection_records: renews the records of connections.
        device_sessions: record the activity of devices.
        presence_publisher: publishes changes of presence.
        presence_sweep: finds what others left behind in the presence store.
        heartbeat_timeout_s: seconds after which a client that has sent no frame is disconnected.
    """

    def __init__(
        self,
        registry: Registry,
        control: Control,
        lease_keeper: LeaseKeeper,
        connection_records: ConnectionRecords,
        device_sessions: DeviceSessions,
        presence_publisher: PresencePublisher,
        presence_sweep: PresenceSweep,
        *,
        heartbeat_timeout_s: float,
    ) -> None:
        self._registry = registry
        self._control = control
        self._lease_keeper = lease_keeper
        self._connection_records = connection_records
        self._device_sessions = device_sessions
        self._presence_publisher = presence_publisher
        self._presence_sweep = presence_sweep
        self._heartbeat_timeout_s = heartbeat_timeout_s

    def start(self, tasks: Tasks) -> None:
        """Start the periodic tasks."""
        for seconds, action, what in (
            (RENEW_LEASE_EVERY_S, self._lease_keeper.renew, "renewing the lease"),
            (PUBLISH_DIGEST_EVERY_S, self._control.publish_digest, "publishing the digest"),
            (RENEW_EVERY_S, self._connection_records.renew_heard, "renewing connections"),
            (RECORD_DEVICES_EVERY_S, self._device_sessions.record, "recording the activity of devices"),
            (SWEEP_PRESENCE_EVERY_S, self._presence_sweep.run, "sweeping presence"),
            (SWEEP_EVERY_S, self._sweep, "closing silent connections"),
        ):
            tasks.start(periodic(seconds, action, what), what)
        tasks.start(self._connection_records.run(), "renewing connections at once")
        tasks.start(self._presence_publisher.run(), "publishing changes of presence")

    def renew(self, session: Session, *, at_once: bool) -> None:
        """Renew the record of a session's connection, and that of its device from time to time.

        Args:
            session: was heard.
            at_once: see `ConnectionRecords.renew`.
        """
        self._connection_records.renew(session, at_once=at_once)
        self._device_sessions.hear(session)

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
