"""Presence inside one process."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fanout import machine
from fanout.keys import CONNECTION_TTL_S, LEASE_TTL_S
from fanout.ports.presence import DeviceConnection, Lease
from services.adapters.embedded.suspension import suspending


@dataclass(slots=True)
class _User:
    devices: dict[str, tuple[DeviceConnection, float]] = field(default_factory=dict)
    """By device id: the connection, and when its record ends."""
    instances: dict[str, float] = field(default_factory=dict)
    """The instances that the user is connected to, and when each record ends."""

    def forget_ended(self, now: float) -> None:
        self.devices = {device: held for device, held in self.devices.items() if held[1] > now}
        self.instances = {instance: ends for instance, ends in self.instances.items() if ends > now}


@suspending
class EmbeddedPresence:
    """The two ports of `fanout.ports.presence`, for services of the same process.

    Args:
        clock: seconds since any fixed point. It must not go back.
    """

    def __init__(self, *, clock: Callable[[], float] = machine.monotonic_s) -> None:
        self._clock = clock
        self._users: dict[str, _User] = {}
        self._leases: dict[str, tuple[Lease, float]] = {}
        self._next_sweep = clock() + CONNECTION_TTL_S

    async def connect(self, connection: DeviceConnection) -> str | None:
        """See the port."""
        self._sweep()
        held = self._user(connection.user_id).devices.get(connection.device_id)
        self._hold(connection)
        return None if held is None else held[0].instance_id

    async def renew(self, connections: Sequence[DeviceConnection]) -> None:
        """See the port. A device that has connected elsewhere since keeps its newer connection."""
        self._sweep()
        for connection in connections:
            held = self._user(connection.user_id).devices.get(connection.device_id)
            if held is None or _same(held[0], connection) or held[0].connected_at < connection.connected_at:
                self._hold(connection)

    async def disconnect(self, connection: DeviceConnection, *, last: bool) -> None:
        """See the port."""
        user = self._user(connection.user_id)
        held = user.devices.get(connection.device_id)
        if held is not None and _same(held[0], connection):
            del user.devices[connection.device_id]
        if last:
            user.instances.pop(connection.instance_id, None)
        if not user.devices and not user.instances:
            self._users.pop(connection.user_id, None)

    async def connections_of(self, user_id: str) -> list[DeviceConnection]:
        """See the port."""
        devices = self._user(user_id).devices
        return [devices[device][0] for device in sorted(devices)]

    async def locations_of(self, user_id: str) -> frozenset[str]:
        """See the port. Instances without a lease are left out."""
        return frozenset(self._user(user_id).instances.keys() & self._live().keys())

    async def lease(self, lease: Lease) -> None:
        """See the port."""
        self._leases[lease.instance_id] = (lease, self._clock() + LEASE_TTL_S)

    async def release(self, instance_id: str) -> None:
        """See the port."""
        self._leases.pop(instance_id, None)

    async def leases(self) -> Mapping[str, Lease]:
        """See the port."""
        return self._live()

    async def ping(self) -> None:
        """See the port."""

    def _live(self) -> dict[str, Lease]:
        now = self._clock()
        self._leases = {instance: held for instance, held in self._leases.items() if held[1] > now}
        return {instance: lease for instance, (lease, _) in self._leases.items()}

    def _user(self, user_id: str) -> _User:
        """The records of a user that have not ended. Asking for an unknown user keeps nothing."""
        user = self._users.get(user_id) or _User()
        user.forget_ended(self._clock())
        return user

    def _hold(self, connection: DeviceConnection) -> None:
        ends = self._clock() + CONNECTION_TTL_S
        user = self._users.setdefault(connection.user_id, _User())
        user.devices[connection.device_id] = (connection, ends)
        user.instances[connection.instance_id] = ends

    def _sweep(self) -> None:
        """Remove users whose records have all ended, once in `CONNECTION_TTL_S`."""
        now = self._clock()
        if now < self._next_sweep:
            return
        self._next_sweep = now + CONNECTION_TTL_S
        for user_id in list(self._users):
            user = self._user(user_id)
            if not user.devices and not user.instances:
                del self._users[user_id]


def _same(held: DeviceConnection, asked: DeviceConnection) -> bool:
    return (held.instance_id, held.connected_at) == (asked.instance_id, asked.connected_at)
