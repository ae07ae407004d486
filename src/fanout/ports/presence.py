"""Presence: which instance holds whom, by leases that end by themselves. Contract section 5."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fanout.keys import PresenceChange
from fanout.ports.bus import Subscription

ChangeHandler = Callable[[PresenceChange], None]
"""Called in the event loop for each notice; must be quick and must not raise."""


@dataclass(frozen=True, slots=True)
class Connection:
    """One device's connection."""

    user_id: str
    device_id: str
    instance_id: str
    connected_at: str
    client_state: str = "active"
    focused_channel: str | None = None
    last_activity: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """An instance's sign of life."""

    instance_id: str
    incarnation: str
    """Differs each time that the instance starts."""
    address: str
    """The WebSocket address that clients are sent to."""
    started_at: str
    connections: int
    capacity: int


class Presence(Protocol):
    """Connections, leases, and hints of their changes. Hints may be lost: nothing may rest on them alone."""

    async def connect(self, connection: Connection) -> str | None:
        """Record a connection, and that its user is on its instance.

        Returns:
            the instance that held a connection of the same device before, or None.
        """
        ...

    async def renew(self, connections: Sequence[Connection]) -> None:
        """Renew connections and what hangs on them, rewriting what was lost. Gives no hint."""
        ...

    async def disconnect(self, connection: Connection, *, last: bool) -> None:
        """Forget a connection, unless the device has connected elsewhere since.

        Args:
            connection: as it was recorded.
            last: it was the user's last one on its instance; where it was the last anywhere, the user is offline.
        """
        ...

    async def announce(self, changes: Sequence[PresenceChange]) -> None:
        """Give a hint of changes to whoever watches now."""
        ...

    async def watch(self, handler: ChangeHandler) -> Subscription:
        """Hear hints, through reconnects, until closed."""
        ...

    async def connections_of(self, user_id: str) -> list[Connection]:
        """The user's live connections, by device id."""
        ...

    async def locations_of(self, user_id: str) -> frozenset[str]:
        """The instances that the user is on, as far as is recorded."""
        ...

    async def lease(self, lease: Lease) -> None:
        """Take or renew an instance's lease, for `keys.LEASE_TTL_S`."""
        ...

    async def release(self, instance_id: str) -> None:
        """End a lease at once: the instance is stopping."""
        ...

    async def leases(self) -> Mapping[str, Lease]:
        """The leases that have not ended, by instance."""
        ...

    async def ping(self) -> None:
        """Return when the store answers."""
        ...
