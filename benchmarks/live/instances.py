"""A notification instance whose clients are objects of the same process: what it does, without a network."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec

from fanout.ids import new_device_id
from fanout.ports.authenticator import Identity
from fanout.ports.devices import Activity, Connected, Devices, Login, Lost
from fanout.ports.memberships import Memberships
from fanout.ports.socket import SocketClosed
from services.adapters.embedded.bus import EmbeddedBus
from services.adapters.embedded.log import EmbeddedLog
from services.adapters.embedded.presence import EmbeddedPresence
from services.notification.admission import InstanceLimits
from services.notification.instance import NotificationInstance, NotificationPorts
from services.runtime.tasks import Tasks

INSTANCE: Final = "notif-1"
ADDRESS: Final = "ws://127.0.0.1:1/ws"
BUDGET: Final = 1 << 20


class FakeSocket:
    """The socket port without a network: it reads everything at once, and closes when it is told to."""

    authorization = None
    peer = None
    buffered = 0
    closed_by_client = False

    def __init__(self, user_id: str) -> None:
        self.bytes_read = 0
        self.is_closed = False
        self._frames: asyncio.Queue[str | None] = asyncio.Queue()
        auth = {"type": "auth", "token": user_id, "device_id": new_device_id()}
        self._frames.put_nowait(msgspec.json.encode(auth).decode())

    def write(self, frames: bytes) -> None:
        """See the port."""
        self.bytes_read += len(frames)

    async def drained(self) -> None:
        """See the port."""

    def acquire_descriptor(self, on_change: object) -> None:
        """See the port."""

    def allow_large_messages(self) -> None:
        """See the port."""

    async def receive(self) -> str:
        """See the port."""
        if (frame := await self._frames.get()) is None:
            raise SocketClosed
        return frame

    async def close(self, code: int = 1000, reason: str = "") -> None:  # noqa: ARG002 - as the port has it
        """See the port."""
        self.is_closed = True
        self._frames.put_nowait(None)


class _NoDevices:
    """A record of devices to which every device is new, at no cost."""

    async def connect_device(self, _login: Login) -> Connected:
        return Connected(None)

    async def record_activity(self, _activities: Sequence[Activity]) -> list[Lost]:
        return []


NO_DEVICES: Final = cast("Devices", _NoDevices())


class _AnyToken:
    async def verify(self, token: str) -> Identity:
        return Identity(token, time.time() + 3_600)


async def started_instance(
    log: EmbeddedLog,
    bus: EmbeddedBus,
    presence: EmbeddedPresence,
    memberships: Memberships,
    tasks: Tasks,
    *,
    capacity: int,
) -> NotificationInstance:
    """Start an instance, which accepts every token as the name of a user."""
    limits = InstanceLimits(INSTANCE, capacity, auth_timeout_s=10, heartbeat_s=30, socket_budget=BUDGET)
    ports = NotificationPorts(log, bus, presence, presence, presence, memberships, NO_DEVICES, _AnyToken())
    instance = NotificationInstance(limits, ports, cast("Any", None), tasks, heartbeat_timeout_s=3_600)
    await instance.start(ADDRESS)
    return instance
