"""The presence of users in Redis or Valkey, contract section 5."""

from collections.abc import Collection, Mapping, Sequence
from itertools import count
from typing import Final, get_args

from redis.asyncio import Redis

from fanout.keys import Keys
from fanout.ports.presence import Status, Sweep, UserPresence
from services.adapters.redis import aggregate_scripts as scripts
from services.adapters.redis.client import reaching
from services.adapters.redis.keyspace import CHUNK, Encodable, Keyspace, chunks

_STATUSES: Final[Mapping[str | None, Status]] = {status: status for status in get_args(Status)}


class RedisAggregates(Keyspace):
    """`fanout.ports.presence.Aggregates`."""

    def __init__(self, client: Redis, keys: Keys, deployment: str = "") -> None:
        super().__init__(client, keys, deployment)
        self._read = self._script(scripts.READ)
        self._set_status = self._script(scripts.SET_STATUS)
        self._sweep = self._script(scripts.SWEEP)
        self._untold = self._script(scripts.UNTOLD)
        self._told = self._script(scripts.TOLD)
        self._changed_within = self._script(scripts.CHANGED_WITHIN)

    async def presences_of(self, user_ids: Collection[str]) -> dict[str, UserPresence]:
        """See the port."""
        found: dict[str, UserPresence] = {}
        for chunk in chunks(list(user_ids)):
            with reaching("presences_of"):
                rows = await self._read(args=list(chunk))
            found.update((presence.user_id, presence) for presence in map(user_presence, rows))
        return found

    async def set_status(self, user_id: str, text: str, emoji: str) -> UserPresence:
        """See the port."""
        with reaching("set_status"):
            return user_presence(await self._set_status(args=[user_id, text, emoji]))

    async def sweep(self, limit: int) -> Sweep:
        """See the port."""
        with reaching("sweep"):
            changes, more = await self._sweep(args=[limit])
        return Sweep([user_presence(fields) for fields in changes], more=bool(more))

    async def untold(self, limit: int) -> list[UserPresence]:
        """See the port."""
        with reaching("untold"):
            return [user_presence(fields) for fields in await self._untold(args=[limit])]

    async def told(self, presences: Collection[UserPresence]) -> None:
        """See the port."""
        for chunk in chunks(list(presences)):
            pairs: list[Encodable] = [word for each in chunk for word in (each.user_id, each.version)]
            with reaching("told"):
                await self._told(args=pairs)

    async def changed_within(self, seconds: float) -> list[UserPresence]:
        """See the port."""
        found: dict[str, UserPresence] = {}
        for first in count(0, CHUNK):
            with reaching("changed_within"):
                rows = await self._changed_within(args=[int(seconds * 1000), first, CHUNK])
            found.update((presence.user_id, presence) for presence in map(user_presence, rows))
            if len(rows) < CHUNK:
                break
        return list(found.values())


def user_presence(fields: Sequence[str | None]) -> UserPresence:
    """Read what a script returns for a user."""
    user_id, status, version, last_active, text, emoji, devices = fields
    return UserPresence(
        user_id=user_id or "",
        status=_STATUSES.get(status, "offline"),
        version=number(version),
        last_active=last_active,
        status_text=text or "",
        status_emoji=emoji or "",
        active_device_count=number(devices),
    )


def number(text: str | None) -> int:
    """A number in a hash; 0 if it is none, so that one bad hash does not hide the others."""
    try:
        return int(text or "")
    except ValueError:
        return 0
