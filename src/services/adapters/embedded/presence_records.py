"""The connections and the presence of users inside one process.

Each method is one atomic step, as a script of `services.adapters.redis.scripts` is.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from fanout.events import timestamp
from fanout.keys import CHANGES_KEPT_S, CONNECTION_TTL_S, ENDED_KEPT_S, UNTOLD_AFTER_S
from fanout.ports.presence import ClientState, Connected, DeviceConnection, Status, Sweep, UserPresence
from services.adapters.embedded.due_times import DueTimes
from services.adapters.embedded.lease_records import LeaseRecords

_RANKS: Final[dict[ClientState, int]] = {"background": 1, "idle": 2, "active": 3}
_STATUSES: Final[tuple[Status, ...]] = ("offline", "away", "idle", "online")


@dataclass(slots=True)
class _Device:
    connection: DeviceConnection
    ends: float
    ended: bool = False
    """Whether it is in the time of grace after its end."""


@dataclass(slots=True)
class _User:
    devices: dict[str, _Device] = field(default_factory=dict)
    instances: dict[str, float] = field(default_factory=dict)
    """The instances that the user is connected to, and when each record ends."""


class PresenceRecords:
    """The records of one store.

    Args:
        clock: seconds since any fixed point. It must not go back.
        now_us: microseconds since 1970.
        leases: say which instances are alive.
    """

    def __init__(self, clock: Callable[[], float], now_us: Callable[[], int], leases: LeaseRecords) -> None:
        self._clock = clock
        self._now_us = now_us
        self._leases = leases
        self._users: dict[str, _User] = {}
        self._presences: dict[str, UserPresence] = {}
        self._ended: dict[tuple[str, str], int] = {}
        """By user and device: the number of the connection that was ended last."""
        self._forgotten = DueTimes[tuple[str, str]]()
        """When each of those is forgotten."""
        self._due = DueTimes[str]()
        self._untold = DueTimes[str]()
        self._recent = DueTimes[str]()
        self._on: defaultdict[tuple[str, str], dict[str, None]] = defaultdict(dict)
        """The users who have connections, by instance and incarnation."""

    def connect(self, connection: DeviceConnection) -> Connected:
        """See `fanout.ports.presence.Connections`."""
        held = self._held(connection)
        order = max(held.connection.order + 1 if held else 0, self._now_us())
        previous = None if held is None or held.ended else held.connection.instance_id
        self._hold(replace(connection, order=order))
        return Connected(order, previous, self._settle(connection.user_id, connection.client_state == "active"))

    def renew(self, connection: DeviceConnection) -> tuple[bool, UserPresence | None]:
        """Renew one connection. Returns whether it was replaced, and the presence if it changed."""
        held = self._held(connection)
        if held is not None and held.connection.order > connection.order:
            return True, None
        if 0 < connection.order <= self._ended.get((connection.user_id, connection.device_id), 0):
            return False, None
        states = {connection.client_state, held.connection.client_state if held else connection.client_state}
        self._hold(connection)
        return False, self._settle(connection.user_id, "active" in states)

    def disconnect(self, connection: DeviceConnection, *, last: bool, grace_s: float) -> UserPresence | None:
        """See `fanout.ports.presence.Connections`."""
        user_id, device_id, held = connection.user_id, connection.device_id, self._held(connection)
        is_mine = held is not None and _is_same(held.connection, connection)
        if held is not None and is_mine:
            held.ended, held.ends = True, self._clock() + grace_s
        self._ended[user_id, device_id] = max(connection.order, self._ended.get((user_id, device_id), 0))
        self._forgotten.set((user_id, device_id), self._clock() + ENDED_KEPT_S)
        if last:
            self._leave(user_id, connection)
        was_active = held is not None and is_mine and held.connection.client_state == "active"
        return self._settle(user_id, was_active)

    def connections_of(self, user_id: str) -> list[DeviceConnection]:
        """See `fanout.ports.presence.Connections`."""
        user = self._users.get(user_id) or _User()
        devices = [user.devices[device] for device in sorted(user.devices)]
        return [device.connection for device in devices if device.ends > self._clock() and not device.ended]

    def locations_of(self, user_id: str) -> frozenset[str]:
        """See `fanout.ports.presence.Connections`."""
        user, now = self._users.get(user_id) or _User(), self._clock()
        return frozenset(name for name, ends in user.instances.items() if ends > now) & self._leases.live().keys()

    def presence_of(self, user_id: str) -> UserPresence:
        """The user's presence now."""
        if user_id in self._presences or self._over_devices(user_id)[1]:
            self._aggregate(user_id)
        return self._presences.get(user_id) or UserPresence(user_id)

    def set_status(self, user_id: str, text: str, emoji: str) -> UserPresence:
        """See `fanout.ports.presence.Aggregates`."""
        self._aggregate(user_id)
        held = self._presences[user_id]
        if (held.status_text, held.status_emoji) != (text, emoji):
            self._change(user_id, status_text=text, status_emoji=emoji)
        return self._presences[user_id]

    def sweep(self, limit: int) -> Sweep:
        """See `fanout.ports.presence.Aggregates`."""
        for key in self._forgotten.take(self._clock(), limit):
            del self._ended[key]
        users = self._due.take(self._clock(), limit)
        for instance in [instance for instance in self._on if not self._leases.counts(*instance)]:
            here = self._on[instance]
            while here and len(users) < limit:
                users.append(here.popitem()[0])
            if not here:
                del self._on[instance]
        changes = [self._settle(user, seen_active=False) for user in users]
        return Sweep([change for change in changes if change is not None], more=len(users) >= limit)

    def untold(self, limit: int) -> list[UserPresence]:
        """See `fanout.ports.presence.Aggregates`."""
        users = self._untold.take(self._clock() - UNTOLD_AFTER_S, limit)
        for user in users:
            self._untold.set(user, self._clock())
        return [self._presences[user] for user in users]

    def told(self, presences: Iterable[UserPresence]) -> None:
        """See `fanout.ports.presence.Aggregates`."""
        for presence in presences:
            if (held := self._presences.get(presence.user_id)) and held.version == presence.version:
                self._untold.set(presence.user_id, None)

    def changed_within(self, seconds: float) -> list[UserPresence]:
        """See `fanout.ports.presence.Aggregates`."""
        return [self._presences[user] for user in self._recent.since(self._clock() - seconds)]

    def known_users(self) -> Collection[str]:
        """The users who have a record of a connection."""
        return self._users.keys()

    def _held(self, connection: DeviceConnection) -> _Device | None:
        """The record of the connection's device, unless it has ended."""
        user = self._users.get(connection.user_id)
        held = user.devices.get(connection.device_id) if user else None
        return held if held is not None and held.ends > self._clock() else None

    def _hold(self, connection: DeviceConnection) -> None:
        ends = self._clock() + CONNECTION_TTL_S
        user = self._users.setdefault(connection.user_id, _User())
        user.devices[connection.device_id] = _Device(connection, ends)
        user.instances[connection.instance_id] = ends
        self._on[connection.instance_id, connection.incarnation][connection.user_id] = None

    def _leave(self, user_id: str, connection: DeviceConnection) -> None:
        if (user := self._users.get(user_id)) is not None:
            user.instances.pop(connection.instance_id, None)
        if (here := self._on.get((connection.instance_id, connection.incarnation))) is not None:
            here.pop(user_id, None)

    def _over_devices(self, user_id: str) -> tuple[int, int, float | None]:
        """The highest rank of the user's devices, their number, and when the first record ends by itself."""
        user = self._users.get(user_id)
        if user is None:
            return 0, 0, None
        self._forget_ended(user_id, user)
        devices = [device for device in user.devices.values() if self._counts(device.connection)]
        highest = max((_RANKS[device.connection.client_state] for device in devices), default=0)
        return highest, len(devices), min((device.ends for device in user.devices.values()), default=None)

    def _forget_ended(self, user_id: str, user: _User) -> None:
        now = self._clock()
        user.devices = {name: device for name, device in user.devices.items() if self._is_kept(device, now)}
        user.instances = {name: ends for name, ends in user.instances.items() if ends > now}
        if not user.devices and not user.instances:
            del self._users[user_id]

    def _is_kept(self, device: _Device, now: float) -> bool:
        held = device.connection
        return device.ends > now and not self._leases.is_replaced(held.instance_id, held.incarnation)

    def _counts(self, connection: DeviceConnection) -> bool:
        return self._leases.counts(connection.instance_id, connection.incarnation)

    def _aggregate(self, user_id: str) -> tuple[bool, float | None]:
        """Compute a user's presence. Returns whether it changed, and when the first record ends by itself."""
        highest, devices, ends = self._over_devices(user_id)
        held, status = self._presences.get(user_id), _STATUSES[highest]
        is_changed = held is None or held.status != status
        if is_changed:
            self._change(user_id, status=status)
        self._presences[user_id] = replace(self._presences[user_id], active_device_count=devices)
        return is_changed, ends

    def _change(self, user_id: str, **fields: Any) -> None:
        held = self._presences.get(user_id) or UserPresence(user_id)
        self._presences[user_id] = replace(held, version=max(held.version + 1, self._now_us()), **fields)
        now = self._clock()
        self._recent.take(now - CHANGES_KEPT_S, len(self._recent))
        self._recent.set(user_id, now)
        self._untold.set(user_id, now)

    def _settle(self, user_id: str, seen_active: bool) -> UserPresence | None:  # noqa: FBT001 - as the script's
        """Compute the presence of a user who has, or had, a connection. Returns it if it changed."""
        is_changed, ends = self._aggregate(user_id)
        self._due.set(user_id, ends)
        if seen_active:
            now = datetime.fromtimestamp(self._now_us() / 1e6, UTC)
            self._presences[user_id] = replace(self._presences[user_id], last_active=timestamp(now))
        return self._presences[user_id] if is_changed else None


def _is_same(held: DeviceConnection, asked: DeviceConnection) -> bool:
    is_same = held.order == asked.order if asked.order else held.connected_at == asked.connected_at
    return is_same and held.instance_id == asked.instance_id
