"""The record of what changed for a user, in Redis or Valkey. Contract section 5."""

from collections.abc import Mapping, Sequence

from redis.asyncio import Redis

from fanout.keys import Keys
from services.adapters.redis.change_scripts import CHANGED
from services.adapters.redis.client import reaching_keys
from services.adapters.redis.keyspace import Keyspace, chunks


class RedisChanges(Keyspace):
    """`fanout.ports.changes.Changes`. The scripts that change something note it; this reads the notes."""

    def __init__(self, client: Redis, keys: Keys, deployment: str = "") -> None:
        super().__init__(client, keys, deployment)
        self._changed = self._script(CHANGED)

    async def changed(self, user_ids: Sequence[str], within_s: float) -> Mapping[str, Sequence[str]]:
        """See the port."""
        found: dict[str, Sequence[str]] = {}
        for chunk in chunks(user_ids):
            used = {self._keys.changed(user_id): "zset" for user_id in chunk}
            async with reaching_keys(self._client, "changes", used):
                channels = await self._changed(keys=list(used), args=[int(within_s * 1_000)])
            found.update((user_id, of_user) for user_id, of_user in zip(chunk, channels, strict=True) if of_user)
        return found
