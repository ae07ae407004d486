"""The adapters of presence as the contract tests see them, whose clocks the tests move."""

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

from redis.asyncio import Redis

from fanout.keys import LEASE_TTL_S
from fanout.ports.presence import Aggregates, Connections, DeviceConnection, Lease, Leases, UserPresence
from services.adapters.embedded.presence import EmbeddedPresence
from services.adapters.redis.presence import RedisPresence

LAPTOP = "dev_desktop_01HZ0000000000000000000000"
PHONE = "dev_ios_01HZ0000000000000000000000"
AT_LAPTOP = DeviceConnection(
    "alice", LAPTOP, "notif-1", "2026-02-01T10:30:00.000Z", "idle", "general", "2026-02-01T10:31:00.000Z"
)
AT_PHONE = DeviceConnection("alice", PHONE, "notif-2", "2026-02-01T10:30:00.000Z")
_BY_TIME = ("presence-due", "presence-untold", "presence-recent")


class World(ABC):
    """One adapter, and a way to let time pass for it.

    Attributes:
        connections: the adapter, by its ports.
        leases: the same one.
        aggregates: the same one.
    """

    def __init__(self, presence: Any) -> None:
        self.connections: Connections = presence
        self.leases: Leases = presence
        self.aggregates: Aggregates = presence

    @abstractmethod
    async def elapse(self, seconds: float) -> None:
        """Let time pass."""

    async def live(self, seconds: float, *instances: str) -> None:
        """Let time pass in which instances renew their leases."""
        step = LEASE_TTL_S / 2
        while seconds > 0:
            await self.elapse(min(step, seconds))
            seconds -= step
            for instance_id in instances:
                await self.leases.lease(lease_of(instance_id))

    async def connect(self, connection: DeviceConnection) -> DeviceConnection:
        """Record a connection. Returns it with its number."""
        return replace(connection, order=(await self.connections.connect(connection)).order)

    async def presence(self, user_id: str = "alice") -> UserPresence:
        """A user's presence."""
        return (await self.aggregates.presences_of([user_id]))[user_id]

    async def status(self, user_id: str = "alice") -> str:
        """A user's status."""
        return (await self.presence(user_id)).status

    @abstractmethod
    async def close(self) -> None: ...


class EmbeddedWorld(World):
    def __init__(self, adapter: type[EmbeddedPresence]) -> None:
        self._now = 1_000.0
        super().__init__(adapter(clock=lambda: self._now, wall_us=lambda: int(self._now * 1e6)))

    async def elapse(self, seconds: float) -> None:
        self._now += seconds

    async def close(self) -> None:
        """Nothing is open."""


class RedisWorld(World):
    """Shortens every time to live in the server instead of waiting."""

    def __init__(self, presence: RedisPresence, client: Redis) -> None:
        super().__init__(presence)
        self._presence = presence
        self._client = client

    @classmethod
    async def open(cls, url: str, prefix: str) -> "RedisWorld":
        client = Redis.from_url(url, decode_responses=True, protocol=2)
        await client.flushdb()
        return cls(await RedisPresence.open(url, prefix=prefix, deployment="dep_test"), client)

    async def elapse(self, seconds: float) -> None:
        async for key in self._client.scan_iter():
            left = await self._client.pttl(key)
            if left >= 0:
                await self._client.pexpire(key, int(left - seconds * 1000))
        async for key in self._client.scan_iter("*presence:user:*"):
            for name in map(str, await self._client.hkeys(key)):
                if name.startswith("on:"):
                    await self._client.hincrby(key, name, -int(seconds))
        for name in _BY_TIME:
            async for key in self._client.scan_iter(f"*{name}"):
                for user in await self._client.zrange(key, 0, -1):
                    await self._client.zincrby(key, -seconds * 1000, str(user))

    async def close(self) -> None:
        await self._presence.close()
        await self._client.aclose()


def lease_of(instance_id: str, *, connections: int = 0, incarnation: str = "01HZ0000000000000000000001") -> Lease:
    return Lease(
        instance_id=instance_id,
        incarnation=incarnation,
        address="ws://127.0.0.1:8081/ws",
        started_at="2026-02-01T10:00:00.000Z",
        connections=connections,
        capacity=10_000,
    )
