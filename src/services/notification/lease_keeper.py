"""The lease of an instance: while it has one, clients are sent to it and the workers count on it."""

import asyncio
from collections.abc import Callable

import structlog

from fanout import FanoutError, Unavailable, machine
from fanout.events import timestamp
from fanout.keys import LEASE_TTL_S
from fanout.ports.presence import Lease, Leases
from services.notification.metrics import LEASE_HELD, LEASE_RENEWALS_FAILED
from services.notification.registry import Registry

log = structlog.get_logger(__name__)


class InstanceReplaced(FanoutError):  # noqa: N818 - as the tree in `fanout.errors`
    """Another process runs under this instance's id."""

    def __init__(self, instance_id: str) -> None:
        super().__init__(f"another instance has started as {instance_id}: give each its own FANOUT_INSTANCE_ID")


class LeaseEnded(Unavailable):
    """The presence store does not renew the instance's lease. The text says for how long, and why."""


class LeaseKeeper:
    """Takes, renews and releases the lease of one instance.

    Args:
        instance_id: whose lease.
        incarnation: distinguishes this start of the instance from others.
        registry: has the sessions, whose number the lease says.
        leases: the store.
        capacity: the number of sessions that the instance takes.
        on_taken: is called when the lease was taken, and not only renewed.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        instance_id: str,
        incarnation: str,
        registry: Registry,
        leases: Leases,
        *,
        capacity: int,
        on_taken: Callable[[], None],
        clock: Callable[[], float] = machine.monotonic_s,
    ) -> None:
        self.address = ""
        """The WebSocket address that clients are sent to. Set it before the first `renew`."""
        self._instance_id = instance_id
        self._incarnation = incarnation
        self._registry = registry
        self._leases = leases
        self._capacity = capacity
        self._on_taken = on_taken
        self._clock = clock
        self._started_at = timestamp()
        self._lock = asyncio.Lock()
        self._ended = False
        self._renewed_at = float("-inf")
        self._last_error = "it was not asked for yet"

    async def renew(self) -> None:
        """Take the lease, or renew it. After `end` this does nothing.

        Raises:
            Unavailable: the store does not answer.
            InstanceReplaced: a process that started later has the lease.
        """
        async with self._lock:
            if not self._ended:
                await self._renew()

    async def check(self) -> None:
        """Return if the instance has its lease, or has released it because it stops.

        Raises:
            LeaseEnded: the lease could not be renewed in time. Clients that are connected still get everything. No new
                clients are sent here, and the workers keep the instance only while they receive its digests.
        """
        if not self._is_held() and not self._ended:
            raise LeaseEnded(f"the lease was not renewed for {LEASE_TTL_S} s: {self._last_error}")

    async def end(self, lingers_s: float = 0.0) -> None:
        """Release the lease, so that no client is sent here. If the store is away, the lease ends by itself.

        The lease of another process under the same id is left alone.

        Args:
            lingers_s: seconds for which the clients that are here still count in the presence of their users.
        """
        self._ended = True
        LEASE_HELD.set(0)
        async with self._lock:
            try:
                if await self._lease_of_another() is None:
                    await self._leases.release(self._instance_id, lingers_s=lingers_s)
            except Unavailable as error:
                log.warning("the lease cannot be released; it ends by itself", reason=str(error))

    async def _renew(self) -> None:
        try:
            await self._check_replaced()
            if await self._leases.lease(self._lease()):
                self._on_taken()
        except Unavailable as error:
            self._last_error = str(error)
            LEASE_RENEWALS_FAILED.inc()
            raise
        else:
            self._renewed_at = self._clock()
        finally:
            LEASE_HELD.set(self._is_held())

    async def _check_replaced(self) -> None:
        """Raise if a process that started later has the lease: it may be the replacement of this one after a hang."""
        other = await self._lease_of_another()
        if other is not None and (other.started_at, other.incarnation) > (self._started_at, self._incarnation):
            raise InstanceReplaced(self._instance_id)

    async def _lease_of_another(self) -> Lease | None:
        """The lease that another process has under this instance's id, or None."""
        held = (await self._leases.leases()).get(self._instance_id)
        return None if held is None or held.incarnation == self._incarnation else held

    def _is_held(self) -> bool:
        return self._clock() - self._renewed_at <= LEASE_TTL_S

    def _lease(self) -> Lease:
        return Lease(
            instance_id=self._instance_id,
            incarnation=self._incarnation,
            address=self.address,
            started_at=self._started_at,
            connections=len(self._registry),
            capacity=self._capacity,
        )
