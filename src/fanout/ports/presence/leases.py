"""The leases of notification instances: an instance is alive while it has one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Lease:
    """The content of a lease: an instance's description of itself."""

    instance_id: str
    incarnation: str
    """Differs each time that the instance starts."""
    address: str
    """The WebSocket address that clients are sent to."""
    started_at: str
    connections: int
    """The number of clients that it holds."""
    capacity: int
    """The highest number of clients that it takes."""


class Leases(Protocol):
    """Leases, which end by themselves. Every call raises `Unavailable` if the store does not answer."""

    async def lease(self, lease: Lease) -> bool:
        """Take or renew an instance's lease, for `keys.LEASE_TTL_S` seconds.

        Returns:
            whether it was taken: there was none of this incarnation. Connections to the instance may not have counted
            meanwhile, so the caller renews those that it holds.
        """
        ...

    async def release(self, instance_id: str, *, lingers_s: float = 0.0) -> None:
        """End a lease at once, since the instance stops.

        Args:
            instance_id: whose lease.
            lingers_s: seconds for which the connections to the instance still count in the presence of their users.
        """
        ...

    async def leases(self) -> Mapping[str, Lease]:
        """The leases that have not ended, by instance id."""
        ...

    async def ping(self) -> None:
        """Return when the store answers."""
        ...
