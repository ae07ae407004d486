"""Presence in Redis or Valkey: one connection to the server for its two ports. Contract section 5."""

import structlog
from redis.exceptions import ResponseError

from fanout.keys import Keys
from services.adapters.redis.client import make_client, opening, reaching
from services.adapters.redis.connections import RedisConnections
from services.adapters.redis.deployment import claim, look
from services.adapters.redis.leases import RedisLeases

log = structlog.get_logger(__name__)


class RedisPresence(RedisConnections, RedisLeases):
    """The two ports of `fanout.ports.presence`. `close` closes the client, too."""

    @classmethod
    async def open(cls, url: str, *, prefix: str = "", deployment: str = "") -> "RedisPresence":
        """Connect to a server, and check that the store belongs to this deployment.

        Args:
            url: `redis://`, `rediss://` or `unix://`.
            prefix: keeps deployments apart on one server: keys and channels begin with it and a colon.
            deployment: the deployment's id. It is written to a store that has no id and no key of Fanout, and again to
                one that loses it while this process runs.

        Raises:
            Unavailable: the server does not answer, or it is no Redis, or it does not have what the URL names.
            ForeignStore: the store belongs to another deployment, or another program uses a key of the same name.
            ValueError: the URL has another scheme, or the prefix or the id has a wrong form.
        """
        client = make_client(url)
        try:
            presence = cls(client, Keys(prefix), deployment)
            with opening(url):
                await client.ping()
                await claim(client, presence._keys, deployment)
            for line in await presence.warnings():
                log.warning(line)
        except BaseException:
            await client.aclose()
            raise
        return presence

    @staticmethod
    async def look(url: str, *, prefix: str = "", deployment: str | None) -> list[str]:
        """Check as `open` does, but write nothing.

        Args:
            url: as of `open`.
            prefix: as of `open`.
            deployment: the id; None if there is none yet.

        Returns:
            warnings about the server's configuration, a line each.

        Raises:
            Unavailable, ForeignStore, ValueError: as `open`.
        """
        client = make_client(url)
        try:
            presence = RedisPresence(client, Keys(prefix), deployment or "")
            with opening(url):
                await client.ping()
                await look(client, presence._keys, deployment)
            return await presence.warnings()
        finally:
            await client.aclose()

    @staticmethod
    async def adopt(url: str, *, prefix: str = "", deployment: str) -> None:
        """Write the deployment's id to a store that has none, whatever keys the store holds.

        Args:
            url: as of `open`.
            prefix: as of `open`.
            deployment: the id.

        Raises:
            Unavailable: the server does not answer.
            ForeignStore: the store carries another id.
        """
        client = make_client(url)
        try:
            with opening(url):
                await claim(client, Keys(prefix), deployment, adopt=True)
        finally:
            await client.aclose()

    async def warnings(self) -> list[str]:
        """Say which of the server's settings work but should be changed, a line each.

        Raises:
            Unavailable: the server does not answer.
        """
        try:
            with reaching("reading its configuration"):
                policy = (await self._client.info("memory")).get("maxmemory_policy", "unknown")
        except ResponseError:  # the user has no permission to read it
            policy = "unknown"
        if policy == "noeviction":
            return []
        if policy == "unknown":
            return ["Redis does not report its maxmemory-policy; make sure that it is noeviction"]
        lost = "leases and connections of those who are there would go"
        return [
            f"Redis evicts keys when it is full (maxmemory-policy {policy}): {lost}; set maxmemory-policy noeviction"
        ]

    async def close(self) -> None:
        """Close the connections to the server."""
        await self._client.aclose()
