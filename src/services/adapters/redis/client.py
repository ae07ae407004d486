"""The connection to Redis: bounded waits, and its errors as the library's."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from fanout.errors import Unavailable
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
)
"""What Redis says, or does not say, while it is down, loading, failing over or full."""

_CANNOT_NOW: Final = re.compile(r"\b(BUSY|MISCONF|NOREPLICAS|TRYAGAIN)\b")
"""The same in codes without a class: a script runs for too long, the disk is full, the replicas are away."""


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
    """Turn the errors of a Redis that cannot be used now into `Unavailable`."""
    try:
        yield
    except OUT_OF_REACH as error:
        raise Unavailable(f"Redis cannot be reached for {what}: {error}") from error
    except exceptions.ResponseError as error:
        if not _CANNOT_NOW.search(str(error)):
            raise
        raise Unavailable(f"Redis cannot do {what} now: {error}") from error
