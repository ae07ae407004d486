"""The deployment's id in Redis: checked at the start, and written to a Redis that has none."""

import re
from typing import Final

from redis.asyncio import Redis

from fanout.keys import Keys
from services.adapters.redis.client import REMEDY, ForeignData, another_deployment, check_kinds

SCANNED_AT_ONCE: Final = 1_000
_OURS: Final = re.compile(
    r"instances|(conn|conn-ended):[^:]+:dev_.+|conns:[^:]+|presence:(user:)?[^:]+|instance:[^:]+"
    r"|presence-(due|untold|recent|holders)|presence-users:[^:]+:[^:]+|leases-(renewed|doubted)"
    r"|unread-place|channel-latest:[^:]+|(changed|client-state):[^:]+|(read-pointer|mentions|draft):[^:]+:[^:]+"
)
_LIKE_OURS: Final = "[cdilmpru]*"


async def claim(client: Redis, keys: Keys, deployment: str, *, adopt: bool = False) -> None:
    """Check that Redis carries the deployment's id. If it has no id and none of Fanout's keys, the id is written.

    Args:
        client: of the server.
        keys: the names of the keys.
        deployment: the id; empty to check the types of the keys only.
        adopt: also write the id where Redis has keys of Fanout and no id.

    Raises:
        ForeignData: the data belongs to another deployment or program.
    """
    await check_kinds(client, {keys.deployment: "string", keys.instances: "set"})
    if not deployment:
        return
    # No write where the id is there already: a Redis that is full refuses it.
    if (there := await _id(client, keys)) is None:
        if not adopt:
            await _check_empty(client, keys)
        await client.set(keys.deployment, deployment, nx=True)
        there = await _id(client, keys)
    if there not in {deployment, None}:
        raise another_deployment(str(there), deployment)


async def look(client: Redis, keys: Keys, deployment: str | None) -> None:
    """Check what `claim` checks, without a write.

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
    # The key may be of another process that has just written the id.
    if found is not None and await _id(client, keys) is None:
        raise ForeignData(
            f"Redis carries no deployment's id and has the key {found}, which Fanout or another program wrote: "
            f"where it is this deployment's, run `fanout migrate --adopt`; else {REMEDY}"
        )


async def _id(client: Redis, keys: Keys) -> str | None:
    held = await client.get(keys.deployment)
    return None if held is None else str(held)


async def _first_of_ours(client: Redis, keys: Keys) -> str | None:
    """A key with one of Fanout's names, or None. The keys are scanned once, in small steps."""
    if await client.exists(keys.instances):
        return keys.instances
    async for found in client.scan_iter(match=keys.named("*") if keys.prefix else _LIKE_OURS, count=SCANNED_AT_ONCE):
        if _OURS.fullmatch(str(found).removeprefix(keys.named(""))):
            return str(found)
    return None
