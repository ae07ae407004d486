"""Presence inside one process."""

from collections.abc import Callable, Collection, Mapping, Sequence

from fanout import machine
from fanout.membership_versions import now_us
from fanout.ports.presence import Connected, DeviceConnection, Lease, Renewal, Sweep, UserPresence
from services.adapters.embedded.lease_records import LeaseRecords
from services.adapters.embedded.presence_records import PresenceRecords
from services.adapters.embedded.suspension import suspending


@suspending
class EmbeddedPresence:
    """The ports of `fanout.ports.presence`, for services of the same process.

    Args:
        clock: seconds since any fixed point. It must not go back.
        wall_us: microseconds since 1970.
    """

    def __init__(
        self, *, clock: Callable[[], float] = machine.monotonic_s, wall_us: Callable[[], int] = now_us
    ) -> None:
        self._clock = clock
        self._wall_us = wall_us
        self.empty()

    def empty(self) -> None:
        """Lose everything, as a server without persistence does when it is started again."""
        self._leases = LeaseRecords(self._clock)
        self._records = PresenceRecords(self._clock, self._wall_us, self._leases)

    async def connect(self, connection: DeviceConnection) -> Connected:
        """See the port."""
        return self._records.connect(connection)

    async def renew(self, connections: Sequence[DeviceConnection]) -> Renewal:
        """See the port."""
        renewed = [(connection, self._records.renew(connection)) for connection in connections]
        changes = [change for _, (_, change) in renewed if change is not None]
        return Renewal(changes, [connection for connection, (is_replaced, _) in renewed if is_replaced])

    async def disconnect(
        self, connection: DeviceConnection, *, last: bool, grace_s: float = 0.0
    ) -> UserPresence | None:
        """See the port."""
        return self._records.disconnect(connection, last=last, grace_s=grace_s)

    async def connections_of(self, user_id: str) -> list[DeviceConnection]:
        """See the port."""
        return self._records.connections_of(user_id)

    async def locations_of(self, user_id: str) -> frozenset[str]:
        """See the port. Instances without a lease are left out."""
        return self._records.locations_of(user_id)

    async def lease(self, lease: Lease) -> bool:
        """See the port."""
        return self._leases.lease(lease)

    async def release(self, instance_id: str, *, lingers_s: float = 0.0) -> None:
        """See the port."""
        self._leases.release(instance_id, lingers_s)

    async def leases(self) -> Mapping[str, Lease]:
        """See the port."""
        return self._leases.live()

    async def presences_of(self, user_ids: Collection[str]) -> dict[str, UserPresence]:
        """See the port."""
        return {user_id: self._records.presence_of(user_id) for user_id in user_ids}

    async def set_status(self, user_id: str, text: str, emoji: str) -> UserPresence:
        """See the port."""
        return self._records.set_status(user_id, text, emoji)

    async def sweep(self, limit: int) -> Sweep:
        """See the port."""
        return self._records.sweep(limit)

    async def untold(self, limit: int) -> list[UserPresence]:
        """See the port."""
        return self._records.untold(limit)

    async def told(self, presences: Collection[UserPresence]) -> None:
        """See the port."""
        self._records.told(presences)

    async def changed_within(self, seconds: float) -> list[UserPresence]:
        """See the port."""
        return self._records.changed_within(seconds)

    async def ping(self) -> None:
        """See the port."""
