"""The channels that users are most active in, in Redis or Valkey. Contract section 5."""

from collections.abc import Sequence
from typing import Final

import orjson
from redis.asyncio import Redis

from fanout.keys import Keys
from fanout.ports.client_state import MOST_ACTIVE
from services.adapters.redis.client import reaching_keys
from services.adapters.redis.keyspace import Keyspace, chunks
from services.adapters.redis.scripts import GUARD

FIELD: Final = "active_channels"

_USE: Final = (
    GUARD
    + f"""
-- KEYS: state. ARGV: channel.
local text = redis.call('HGET', KEYS[1], '{FIELD}')
local is_list, held = pcall(cjson.decode, text or '[]')
local channels = {{ARGV[1]}}
for _, channel in ipairs(is_list and type(held) == 'table' and held or {{}}) do
  if channel ~= ARGV[1] and #channels < {MOST_ACTIVE} then
    channels[#channels + 1] = channel
  end
end
redis.call('HSET', KEYS[1], '{FIELD}', cjson.encode(channels))
"""
)
"""Move a channel to the front of a user's list."""


class RedisClientState(Keyspace):
    """`fanout.ports.client_state.ClientState`: a JSON list in a field of a hash."""

    def __init__(self, client: Redis, keys: Keys, deployment: str = "") -> None:
        super().__init__(client, keys, deployment)
        self._use = self._script(_USE)

    async def note_used(self, used: Sequence[tuple[str, str]]) -> None:
        """See the port."""
        for chunk in chunks(used):
            kinds = {self._keys.client_state(user_id): "hash" for user_id, _ in chunk}
            async with (
                reaching_keys(self._client, "active channels", kinds),
                self._client.pipeline(transaction=False) as pipeline,
            ):
                for user_id, channel_id in chunk:
                    await self._use([self._keys.client_state(user_id)], [channel_id], pipeline)
                await pipeline.execute()

    async def active_channels(self, user_id: str) -> list[str]:
        """See the port."""
        key = self._keys.client_state(user_id)
        async with reaching_keys(self._client, "active channels", {key: "hash"}):
            text = await self._client.hget(key, FIELD)
        return _channels(text)


def _channels(text: str | bytes | None) -> list[str]:
    try:
        held = orjson.loads(text or "[]")
    except orjson.JSONDecodeError:
        return []
    return [channel for channel in held if isinstance(channel, str)] if isinstance(held, list) else []
