"""Which instances are alive, by their leases and their digests.

Redis carries the leases and the bus carries the digests, so the failure of one of them cannot make an instance look
dead: an instance is dead when it has no lease and has given no digest for as long as a lease lasts.
"""

from collections.abc import Callable, Mapping

import structlog

from fanout import Unavailable
from fanout.keys import LEASE_TTL_S
from fanout.ports.bus import Bus
from fanout.ports.presence import Lease, Leases
from services.fan_out.known_instance import KnownInstance
from services.fan_out.metrics import INSTANCES_WITHOUT_LEASE

log = structlog.get_logger(__name__)

INSTANCE_SILENT_AFTER_S = float(LEASE_TTL_S)
"""Seconds without a digest after which an instance is silent."""
PAUSED_AFTER_S = 4.0
"""The leases are read every half second. If the last time is longer ago, this process itself was stopped."""


class Liveness:
    """Reads the leases and says which instances are dead.

    Args:
        leases: of the notification instances.
        bus: carries the digests.
        clock: seconds, from any fixed point; it must not step back.
    """

    def __init__(self, leases: Leases, bus: Bus, clock: Callable[[], float]) -> None:
        self._leases = leases
        self._bus = bus
        self._clock = clock
        self._spared_until = 0.0
        self._read_at = clock()

    async def leases(self) -> Mapping[str, Lease]:
        """Read the leases.

        Raises:
            Unavailable: they cannot be read. No instance counts as dead for the length of a lease.
        """
        now = self._clock()
        if now - self._read_at > PAUSED_AFTER_S:
            self._spare_all()  # digests that came meanwhile may still wait in the event loop
        self._read_at = now
        try:
            return await self._leases.leases()
        except Unavailable:
            self._spare_all()  # the instances could not renew their leases either
            raise

    async def dead(self, instances: Mapping[str, KnownInstance]) -> list[tuple[str, KnownInstance]]:
        """The instances that have no lease and are silent.

        Raises:
            Unavailable: the bus does not answer. No instance counts as dead for the length of a lease.
        """
        silent_since = self._clock() - INSTANCE_SILENT_AFTER_S
        dead = [
            (instance_id, instance)
            for instance_id, instance in instances.items()
            if not instance.leased and instance.heard_at < silent_since
        ]
        if not dead or self._clock() < self._spared_until:
            return []
        try:
            await self._bus.ping()
        except Unavailable:
            self._spare_all()  # no digest could come either
            raise
        return dead

    def is_expected(self, instance: KnownInstance) -> bool:
        """Whether its presence set is to be expected. A silent instance may have lost its connection to the bus."""
        now = self._clock()
        is_silent = now >= self._spared_until and instance.heard_at < now - INSTANCE_SILENT_AFTER_S
        return (instance.leased or instance.digest_heard) and not is_silent

    def _spare_all(self) -> None:
        """Give every instance the length of a lease to show that it is alive."""
        self._spared_until = self._clock() + INSTANCE_SILENT_AFTER_S


def note_leases(leases: Mapping[str, Lease], instances: Mapping[str, KnownInstance]) -> None:
    """Note which of the instances have a lease now."""
    for instance_id, instance in instances.items():
        lease = leases.get(instance_id)
        leased = lease is not None and lease.incarnation == instance.incarnation
        if instance.leased and not leased:
            log.info("instance has no lease; it is kept while its digests come", instance=instance_id)
        instance.leased = leased
    INSTANCES_WITHOUT_LEASE.set(sum(not instance.leased for instance in instances.values()))
