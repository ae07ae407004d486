"""The errors of the Cassandra driver as those of `fanout.errors`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cassandra import (
    AuthenticationFailed,
    OperationTimedOut,
    RequestExecutionException,
    Unauthorized,
    UnresolvableContactPoints,
)
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionBusy, ConnectionException
from cassandra.protocol import RequestExecutionException as ExecutionMessage
from cassandra.protocol import ServerError

from fanout.errors import Unavailable

CAN_SUCCEED_LATER: Final = (
    AuthenticationFailed,
    ConnectionBusy,
    ConnectionException,
    ExecutionMessage,
    NoHostAvailable,
    OperationTimedOut,
    OSError,
    RequestExecutionException,
    ServerError,
    Unauthorized,
    UnresolvableContactPoints,
)
"""The errors while nodes are down, slow, overloaded or starting, or refuse our user. The others are about the request
itself, and would come again."""


@contextmanager
def reaching(what: str) -> Iterator[None]:
    """Turn the errors of a cluster that cannot do something now into `Unavailable`.

    Args:
        what: the action, for the error's text.
    """
    try:
        yield
    except CAN_SUCCEED_LATER as error:
        raise Unavailable(f"Cassandra cannot do {what} now: {_said(error)}") from error


def _said(error: Exception) -> str:
    """The text of an error, or that of the nodes' errors where none could be reached."""
    errors = getattr(error, "errors", None)
    if isinstance(error, NoHostAvailable) and errors:
        return "; ".join(f"{host}: {each}" for host, each in errors.items())
    return str(error) or type(error).__name__
