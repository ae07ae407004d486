"""The base of the ports in Redis: the client, the keys, and the preparation of scripts."""

from collections.abc import Iterator, Sequence
from typing import Final, Self, TypeVar

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from fanout.keys import Keys
from services.adapters.redis.client import make_client, opening, reaching
from services.adapters.redis.deployment import claim
from services.adapters.redis.scripts import prepared

_T = TypeVar("_T")

Encodable = bytes | bytearray | memoryview | str | int | float
"""An argument of a command, as redis-py takes it."""

CHUNK: Final = 100
"""Commands per pipeline. It bounds the bytes in flight, and how long other tasks and other commands wait."""


class Keyspace:
    """The keys of one deployment on a server. The ports are subclasses, and one object may be several of them.

    Args:
        client: a client of the server.
        keys: the names of the keys.
        deployment: the id of the deployment that the store must belong to; empty for no such check.
    """

    def __init__(self, client: Redis, keys: Keys, deployment: str = "") -> None:
        self._client = client
        self._keys = keys
        self._deployment = deployment

    @classmethod
    async def open(cls, url: str, *, prefix: str = "", deployment: str = "") -> Self:
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
            keys = Keys(prefix)
            opened = cls(client, keys, deployment)
            with opening(url):
                await client.ping()
                await claim(client, keys, deployment)
        except BaseException:
            await client.aclose()
            raise
        return opened

    async def close(self) -> None:
        """Close the connections to the server."""
        await self._client.aclose()

    async def ping(self) -> None:
        """See the port."""
        with reaching("ping"):
            await self._client.ping()

    def _script(self, text: str) -> AsyncScript:
        return self._client.register_script(prepared(text, self._keys, self._deployment))


def chunks(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Cut items into sequences of at most `CHUNK`."""
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))
