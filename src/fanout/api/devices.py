"""Devices of a user."""

from typing import Annotated, Final, Protocol

import msgspec
from msgspec import Meta

from fanout.api.calls import Call
from fanout.api.common import NoFields, Request, written
from fanout.error_codes import DEVICE_NOT_FOUND, DEVICE_TAKEN
from fanout.errors import InvalidId
from fanout.events import Timestamp
from fanout.ports.devices import LIMITS, PUSHED, Platform, platform_of

MAX_NAME: Final = 128
MAX_VERSION: Final = 64
MAX_PUSH_TOKEN: Final = 4_096
MAX_CAPABILITIES: Final = 32

_ULID: Final = "[0-7][0-9A-HJKMNP-TV-Z]{25}"
_UUID: Final = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_PLATFORMS: Final = "ios, android, web or desktop"

DeviceId = Annotated[
    str,
    written(
        f"^dev_(ios|android|web|desktop)_({_ULID}|{_UUID})$",
        "dev_{ios|android|web|desktop}_ followed by a ULID or a UUID",
    ),
]
_Version = Annotated[str, Meta(min_length=1, max_length=MAX_VERSION)]
_Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
_PushToken = Annotated[str, Meta(min_length=1, max_length=MAX_PUSH_TOKEN)]
_Capabilities = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=MAX_VERSION)], bool],
    Meta(
        max_length=MAX_CAPABILITIES,
        description="What the app can do, as `inline_reply`.",
        extra={"form": f"an object of at most {MAX_CAPABILITIES} names, each with true or false"},
    ),
]
_LIMITS: Final = ", ".join(f"{limit} {platform}" for platform, limit in LIMITS.items())


class RegisterDevice(Request, frozen=True):
    """`devices.register`."""

    device_id: Annotated[DeviceId, Meta(description="Made by the client, once per installation.")]
    platform: (
        Annotated[Platform, Meta(description="That in the `device_id`; may be left out.", extra={"form": _PLATFORMS})]
        | None
    ) = None
    app_version: _Version | None = None
    os_version: Annotated[_Version, Meta(description="The system and its version, as `iOS 17.4`.")] | None = None
    device_name: Annotated[_Name, Meta(description="A name for people.")] | None = None
    push_token: Annotated[_PushToken, Meta(description="Of APNs or FCM; for ios and android only.")] | None = None
    push_enabled: bool = True
    capabilities: _Capabilities = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what concerns two fields, and what a pattern cannot: `$` also matches before a trailing newline."""
        platform = platform_of(self.device_id)
        if self.platform not in {None, platform}:
            raise InvalidId("platform must be the one that the device_id names")
        if self.push_token is not None and platform not in PUSHED:
            raise InvalidId(f"push_token must be left out: no pushes are sent to {platform}")


class RemoveDevice(Request, frozen=True):
    """`devices.remove`."""

    device_id: Annotated[DeviceId, Meta(description="One of the caller's devices.")]

    def __post_init__(self) -> None:
        """Check what a pattern cannot."""
        platform_of(self.device_id)


class ListedDevice(msgspec.Struct, frozen=True):
    """A device of the caller."""

    device_id: DeviceId
    platform: Platform
    app_version: str | None
    os_version: str | None
    device_name: str | None
    push_token: str | None
    push_enabled: bool
    capabilities: dict[str, bool]
    created_at: Annotated[Timestamp, Meta(description="When it was registered.")]
    last_active_at: Annotated[
        Timestamp, Meta(description="When it was last known to be connected; up to a few minutes ago while it is.")
    ]
    last_ip: Annotated[str | None, Meta(description="From where it last connected, as the server saw it.")]
    current_session_id: Annotated[str | None, Meta(description="Its connection, or the last one.")]
    notification_service_instance: Annotated[
        str | None, Meta(description="The instance that it is connected to; null if it is not.")
    ]


class DeviceList(msgspec.Struct, frozen=True):
    """The devices of the caller."""

    devices: Annotated[list[ListedDevice], Meta(description="By `device_id`.")]


class DeviceCalls(Protocol):
    """Handles the calls of this module. Each may raise `fanout.Unavailable`."""

    async def register(self, user_id: str, request: RegisterDevice) -> ListedDevice:
        """Register a device of the user, or change what is known of it.

        Raises:
            DeviceTaken: it is another user's.
        """
        ...

    async def list_devices(self, user_id: str) -> DeviceList:
        """The devices of the user."""
        ...

    async def remove(self, user_id: str, request: RemoveDevice) -> ListedDevice:
        """Remove a device of the user, and end its connection.

        Raises:
            CallRejected: the user has no device of that id.
        """
        ...


CALLS: Final = (
    Call[DeviceCalls, RegisterDevice](
        name="devices.register",
        method="POST",
        request=RegisterDevice,
        response=ListedDevice,
        errors=(DEVICE_TAKEN,),
        summary="Register a device",
        meaning="The device.",
        description=f"""\
A first connection registers a device too. The call says more about the device, and is the only way back for a device \
that was removed. What it leaves out is forgotten. A push token belongs to the last device that registered it.

A user may have {_LIMITS} devices. Above that the device of the same platform that was active least recently is \
removed, connected or not. A device of another user is refused until its user has removed it.""",
        handler=lambda port, caller, request: port.register(caller.user_id, request),
    ),
    Call[DeviceCalls, NoFields](
        name="devices.list",
        method="GET",
        request=NoFields,
        response=DeviceList,
        summary="List the caller's devices",
        meaning="The devices.",
        handler=lambda port, caller, _request: port.list_devices(caller.user_id),
    ),
    Call[DeviceCalls, RemoveDevice](
        name="devices.remove",
        method="POST",
        request=RemoveDevice,
        response=ListedDevice,
        errors=(DEVICE_NOT_FOUND,),
        summary="Remove a device",
        meaning="The device as it was. Its connection is closed with 4409.",
        description="The device cannot connect again, whatever its token, until `devices.register` is called for it. "
        "The token itself stays valid. Repeating the call changes nothing.",
        handler=lambda port, caller, request: port.remove(caller.user_id, request),
    ),
)
