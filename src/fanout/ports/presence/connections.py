"""The record of connections: which devices of a user are connected, and to which instance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class DeviceConnection:
    """One device's connection to a notification instance. Times are as `fanout.events.timestamp` writes them."""

    user_id: str
    device_id: str
    instance_id: str
    connected_at: str
    client_state: str = "active"
    """`active`, `idle` or `background`, as the client's last heartbeat said."""
    focused_channel: str | None = None
    last_activity: str = ""


class Connections(Protocol):
    """Records connections. Each record ends by itself if it is not renewed within `keys.CONNECTION_TTL_S`.

    Every call raises `Unavailable` if the store does not answer. The caller makes the calls about one user on one
    instance one after the other.
    """

    async def connect(self, connection: DeviceConnection) -> str | None:
        """Record a connection, and that its user is on its instance.

        Returns:
            the instance that held the device's previous connection, or None if there is no record of one.
        """
        ...

    async def renew(self, connections: Sequence[DeviceConnection]) -> None:
        """Extend the time of connections, and write again whatever the store has lost of them.

        A device that has connected elsewhere since keeps its newer connection.
        """
        ...

    async def disconnect(self, connection: DeviceConnection, *, last: bool) -> None:
        """Delete the record of a connection, unless the device has connected elsewhere since.

        Args:
            connection: as it was recorded.
            last: whether it was the user's last one on its instance. A user without a connection on any instance is
                offline.
        """
        ...

    async def connections_of(self, user_id: str) -> list[DeviceConnection]:
        """The user's connections that have not ended, ordered by device id."""
        ...

    async def locations_of(self, user_id: str) -> frozenset[str]:
        """The instances that the user is connected to, by the record. Instances without a lease are left out."""
        ...

    async def ping(self) -> None:
        """Return when the store answers."""
        ...
