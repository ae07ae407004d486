"""A client's WebSocket as the notification service uses it: the service writes frames that are encoded already."""

from collections.abc import Awaitable, Callable
from typing import Protocol


class SocketClosed(Exception):  # noqa: N818 - an ending, not an error
    """The connection is closed: the client has gone, or the server has closed it."""


class Socket(Protocol):
    """One open WebSocket."""

    @property
    def authorization(self) -> str | None:
        """The `Authorization` header of the opening request."""
        ...

    @property
    def peer(self) -> str | None:
        """The IP address at the other end, which may be a proxy's; None if it is not known."""
        ...

    @property
    def is_closed(self) -> bool:
        """Whether the connection is closed, or the client has begun to close it. It may be seen late."""
        ...

    @property
    def closed_by_client(self) -> bool:
        """Whether the client has closed the connection by a close frame of its own."""
        ...

    @property
    def buffered(self) -> int:
        """Bytes that were written and that the operating system has not taken yet."""
        ...

    def write(self, frames: bytes) -> None:
        """Send complete WebSocket frames, encoded already. It never waits: the caller limits `buffered`.

        Writing to a socket that is closing does nothing.
        """
        ...

    async def drained(self) -> None:
        """Return when nothing is `buffered`.

        Raises:
            SocketClosed: the connection is closed.
        """
        ...

    def acquire_descriptor(self, on_change: Callable[[bool], None]) -> int | None:
        """Acquire the raw descriptor, to send complete frames on it without `write` while nothing is buffered.

        The socket releases it when it begins to close.

        Args:
            on_change: called with False at the moment from which nothing may be sent on the descriptor, and with True
                when it may be used again.

        Returns:
            the descriptor, or None if every frame must go through `write`.
        """
        ...

    def allow_large_messages(self) -> None:
        """Accept messages of the full size from now on. Until then the limit is 16 KiB, as for an unknown client."""
        ...

    async def receive(self) -> str | bytes:
        """The next message: text as `str`, binary as `bytes`.

        Raises:
            SocketClosed: the connection is closed.
        """
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close with a code of the contract, section 3, and wait until it is closed.

        The connection of a client that does not read is aborted after a few seconds.
        """
        ...


SocketHandler = Callable[[Socket], Awaitable[None]]
"""Serves one connection. When it returns, the connection is closed."""
