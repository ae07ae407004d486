"""The record of connections: which devices of a user are connected, and to which instance."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from fanout.ports.presence.aggregates import UserPresence

ClientState = Literal["active", "idle", "background"]


@dataclass(frozen=True, slots=True)
class DeviceConnection:
    """One device's connection to a notification instance. Times are as `fanout.events.timestamp` writes them."""

    user_id: str
    device_id: str
    instance_id: str
    connected_at: str
    client_state: ClientState = "idle"
    """As the client said last."""
    focused_channel: str | None = None
    last_activity: str = ""
    """When the client was heard last."""
    incarnation: str = ""
    """The instance's. A connection to an earlier incarnation does not count; an empty one is of any."""
    order: int = field(default=0, compare=False)
    """The store's number of the connection, which `Connections.connect` returns; 0 before it. Of two connections of a
    device the one with the higher number is newer. No clock of an instance has a part in it."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The result of `Connections.connect`."""

    order: int
    """The number of the connection."""
    previous: str | None = None
    """The instance that held the device's previous connection; None if there is no record of one."""
    change: UserPresence | None = None
    """The user's presence, if it changed."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """The result of `Connections.renew`."""

    changes: Sequence[UserPresence] = ()
    """The presences that changed."""
    replaced: Sequence[DeviceConnection] = ()
    """Those of the connections whose device has connected again since. They were not renewed."""


class Connections(Protocol):
    """Records connections. Each record ends by itself if it is not renewed within `keys.CONNECTION_TTL_S`.

    The presence of the user is computed in the same atomic step (`fanout.ports.presence.aggregates`). The caller
    publishes each change that a call returns.

    Every call raises `Unavailable` if the store does not answer. The caller makes `connect` and `disconnect` of one
    user on one instance one after the other.
    """

    async def connect(self, connection: DeviceConnection) -> Connected:
        """Record a connection, and that its user is on its instance. The caller keeps the number of the connection."""
        ...

    async def renew(self, connections: Sequence[DeviceConnection]) -> Renewal:
        """Extend the time of connections, and write again whatever the store has lost of them.

        A device that has connected again since keeps its newer connection. A connection that was disconnected stays so,
        even where this call comes late.
        """
        ...

    async def disconnect(
        self, connection: DeviceConnection, *, last: bool, grace_s: float = 0.0
    ) -> UserPresence | None:
        """End a connection, unless the device has connected again since.

        Args:
            connection: as it was recorded, with its number. If it has none, because `connect` was not answered, it is
                known by its instance and its `connected_at`.
            last: whether it was the user's last one on its instance. A user without a connection on any instance is
                offline.
            grace_s: seconds for which the device still counts in the user's presence, because it may come back.

        Returns:
            the user's presence, if it changed.
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
