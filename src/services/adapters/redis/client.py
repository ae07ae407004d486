"""The connection to Redis: every wait is bounded, and errors of the client become those of `fanout.errors`."""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Final
from urllib.parse import urlsplit

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from fanout.errors import ForeignStore, Unavailable
from services.adapters.redis.transports import LOSSY
from services.runtime.certificates import untrusted

TIMEOUT_S: Final = 2.0
"""Seconds to connect, to wait for an answer, and to wait for a free connection of the pool."""

MAX_CONNECTIONS: Final = 32

OUT_OF_REACH: Final = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.ClusterDownError,
    exceptions.NoPermissionError,
)
"""The errors while Redis is down, loading, failing over or full, or refuses our user."""

_CANNOT_NOW: Final = re.compile(
    r"\b(BUSY|MISCONF|NOREPLICAS|TRYAGAIN)\b|executing the script can't (run|access)|"
    r"unauthenticated (multi)?bulk length"
)
"""Further errors of that kind, which have no class of their own: a script runs for too long, the disk is full, the
replicas are away, a script lost a permission, or a long command is sent after the password was changed."""

_ANOTHER: Final = re.compile(r"\bFOREIGN (\S+) (\S+)")
"""The answer of the scripts when Redis carries another deployment's id."""
_WRONG_TYPE: Final = re.compile(r"\bWRONGTYPE\b")

REMEDY: Final = "set FANOUT_PREFIX, or another database in FANOUT_REDIS_URL"


class ForeignData(ForeignStore, Unavailable):
    """Redis holds data of another program or deployment. The text names it, and the remedy.

    A process that is starting ends with this error. A running process goes on as if Redis were away: clients that are
    connected are served.
    """


def make_client(url: str) -> Redis:
    """Make a client that connects when it is first used, and reconnects after the server was away.

    A call on a lost connection is retried once at once, since every pooled connection is stale after a restart. A call
    that gets no answer is not retried, so it never waits longer than its timeout.

    Args:
        url: `redis://`, `rediss://` or `unix://`.

    Raises:
        ValueError: the URL is none of these.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        protocol=2,
        decode_responses=True,
        encoding_errors="replace",  # foreign bytes become an invalid id, not an error while reading
        max_connections=MAX_CONNECTIONS,
        timeout=TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(ConstantBackoff(0), 1, supported_errors=(exceptions.ConnectionError,)),
    )
    pool.connection_class = LOSSY[pool.connection_class]
    return Redis.from_pool(pool)


@contextmanager
def opening(url: str) -> Iterator[None]:
    """Turn every error of the first call into `Unavailable`: the server may be no Redis, or refuse the credentials."""
    try:
        yield
    except (OSError, exceptions.RedisError) as error:
        why = untrusted(error) or error
        raise Unavailable(f"no Redis server lets us in at {_without_credentials(url)}: {why}") from error


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    # The options may contain the password, too.
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


@contextmanager
def reaching(what: str) -> Iterator[None]:
    """Turn the errors of a Redis that cannot be used now, or not by this program, into `Unavailable`."""
    try:
        yield
    except OUT_OF_REACH as error:
        raise Unavailable(f"Redis cannot be reached for {what}: {error}") from error
    except exceptions.ResponseError as error:
        said = str(error)
        if another := _ANOTHER.search(said):
            raise another_deployment(*another.groups()) from error
        if _WRONG_TYPE.search(said):
            raise ForeignData(f"Redis cannot do {what}: a key is another program's; {REMEDY}") from error
        if not _CANNOT_NOW.search(said):
            raise
        raise Unavailable(f"Redis cannot do {what} now: {said}") from error


@asynccontextmanager
async def reaching_keys(client: Redis, what: str, kinds: Mapping[str, str]) -> AsyncIterator[None]:
    """`reaching`, with an error that names the key if one has the wrong type.

    Args:
        client: reads the types of the keys.
        what: the action, for the error's text.
        kinds: the keys that are used, each with its type as Redis names it.
    """
    try:
        with reaching(what):
            yield
    except ForeignData:
        with reaching(what):
            await check_kinds(client, kinds)
        raise


async def check_kinds(client: Redis, kinds: Mapping[str, str]) -> None:
    """Check that each key has its type, or does not exist.

    Raises:
        ForeignData: a key has another type; the text names it.
    """
    async with client.pipeline(transaction=False) as pipeline:
        for key in kinds:
            pipeline.type(key)
        found = await pipeline.execute()
    for (key, kind), there in zip(kinds.items(), map(str, found), strict=True):
        if there not in {"none", kind}:
            raise ForeignData(
                f"the key {key} in Redis is a {there}, where Fanout keeps a {kind}: another program uses it; {REMEDY}"
            )


def another_deployment(there: str, here: str) -> ForeignData:
    """Make the error for a Redis that carries the id of another deployment."""
    return ForeignData(f"Redis is of deployment {there}, and this is {here}; {REMEDY}")
