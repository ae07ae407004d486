"""Whose store a Redis is: the deployment's id in it, and how one without an id gets it."""

import re
from typing import Final

from redis.asyncio import Redis

from fanout.keys import Keys
from services.adapters.redis.client import REMEDY, ForeignData, another_deployment, check_kinds

SCANNED_AT_ONCE: Final = 1_000
_OURS: Final = re.compile(r"instances|conn:[^:]+:dev_.+|conns:[^:]+|presence:user:[^:]+|instance:[^:]+")
_LIKE_OURS: Final = "[cpi]*"


async def claim(client: Redis, keys: Keys, deployment: str, *, adopt: bool = False) -> None:
    """Return when the store is the deployment's. One without an id gets it, where it holds nothing of ours.

    Args:
        client: of the store.
        keys: under which names.
        deployment: the id; empty where the store is to be looked at alone.
        adopt: take a store that has keys of ours and no id, too.

    Raises:
        ForeignData: the store is another deployment's, or another program's.
    """
    await check_kinds(client, {keys.deployment: "string", keys.instances: "set"})
    if not deployment:
        return
    there = await _id(client, keys)
    if there is None:
        if not adopt:
            await _check_empty(client, keys)
        await client.set(keys.deployment, deployment, nx=True)
        there = await _id(client, keys)
    if there not in {deployment, None}:
        raise another_deployment(str(there), deployment)


async def look(client: Redis, keys: Keys, deployment: str | None) -> None:
    """`claim` without a write.

    Raises:
        ForeignData: as `claim`.
    """
    await check_kinds(client, {keys.deployment: "string", keys.instances: "set"})
    there = await _id(client, keys)
    if there is None:
        await _check_empty(client, keys)
    elif there != deployment:
        raise another_deployment(there, deployment or "of none yet")


async def _check_empty(client: Redis, keys: Keys) -> None:
    found = await _first_of_ours(client, keys)
    # Where another process has adopted the store meanwhile, what was found may be its own.
    if found is not None and await _id(client, keys) is None:
        raise ForeignData(
            f"Redis carries no deployment's id and has the key {found}, which Fanout or another program wrote: "
            f"where it is this deployment's, run `fanout migrate --adopt`; else {REMEDY}"
        )


async def _id(client: Redis, keys: Keys) -> str | None:
    held = await client.get(keys.deployment)
    return None if held is None else str(held)


async def _first_of_ours(client: Redis, keys: Keys) -> str | None:
    """A key by a name of ours. The keyspace is walked once in the life of a store, and in small steps."""
    if await client.exists(keys.instances):
        return keys.instances
    async for found in client.scan_iter(match=keys.named("*") if keys.prefix else _LIKE_OURS, count=SCANNED_AT_ONCE):
        if _OURS.fullmatch(str(found).removeprefix(keys.named(""))):
            return str(found)
    return None
