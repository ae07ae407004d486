"""The records of an instance's connections in the presence store, and the changes of presence that come of them."""

import asyncio
from itertools import islice
from typing import Final

import msgspec
import structlog

from fanout import Unavailable
from fanout.keys import GRACE_S
from fanout.ports.bus import Bus
from fanout.ports.presence import Connections, Renewal
from fanout.subjects import instance_control
from fanout.workers import Replaced
from services.notification.presence_publisher import PresencePublisher
from services.notification.registry import Registry
from services.notification.session import Session

log = structlog.get_logger(__name__)

RENEW_EVERY_S: Final = 1.0
RENEWED_AT_ONCE: Final = 100
"""Connections in one call of the store: a few milliseconds of the event loop."""


class ConnectionRecords:
    """Records the connections of sessions, and publishes each change of their users' presence.

    Args:
        incarnation: of the instance.
        connections: the store.
        registry: has the sessions.
        publisher: publishes the changes.
        bus: for the instances that hold a device's earlier connection.
    """

    def __init__(
        self,
        incarnation: str,
        connections: Connections,
        registry: Registry,
        publisher: PresencePublisher,
        bus: Bus,
    ) -> None:
        self._incarnation = incarnation
        self._connections = connections
        self._registry = registry
        self._publisher = publisher
        self._bus = bus
        self._soon: dict[Session, None] = {}  # sets that keep their order
        self._now: dict[Session, None] = {}
        self._wake = asyncio.Event()
        self._renewing = asyncio.Lock()
        """Held during a renewal. Two renewals of one session could take effect in the other order."""

    async def connect(self, session: Session) -> None:
        """Record a session. The instance that held the device before is told.

        Raises:
            Unavailable: the store does not answer.
        """
        connected = await self._connections.connect(session.connection(self._incarnation))
        session.recorded(connected.order)
        if connected.change is not None:
            self._publisher.publish([connected.change])
        if connected.previous not in {None, session.instance_id}:
            await self._end_older_session_on(str(connected.previous), session)

    async def disconnect(self, session: Session, *, last: bool) -> None:
        """Record the end of a session. If the store is away, the record ends by itself.

        Args:
            session: it may have been recorded or not.
            last: whether it was the last one of its user here.
        """
        is_clean = session.ending is None and session.socket.closed_by_client
        grace_s = 0.0 if is_clean else GRACE_S
        try:
            ended = session.connection(self._incarnation)
            change = await self._connections.disconnect(ended, last=last, grace_s=grace_s)
        except Unavailable as error:
            log.warning("the end of a session is not recorded in presence", user_id=session.user_id, reason=str(error))
            return
        if change is not None:
            self._publisher.publish([change])

    def renew(self, session: Session, *, at_once: bool = False) -> None:
        """Renew the record of a session.

        Args:
            session: whose record.
            at_once: with those of this turn of the event loop; otherwise within `RENEW_EVERY_S`.
        """
        if at_once:
            self._now[session] = None
            self._wake.set()
        else:
            self._soon[session] = None

    def renew_all(self) -> None:
        """Renew the records of all sessions, because the store may have lost them."""
        self._soon.update(dict.fromkeys(self._registry.sessions()))

    async def run(self) -> None:
        """Renew the records of which something is new, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._renew(self._now)
            except Unavailable as error:
                log.debug("what clients say of themselves is recorded later", reason=str(error))
                self._soon.update(self._now)
                self._now.clear()

    async def renew_heard(self) -> None:
        """Renew the records of the sessions that were heard.

        Raises:
            Unavailable: the store does not answer. They are renewed next time.
        """
        await self._renew(self._soon)

    async def _end_older_session_on(self, instance_id: str, session: Session) -> None:
        notice = Replaced(session.user_id, session.device_id, session.order)
        try:
            await self._bus.publish(instance_control(instance_id), msgspec.json.encode(notice))
        except Unavailable as error:  # the other instance learns it when it renews its record
            log.warning("an older connection could not be ended at once", instance=instance_id, reason=str(error))

    async def _renew(self, waiting: dict[Session, None]) -> None:
        for _ in range(0, len(waiting), RENEWED_AT_ONCE):
            async with self._renewing:
                some = list(islice(waiting, RENEWED_AT_ONCE))
                for session in some:
                    del waiting[session]
                try:
                    await self._renew_some([session for session in some if session.order and session.ending is None])
                except Unavailable:
                    waiting.update(dict.fromkeys(some))
                    raise

    async def _renew_some(self, sessions: list[Session]) -> None:
        renewal = await self._connections.renew([session.connection(self._incarnation) for session in sessions])
        self._publisher.publish(renewal.changes)
        _end_replaced(sessions, renewal)


def _end_replaced(sessions: list[Session], renewal: Renewal) -> None:
    """End the sessions whose device has connected again elsewhere: the notice of it may have been lost."""
    replaced = {(connection.user_id, connection.device_id) for connection in renewal.replaced}
    for session in sessions:
        if (session.user_id, session.device_id) in replaced:
            session.replaced_by(session.order + 1)
