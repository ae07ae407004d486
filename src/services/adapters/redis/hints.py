"""Hints of presence changes by the pub/sub of Redis or Valkey, contract section 5."""

from collections.abc import Sequence

from redis.asyncio import Redis

from fanout.keys import Keys, PresenceChange
from fanout.ports.presence import ChangeHandler
from services.adapters.redis.client import reaching
from services.adapters.redis.keyspace import Keyspace, chunks
from services.adapters.redis.watch import Watch


class RedisHints(Keyspace):
    """`fanout.ports.presence.Hints`."""

    def __init__(self, client: Redis, keys: Keys, deployment: str = "") -> None:
        super().__init__(client, keys, deployment)
        self._watches: set[Watch] = set()

    async def announce(self, changes: Sequence[PresenceChange]) -> None:
        """See the port."""
        for chunk in chunks(changes):
            with reaching("announce"):
                async with self._client.pipeline(transaction=False) as pipeline:
                    for change in chunk:
                        pipeline.publish(self._keys.presence_changes, change.encode())
                    await pipeline.execute()

    async def watch(self, handler: ChangeHandler) -> Watch:
        """See the port. Returns when the server has confirmed.

        Raises:
            Unavailable: it does not answer.
        """
        watch = await Watch.open(self._client, self._keys.presence_changes, handler, self._watches.discard)
        self._watches.add(watch)
        return watch

    async def close_watches(self) -> None:
        """Close every subscription that is open."""
        for watch in list(self._watches):
            await watch.close()
