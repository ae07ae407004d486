"""The connection to Redis: bounded waits, and its errors as the library's."""

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
from services.runtime.certificates import untrusted

TIMEOUT_S: Final = 2.0
"""For a connection to be made, for an answer to come, and for a connection of the pool to be free."""

MAX_CONNECTIONS: Final = 32

OUT_OF_REACH: Final = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.ClusterDownError,
    exceptions.NoPermissionError,
)
"""What Redis says, or does not say, while it is down, loading, failing over, full, or not to be used by us."""

_CANNOT_NOW: Final = re.compile(
    r"\b(BUSY|MISCONF|NOREPLICAS|TRYAGAIN)\b|executing the script can't (run|access)|"
    r"unauthenticated (multi)?bulk length"
)
"""The same without a class: a script runs for too long, the disk is full, the replicas are away, a script may not do
what it did before, and what a password that was changed makes of a long command."""

_ANOTHER: Final = re.compile(r"\bFOREIGN (\S+) (\S+)")
"""What the scripts answer where the store carries another deployment's id."""
_WRONG_TYPE: Final = re.compile(r"\bWRONGTYPE\b")

REMEDY: Final = "set FANOUT_PREFIX, or another database in FANOUT_REDIS_URL"


class ForeignData(ForeignStore, Unavailable):
    """Redis holds what is another program's or another deployment's; the text names it, and the remedy.

    A process that starts ends by it. One that runs goes on as while Redis is away: who is connected is served.
    """


def make_client(url: str) -> Redis:
    """A client that connects when it is used, and again after the server was away.

    A lost connection is tried once more at once: every pooled connection is stale after a restart. Silence is not,
    so that a call never waits longer than its timeout.

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
    return Redis.from_pool(pool)


@contextmanager
def opening(url: str) -> Iterator[None]:
    """Turn every error of the first call into `Unavailable`: what answers may not be a Redis, or refuse the URL."""
    try:
        yield
    except (OSError, exceptions.RedisError) as error:
        why = untrusted(error) or error
        raise Unavailable(f"no Redis server lets us in at {_without_credentials(url)}: {why}") from error


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    # The options may name the password, too.
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


@contextmanager
def reaching(what: str) -> Iterator[None]:
    """Turn the errors of a Redis that cannot be used now, or not by us, into `Unavailable`."""
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
    """`reaching`, which also names a key that is of another kind than it should be.

    Args:
        client: looks for it.
        what: is done.
        kinds: the keys that are used, each with its type as Redis calls it.
    """
    try:
        with reaching(what):
            yield
    except ForeignData:
        with reaching(what):
            await check_kinds(client, kinds)
        raise


async def check_kinds(client: Redis, kinds: Mapping[str, str]) -> None:
    """Return where each key is of its kind, or not there.

    Raises:
        ForeignData: one is not; the text names it.
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
    """The error of a store that carries the id of another deployment."""
    return ForeignData(f"Redis is of deployment {there}, and this is {here}; {REMEDY}")
