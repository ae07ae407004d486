"""Presence, and what users have read and written, in Redis."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from services.adapters.redis.keyspace import Keyspace
from services.adapters.redis.presence import RedisPresence
from services.adapters.redis.user_state import RedisUserState
from services.composition.backends import Backends, Found, naming
from services.composition.deployment_id import deployment_id, existing_id
from services.runtime.settings import ConfigurationError

_S = TypeVar("_S", bound=Keyspace)


async def open_redis_presence(backends: Backends) -> RedisPresence:
    """Connect to Redis for presence; see `_open`."""
    return await _open(backends, RedisPresence)


async def open_redis_user_state(backends: Backends) -> RedisUserState:
    """Connect to Redis for unread counts and drafts; see `_open`."""
    return await _open(backends, RedisUserState)


async def _open(backends: Backends, kind: type[_S]) -> _S:
    """Connect to Redis, and let its keys carry the deployment's id.

    Raises:
        ForeignStore: it belongs to another deployment or program.
    """
    url, prefix = str(backends.settings.redis_url), backends.settings.prefix
    deployment = await deployment_id(backends)
    with _naming_redis():
        if backends.adopt:
            await RedisPresence.adopt(url, prefix=prefix, deployment=deployment)
        opened = await kind.open(url, prefix=prefix, deployment=deployment)
    return backends.close_at_end(opened)


async def look_at_redis(backends: Backends) -> Found:
    """Check that Redis answers and is this deployment's, and how it is configured."""
    url, prefix = str(backends.settings.redis_url), backends.settings.prefix
    with _naming_redis():
        weak = await RedisPresence.look(url, prefix=prefix, deployment=await existing_id(backends))
    return Found("Redis", tuple(weak))


@contextmanager
def _naming_redis() -> Iterator[None]:
    try:
        with naming("REDIS_URL"):
            yield
    except (ValueError, TypeError):  # not chained: its text may quote the password
        raise ConfigurationError(
            ["FANOUT_REDIS_URL: the Redis client does not know one of its options; remove the part after the ?"]
        ) from None
