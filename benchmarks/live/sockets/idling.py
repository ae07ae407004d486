"""Connections to which nothing is sent: what memory they take, and how fast they are let in."""

import secrets
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from benchmarks.apart import Progress
from benchmarks.errors import NumbersError
from benchmarks.live.sockets.audience import Idle
from benchmarks.live.sockets.casting import running_clients, running_server
from benchmarks.live.sockets.clients import ClientSettings
from benchmarks.live.sockets.figures import IdleFigures, Server
from benchmarks.live.sockets.limits import RESERVED, raise_limit
from benchmarks.live.sockets.messages import Connect, Connected, Usage, Used
from benchmarks.live.sockets.peers import Peer
from benchmarks.live.sockets.serving import ServerSettings

WARM_UP: Final = 100
"""Connections that are open before memory is first read: what the first ones bring is no part of what each takes."""
_CLIENTS_PER_PROCESS: Final = 10_000
"""Each process has an address of its own on loopback, and so some 28,000 ports."""
_AT_A_TIME: Final = 1_000
SETTLING_S: Final = 1.5
"""Allocators give back after a second what they do not need."""
SECRET_BYTES: Final = 32


def room_for_idle(wanted: int) -> int:
    """How many of the connections that are wanted a server may hold here, by its limit of open files.

    Raises:
        NumbersError: it may hold none.
    """
    limit = raise_limit(_files(wanted))
    room = min(wanted, limit - _files(0))
    if room < 1:
        raise NumbersError(
            f"a process may have {limit:,} files open here, which leaves none for a connection: raise the hard limit "
            "(ulimit -Hn)"
        )
    return room


def require_room_for_idle(connections: int) -> None:
    """Find out before anything is begun.

    Raises:
        NumbersError: a process may not open so many files; the text says how many connections would be accepted.
    """
    if (room := room_for_idle(connections)) < connections:
        raise NumbersError(
            f"--connections {connections} needs {_files(connections):,} open files in a process, and "
            f"{_files(room):,} are allowed: raise the hard limit (ulimit -Hn), or take --connections {room}"
        )


def _files(connections: int) -> int:
    """That a process has open which holds these and the first ones."""
    return connections + WARM_UP + RESERVED


def idle(
    server: Server, connections: int, channels: int, progress: Progress, *, settling_s: float = SETTLING_S
) -> IdleFigures:
    """Hold connections, and see what the server takes for them.

    Args:
        server: which.
        connections: how many, beyond the first.
        channels: that each reads.
        progress: is told how many are open.
        settling_s: seconds before memory is read.

    Raises:
        BenchError: one was refused, or there is no descriptor or port for it.
    """
    sockets = WARM_UP + connections
    secret = secrets.token_hex(SECRET_BYTES)
    with ExitStack() as stack:
        settings = ServerSettings(Idle(sockets, channels), sockets, secret)
        process, port = stack.enter_context(running_server(server, settings))
        crowds = [
            stack.enter_context(running_clients(server, _settings(server, at, first, sockets - first, secret)))
            for at, first in enumerate(range(0, sockets, _CLIENTS_PER_PROCESS))
        ]
        crowds[0].ask(Connect(port, WARM_UP), Connected)
        before = _settled(process, settling_s)
        opened_s = _fill(crowds, port, connections, progress)
        opened = process.ask(Usage(), Used)
        resident = _settled(process, settling_s).resident_bytes - before.resident_bytes
        return IdleFigures(connections, resident, opened_s, opened.cpu_s - before.cpu_s)


def _settings(server: Server, at: int, first: int, left: int, secret: str) -> ClientSettings:
    return ClientSettings(
        source=f"127.0.0.{at + 2}",
        first=first,
        most=min(left, _CLIENTS_PER_PROCESS),
        secret=secret if server == "service" else None,
    )


def _fill(crowds: Sequence[Peer], port: int, connections: int, progress: Progress) -> float:
    """Open them, one process after another; how long that took."""
    seconds, opened = 0.0, 0
    while opened < connections:
        crowd, of_crowd = divmod(WARM_UP + opened, _CLIENTS_PER_PROCESS)
        count = min(_AT_A_TIME, connections - opened, _CLIENTS_PER_PROCESS - of_crowd)
        seconds += crowds[crowd].ask(Connect(port, count), Connected).seconds
        opened += count
        progress(opened / (connections + 1), f"{opened:,} open")
    return seconds


def _settled(process: Peer, settling_s: float) -> Used:
    process.ask(Usage(), Used)
    time.sleep(settling_s)
    return process.ask(Usage(), Used)
