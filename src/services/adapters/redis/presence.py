"""Presence in Redis or Valkey: one connection to the server for its ports. Contract section 5."""

from typing import Self

import structlog
from redis.exceptions import ResponseError

from fanout.keys import Keys
from services.adapters.redis.aggregates import RedisAggregates
from services.adapters.redis.client import make_client, opening, reaching
from services.adapters.redis.connections import RedisConnections
from services.adapters.redis.deployment import claim, look
from services.adapters.redis.leases import RedisLeases

log = structlog.get_logger(__name__)


class RedisPresence(RedisConnections, RedisLeases, RedisAggregates):
    """The ports of `fanout.ports.presence`. `close` closes the client, too."""

    @classmethod
    async def open(cls, url: str, *, prefix: str = "", deployment: str = "") -> Self:
        """See `Keyspace.open`. Settings of the server that should be changed are logged."""
        presence = await super().open(url, prefix=prefix, deployment=deployment)
        try:
            for line in await presence.warnings():
                log.warning(line)
        except BaseException:
            await presence.close()
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
