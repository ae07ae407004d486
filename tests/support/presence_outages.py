"""A server of presence with outages, real and simulated."""

import shutil
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis

from fanout.errors import Unavailable
from services.adapters.redis.presence import RedisPresence
from tests.support.servers import RedisServer
from tests.support.simulated_worlds import SimulatedTier


class PresenceServer(ABC):
    """A server, and presence as one process reaches it."""

    presence: Any

    async def answers(self) -> bool | None:
        """Whether the process reaches the server; None if it does not."""
        with suppress(Unavailable):
            await self.presence.ping()
            return True
        return None

    @abstractmethod
    def kill(self) -> None:
        """End it as a crash would."""

    @abstractmethod
    def start(self, *, emptied: bool = False) -> None:
        """Start it again, with what it held or without."""

    @abstractmethod
    def pause(self) -> None:
        """Let it stand still."""

    @abstractmethod
    def resume(self) -> None:
        """Let it go on."""

    @abstractmethod
    async def fill(self) -> None:
        """Have no memory left."""

    @abstractmethod
    async def make_room(self) -> None:
        """Have memory again."""


class RealRedis(PresenceServer):
    """redis-server."""

    def __init__(self, server: RedisServer, presence: RedisPresence) -> None:
        self._server = server
        self.presence = presence

    @classmethod
    async def open(cls, server: RedisServer) -> "RealRedis":
        return cls(server, await RedisPresence.open(server.url))

    async def close(self) -> None:
        await self.presence.close()

    def kill(self) -> None:
        self._server.kill()

    def start(self, *, emptied: bool = False) -> None:
        if emptied:
            shutil.rmtree(self._server.folder / "appendonlydir")
        self._server.start()

    def pause(self) -> None:
        self._server.pause()

    def resume(self) -> None:
        self._server.resume()

    async def fill(self) -> None:
        await self._limit(1)

    async def make_room(self) -> None:
        await self._limit(0)

    async def _limit(self, size: int) -> None:
        async with Redis.from_url(self._server.url) as client:
            await client.config_set("maxmemory", size)


class SimulatedRedis(PresenceServer):
    """The one of the simulation."""

    def __init__(self, tier: SimulatedTier) -> None:
        self._tier = tier
        self._servers = tier.servers
        self.presence = tier.presence()

    def kill(self) -> None:
        self._servers.down("redis")

    def start(self, *, emptied: bool = False) -> None:
        if emptied:
            self._servers.empty_redis()
        self._servers.up("redis")

    def pause(self) -> None:
        self._tier.loop.pause(self._servers.hosts["redis"])

    def resume(self) -> None:
        self._tier.loop.resume(self._servers.hosts["redis"])

    async def fill(self) -> None:
        self._servers.full["redis"] += 1

    async def make_room(self) -> None:
        self._servers.full["redis"] -= 1
