"""The devices of users: installations of an app, and browsers. The record outlasts their connections.

A device that is removed, by its user or because newer ones reached the limit of its platform, is remembered: it may not
connect until it is registered again. Of each user the `REMOVED_KEPT` last removed ones are remembered. Its token stays
valid, so a client that has the token may still connect as a new device.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, Protocol, cast

from fanout.events import timestamp
from fanout.ids import check_device_id

Platform = Literal["ios", "android", "web", "desktop"]

LIMITS: Final[Mapping[str, int]] = MappingProxyType({"ios": 5, "android": 5, "web": 10, "desktop": 3})
"""The most devices of each platform that a user may have."""
PUSHED: Final = frozenset({"ios", "android"})
"""The platforms to which pushes are sent."""
REMOVED_KEPT: Final = 100
"""Removed devices of one user that are remembered."""


def platform_of(device_id: str) -> Platform:
    """The platform that a device id names.

    Raises:
        InvalidId: it is no device id.
    """
    return cast("Platform", check_device_id(device_id).split("_")[1])


def just_after(time: str) -> str:
    """The first time after `time` that `timestamp` can write."""
    return timestamp(datetime.fromisoformat(time) + timedelta(milliseconds=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The facts about a device that its app knows."""

    app_version: str | None = None
    os_version: str | None = None
    device_name: str | None = None
    push_token: str | None = None
    """The address for pushes; None if there are none."""
    push_enabled: bool = True
    capabilities: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device. Times are as `fanout.events.timestamp` writes them."""

    device_id: str
    user_id: str
    profile: Profile
    created_at: str
    last_active_at: str
    """When the device was last known to be connected, or else when it was registered. While it is connected, this is a
    few minutes old at most."""
    last_ip: str | None = None
    session_id: str | None = None
    """Its connection, or the last one; None if it has not connected since it was registered."""
    instance_id: str | None = None
    """The notification instance that holds this connection; None when the connection has ended."""

    @property
    def platform(self) -> Platform:
        """The platform, which the id names."""
        return platform_of(self.device_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A connection of a device begins."""

    user_id: str
    device_id: str
    session_id: str
    instance_id: str
    at: str
    ip: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """The device of a connection was heard."""

    device_id: str
    session_id: str
    at: str
    ended: bool = False
    """Whether the connection has ended."""


class Connected(NamedTuple):
    """The result of `Devices.connect_device`."""

    before: Device | None
    """The device as it was before, with its previous connection; None if it is new."""
    deregistered: Sequence[Device] = ()
    """The devices that had to go."""


class Registered(NamedTuple):
    """The result of `Devices.register_device`."""

    device: Device
    deregistered: Sequence[Device] = ()
    """The devices that had to go."""


class Lost(NamedTuple):
    """A connection that is no longer its device's."""

    session_id: str
    removed: bool
    """Whether the device is removed. Otherwise it has connected again since."""


class Devices(Protocol):
    """The record of devices. Each call may raise `Unavailable`.

    A user has at most `LIMITS` devices of a platform. A new one that is above the limit takes the place of the one that
    was active least recently. Where several are new at the same time, the newest of them stay. A process that dies
    between the two steps leaves one device too many, until the next one of the platform is registered.
    """

    async def connect_device(self, login: Login) -> Connected:
        """Record that a device connects, and register it if it is new.

        The logins of one device have an order, and each gets the connection of the one before it as `before`.

        Raises:
            DeviceRemoved: the device was removed.
            DeviceTaken: the device is another user's.
        """
        ...

    async def register_device(self, user_id: str, device_id: str, profile: Profile, at: str) -> Registered:
        """Register a device, also one that was removed, or give a registered one a new profile.

        A push token belongs to the device that registered it last: the others lose it. A device that one user has
        removed may be registered by another one.

        Raises:
            DeviceTaken: the device is another user's.
        """
        ...

    async def devices_of(self, user_id: str) -> list[Device]:
        """The user's registered devices, ordered by id."""
        ...

    async def remove_device(self, user_id: str, device_id: str, at: str) -> Device | None:
        """Remove a device. Repeating the call changes nothing.

        Returns:
            the device as it was last, also if it was removed before; None if the user has none of that id.
        """
        ...

    async def record_activity(self, activities: Sequence[Activity]) -> list[Lost]:
        """Record when devices were heard, each only while the connection is still its device's.

        Args:
            activities: at most a few hundred, each of another device.

        Returns:
            the connections that are not, those that have ended left out.
        """
        ...
