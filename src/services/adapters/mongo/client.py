"""The connection to MongoDB: every wait is bounded, and errors of the client become those of `fanout.errors`."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    CursorNotFound,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from fanout.errors import OutcomeUnknown, StorageFull, Unavailable
from services.runtime.certificates import untrusted

Document = dict[str, Any]
Database = AsyncDatabase[Document]

TIMEOUT_S: Final = 3.0
"""Seconds to wait for the answer to a command."""
CONNECTING_S: Final = 2.0
"""Seconds to wait for a server that takes writes, for a free connection, and for a new connection."""
MAX_CONNECTIONS: Final = 32
DATABASE: Final = "fanout"

_DISK_IS_FULL: Final = 14031
_REFUSED: Final = frozenset({11, 13, 18, 8000})
"""Unknown user, no permission, wrong password, and what Atlas says for these: nothing was done."""
_CANNOT_NOW: Final = frozenset(
    {1, 6, 7, 24, 46, 50, 64, 75, 79, 89, 91, 100, 112, 133, 134, 189, 202, 262, 290, 314, 317, 365, 462}
    | {9001, 10058, 10107, 11600, 11601, 11602, 13388, 13435, 13436, 14031}
)
"""Codes of a server that elects a primary, starts, stops, is overloaded, or lost its replicas or its time."""


def make_client(url: str, timeout_s: float | None = None) -> AsyncMongoClient[Document]:
    """Make a client, which connects when it is first used, and again after the server was away.

    It belongs to the event loop that uses it first. A write is acknowledged by the majority of the replicas. The driver
    repeats once what a lost connection interrupted: reads always, and writes where the server is a replica set, which
    recognises a repeat. The options here take precedence over those of the URL.

    Each wait has a bound of its own, and `timeoutMS`, a bound for the whole call, is not used. With it, a call that had
    waited for a server to come back had no time left to connect; the driver took that for an outage, and closed all
    connections again.

    Args:
        url: `mongodb://` or `mongodb+srv://`.
        timeout_s: seconds to wait for the answer to a command; by default `TIMEOUT_S`.

    Raises:
        ValueError: the URL has an error. The text does not quote it, since it may contain a password.
    """
    answer_ms = int((timeout_s or TIMEOUT_S) * 1_000)
    connecting_ms = min(answer_ms, int(CONNECTING_S * 1_000))
    try:
        return AsyncMongoClient(
            _with_plus(url),
            appname="fanout",
            connectTimeoutMS=connecting_ms,
            maxPoolSize=MAX_CONNECTIONS,
            readPreference="primary",
            retryReads=True,
            retryWrites=True,
            serverSelectionTimeoutMS=connecting_ms,
            socketTimeoutMS=answer_ms,
            timeoutMS=None,
            waitQueueTimeoutMS=connecting_ms,
            w="majority",
        )
    except (PyMongoError, ValueError, TypeError, OSError):
        raise ValueError("the MongoDB client does not understand this address or one of its options") from None


def database_of(client: AsyncMongoClient[Document], prefix: str) -> Database:
    """The database that the URL names; if it names none, `fanout`, or `x_fanout` for the prefix `x`."""
    return client.get_default_database(f"{prefix}_{DATABASE}" if prefix else DATABASE)


def _with_plus(url: str) -> str:
    """Keep a `+` in the user and the password: the driver would read it as a space."""
    scheme, separator, rest = url.partition("://")
    credentials, at, hosts = rest.rpartition("@")
    return f"{scheme}{separator}{credentials.replace('+', '%2B')}{at}{hosts}"


@contextmanager
def opening(url: str) -> Iterator[None]:
    """Turn each error of the first call into `Unavailable`: the server may be no MongoDB, or refuse the credentials."""
    try:
        yield
    except (OSError, PyMongoError) as error:
        why = untrusted(error) or _said(error)
        raise Unavailable(f"no MongoDB server lets us in at {_without_credentials(url)}: {why}") from error


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn the errors of a MongoDB that cannot be used now into `Unavailable`.

    Args:
        what: that is read, for the error's text.
    """
    try:
        yield
    except PyMongoError as error:
        if not _passes(error):
            raise
        raise Unavailable(f"MongoDB cannot be reached for {what}: {_said(error)}") from error


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn the errors of a MongoDB that cannot be used now into `OutcomeUnknown`, or `Unavailable` if nothing was done.

    Args:
        what: that is done, for the error's text.
    """
    try:
        yield
    except PyMongoError as error:
        if not _passes(error):
            raise
        said = f"MongoDB cannot be reached for {what}: {_said(error)}"
        if _code(error) == _DISK_IS_FULL:
            raise StorageFull(said) from error
        if isinstance(error, ServerSelectionTimeoutError) or _code(error) in _REFUSED:
            raise Unavailable(said) from error
        raise OutcomeUnknown(said) from error


@contextmanager
def begun(what: str) -> Iterator[None]:
    """Turn `Unavailable` into `OutcomeUnknown`: an earlier write of the same call stands.

    Args:
        what: the call, for the error's text.
    """
    try:
        yield
    except OutcomeUnknown:
        raise
    except Unavailable as error:
        raise OutcomeUnknown(f"{what} was begun: {error}") from error


def _passes(error: PyMongoError) -> bool:
    """Whether the same call may succeed later. Other errors are faults of this program."""
    if isinstance(error, ConnectionFailure | CursorNotFound) or error.timeout:
        return True
    if isinstance(error, InvalidOperation):  # the client was closed while the call waited
        return "after close" in str(error)
    return isinstance(error, OperationFailure) and (_code(error) or 0) in _CANNOT_NOW | _REFUSED


def _code(error: PyMongoError) -> int | None:
    if isinstance(error, BulkWriteError):
        return _code_of_bulk(error.details)
    code = error.code if isinstance(error, OperationFailure) else None
    return None if code is None else int(code)


def _code_of_bulk(details: Mapping[str, Any] | None) -> int | None:
    """The code of the first error of a bulk write that is no duplicate key, of a write or of its acknowledgement."""
    errors = [*(details or {}).get("writeErrors", ()), *(details or {}).get("writeConcernErrors", ())]
    return next((int(error["code"]) for error in errors if error["code"] != DUPLICATE_KEY), None)


DUPLICATE_KEY: Final = 11_000


def _said(error: BaseException) -> str:
    """The text of an error, without the driver's description of every server."""
    return re.split(r", Timeout: |, full error: |, Topology Description: ", str(error))[0] or type(error).__name__


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    # The options may contain secrets, too.
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
