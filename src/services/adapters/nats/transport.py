"""nats-py's transport, which says by an `OSError` that its connection is lost, and how long it waits for the server."""

import os
import socket
from typing import Final

from nats.aio.transport import TcpTransport

from services.runtime.lost_connections import live

_UNSENT_FOR_MS: Final = 10_000


class LossyTransport(TcpTransport):
    """A TCP transport. On uvloop, nats-py's own one raises an error from which nats-py does not reconnect.

    Args:
        connected: has connected, and is not used any more.
    """

    def __init__(self, connected: TcpTransport) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the library's own is not annotated
        vars(self).update(vars(connected))

    def write(self, payload: bytes) -> None:
        """As nats-py calls it.

        Raises:
            LostConnectionError: the event loop has closed the connection.
        """
        live(self._io_writer).write(payload)

    def writelines(self, payload: list[bytes]) -> None:
        """As nats-py calls it.

        Raises:
            LostConnectionError: the event loop has closed the connection.
        """
        live(self._io_writer).writelines(payload)


def bound_unsent_time(fd: int) -> None:
    """Let the kernel end a connection whose peer reads nothing.

    Closing a connection waits until its buffer is sent, so a frozen server would delay the reconnect without end.
    """
    if option := getattr(socket, "TCP_USER_TIMEOUT", None):
        with socket.socket(fileno=os.dup(fd)) as same_socket:
            same_socket.setsockopt(socket.IPPROTO_TCP, option, _UNSENT_FOR_MS)
