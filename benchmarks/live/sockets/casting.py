"""Starting the processes: servers, and their clients."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from benchmarks.live.sockets.clients import ClientSettings
from benchmarks.live.sockets.figures import NAMES, Server
from benchmarks.live.sockets.peers import Peer
from benchmarks.live.sockets.serving import ServerSettings

_WORK: Final[dict[Server, str]] = {
    "service": "benchmarks.live.sockets.service:serve",
    "plain": "benchmarks.live.sockets.plain:serve",
}
_CLIENTS: Final = "benchmarks.live.sockets.clients:run_clients"


@contextmanager
def running_server(
    server: Server, settings: ServerSettings, signals: socket.socket | None = None
) -> Iterator[tuple[Peer, int]]:
    """Run a server for the length of the context.

    Args:
        server: which.
        settings: for it.
        signals: on which clients tell it that a round is complete; it is closed here.

    Yields:
        its process, and its port.

    Raises:
        BenchError: it does not start.
    """
    with Peer(NAMES[server], _WORK[server], settings, () if signals is None else (signals,)) as peer:
        yield peer, peer.joined().port


@contextmanager
def running_clients(server: Server, settings: ClientSettings, signals: socket.socket | None = None) -> Iterator[Peer]:
    """Run clients for the length of the context; they are not connected yet.

    Args:
        server: whose clients they are.
        settings: for them.
        signals: on which they tell the server that a round is complete; it is closed here.

    Raises:
        BenchError: they do not start.
    """
    name = f"clients of the {NAMES[server]}"
    with Peer(name, _CLIENTS, settings, () if signals is None else (signals,)) as peer:
        peer.joined()
        yield peer
