"""The base of the presence ports in Redis: the client, the keys, and the preparation of scripts."""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from fanout.keys import Keys
from services.adapters.redis.client import reaching
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

    async def ping(self) -> None:
        """See the port."""
        with reaching("ping"):
            await self._client.ping()

    def _script(self, text: str) -> AsyncScript:
        return self._client.register_script(prepared(text, self._keys, self._deployment))


def chunks(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Cut items into sequences of at most `CHUNK`."""
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))
