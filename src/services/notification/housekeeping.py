"""Housekeeping: the lease, connections renewed in batches, digests, and clients that fell silent."""

import asyncio
import time
from collections.abc import Callable

import structlog

from fanout import FanoutError, Unavailable
from fanout.events import timestamp
from fanout.keys import LEASE_TTL_S
from fanout.ports.presence import Connections, Lease, Leases
from services.notification.close_codes import HEARTBEAT_TIMEOUT, UNAUTHENTICATED
from services.notification.control import Control
from services.notification.metrics import LEASE_HELD, LEASE_RENEWALS_FAILED
from services.notification.registry import Registry
from services.notification.session import Session
from services.runtime.tasks import Tasks, periodic
from services.runtime.time_slice import TimeSlice

log = structlog.get_logger(__name__)

RENEW_LEASE_EVERY_S = 3.0
PUBLISH_DIGEST_EVERY_S = 1.0
RENEW_CONNECTIONS_EVERY_S = 1.0
SWEEP_EVERY_S = 1.0
RENEWED_AT_ONCE = 100
"""Connections in one call: some milliseconds of the event loop."""


class InstanceReplaced(FanoutError):  # noqa: N818 - as the tree in `fanout.errors`
    """Another process runs under this instance's name."""

    def __init__(self, instance_id: str) -> None:
        super().__init__(f"another instance has started as {instance_id}: give each its own FANOUT_INSTANCE_ID")


class LeaseEnded(Unavailable):
    """The presence store does not renew the instance's lease; the text says since when, and why."""


class Housekeeping:
    """One timer for each chore, shared by all connections: an idle connection costs no task of its own."""

    def __init__(
        self,
        instance_id: str,
        registry: Registry,
        control: Control,
        connections: Connections,
        leases: Leases,
        *,
        capacity: int,
        heartbeat_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._instance_id = instance_id
        self._registry = registry
        self._control = control
        self._connections = connections
        self._leases = leases
        self.address = ""
        """The WebSocket address that clients are sent to."""
        self._capacity = capacity
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self._started_at = timestamp()
        self._to_renew: set[Session] = set()
        self._lease_turn = asyncio.Lock()
        self._lease_ended = False
        self._clock = clock
        self._renewed_at = float("-inf")
        self._refusal = "it was not asked for yet"

    def start(self, tasks: Tasks) -> None:
        """Begin all chores."""
        for seconds, chore, what in (
            (RENEW_LEASE_EVERY_S, self.renew_lease, "renewing the lease"),
            (PUBLISH_DIGEST_EVERY_S, self._control.publish_digest, "publishing the digest"),
            (RENEW_CONNECTIONS_EVERY_S, self._renew_connections, "renewing connections"),
            (SWEEP_EVERY_S, self._sweep, "closing silent connections"),
        ):
            tasks.start(periodic(seconds, chore, what), what)

    def heard(self, session: Session) -> None:
        """A heartbeat came: the connection is to be renewed."""
        self._to_renew.add(session)

    async def renew_lease(self) -> None:
        """Take the instance's lease, or renew it; not again once it was ended."""
        lease = Lease(
            instance_id=self._instance_id,
            incarnation=self._control.incarnation,
            address=self.address,
            started_at=self._started_at,
            connections=len(self._registry),
            capacity=self._capacity,
        )
        async with self._lease_turn:
            if not self._lease_ended:
                await self._take(lease)

    async def check_lease(self) -> None:
        """Return where the instance has its lease, or none any more because it stops.

        Raises:
            LeaseEnded: it could not be renewed in time. Who is connected gets everything, but clients are not sent
                here, and the workers keep the instance only while they hear its digests.
        """
        if not self._holds_lease() and not self._lease_ended:
            raise LeaseEnded(f"the lease was not renewed for {LEASE_TTL_S} s: {self._refusal}")

    def _holds_lease(self) -> bool:
        return self._clock() - self._renewed_at <= LEASE_TTL_S

    async def _take(self, lease: Lease) -> None:
        try:
            await self._yield_to_a_newer_one()
            await self._leases.lease(lease)
        except Unavailable as error:
            self._refusal = str(error)
            LEASE_RENEWALS_FAILED.inc()
            raise
        else:
            self._renewed_at = self._clock()
        finally:
            LEASE_HELD.set(self._holds_lease())

    async def _yield_to_a_newer_one(self) -> None:
        """Of two instances by one name the later stays: it may be this one's replacement after a hang."""
        held = await self._lease_of_another()
        if held is not None and (held.started_at, held.incarnation) > (self._started_at, self._control.incarnation):
            raise InstanceReplaced(self._instance_id)

    async def _lease_of_another(self) -> Lease | None:
        """The lease under this instance's name that another process has taken, if one did."""
        held = (await self._leases.leases()).get(self._instance_id)
        return None if held is None or held.incarnation == self._control.incarnation else held

    async def end_lease(self) -> None:
        """Be found no more. Where the store is away, the lease ends by itself; that of another process stays."""
        self._lease_ended = True
        LEASE_HELD.set(0)
        async with self._lease_turn:
            try:
                if await self._lease_of_another() is None:
                    await self._leases.release(self._instance_id)
            except Unavailable as error:
                log.warning("lease not given up", reason=str(error))

    async def _renew_connections(self) -> None:
        for _ in range(0, len(self._to_renew), RENEWED_AT_ONCE):
            some = [self._to_renew.pop() for _ in range(min(RENEWED_AT_ONCE, len(self._to_renew)))]
            try:
                await self._connections.renew([session.connection() for session in some if session.ending is None])
            except Unavailable:
                self._to_renew.update(some)
                raise

    async def _sweep(self) -> None:
        silent_since = time.monotonic() - self._heartbeat_timeout_s
        now = time.time()
        turn = TimeSlice()
        for session in self._registry.sessions():
            if session not in self._registry:
                continue  # it went during this sweep
            if session.heard_at < silent_since:
                session.end(HEARTBEAT_TIMEOUT, "no heartbeat in time")
            elif session.identity.expires_at <= now:
                session.end(UNAUTHENTICATED, "the token has expired")
            await turn.breathe()
