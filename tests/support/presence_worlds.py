"""The adapters of presence as the contract tests see them, whose clocks the tests move."""

from abc import ABC, abstractmethod

from redis.asyncio import Redis

from fanout.ports.presence import Connections, DeviceConnection, Lease, Leases
from services.adapters.embedded.presence import EmbeddedPresence
from services.adapters.redis.presence import RedisPresence

LAPTOP = "dev_desktop_01HZ0000000000000000000000"
PHONE = "dev_ios_01HZ0000000000000000000000"
AT_LAPTOP = DeviceConnection(
    "alice", LAPTOP, "notif-1", "2026-02-01T10:30:00.000Z", "idle", "general", "2026-02-01T10:31:00.000Z"
)
AT_PHONE = DeviceConnection("alice", PHONE, "notif-2", "2026-02-01T10:30:00.000Z")


class World(ABC):
    """One adapter, and a way to let time pass for it."""

    connections: Connections
    leases: Leases

    @abstractmethod
    async def elapse(self, seconds: float) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...


class EmbeddedWorld(World):
    def __init__(self, adapter: type[EmbeddedPresence]) -> None:
        self._now = 1_000.0
        self._presence = adapter(clock=lambda: self._now)
        self.connections = self.leases = self._presence

    async def elapse(self, seconds: float) -> None:
        self._now += seconds

    async def close(self) -> None:
        """Nothing is open."""


class RedisWorld(World):
    """Shortens every time to live in the server instead of waiting."""

    def __init__(self, presence: RedisPresence, client: Redis) -> None:
        self._presence = presence
        self._client = client
        self.connections = self.leases = presence

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

    async def close(self) -> None:
        await self._presence.close()
        await self._client.aclose()


def lease_of(instance_id: str, *, connections: int = 0) -> Lease:
    return Lease(
        instance_id=instance_id,
        incarnation="01HZ0000000000000000000001",
        address="ws://127.0.0.1:8081/ws",
        started_at="2026-02-01T10:00:00.000Z",
        connections=connections,
        capacity=10_000,
    )
