"""A client's WebSocket, as the notification service sees it: frames go out as ready bytes."""

from collections.abc import Awaitable, Callable
from typing import Protocol


class SocketClosed(Exception):  # noqa: N818 - an ending, not an error
    """The client is gone, or was closed."""


class Socket(Protocol):
    """One open connection."""

    @property
    def authorization(self) -> str | None:
        """The `Authorization` header of the opening request."""
        ...

    @property
    def buffered(self) -> int:
        """Bytes written and not yet taken by the operating system."""
        ...

    def write(self, frames: bytes) -> None:
        """Send whole WebSocket frames, encoded already. Never waits: the caller bounds `buffered`.

        Writing to a socket that is closing does nothing.
        """
        ...

    def lend(self, on_change: Callable[[bool], None]) -> int | None:
        """Lend the descriptor, so that whole frames can be sent on it past `write` while nothing is buffered.

        Args:
            on_change: called with False as soon as nothing may be sent on it any more, with True when it may again.

        Returns:
            the descriptor, or None where every frame must go by `write`.
        """
        ...

    def allow_large_messages(self) -> None:
        """Take messages of the full size from now on. Before, 16 KiB is the bound: the client is not known yet."""
        ...

    async def receive(self) -> str | bytes:
        """The next message: text as `str`, binary as `bytes`.

        Raises:
            SocketClosed: there will be none.
        """
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close with a code of the contract, section 3, and wait until it is closed.

        A client that does not read is cut off after a few seconds.
        """
        ...


SocketHandler = Callable[[Socket], Awaitable[None]]
"""Serves one connection; when it returns, the connection is closed."""
