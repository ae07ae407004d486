"""Connections to which nothing is sent: how much memory they take, and how fast they are admitted."""

import secrets
import time
from typing import Final

from benchmarks.apart import Progress
from benchmarks.live.sockets.channels import IdleAudience
from benchmarks.live.sockets.figures import IdleFigures, Server
from benchmarks.live.sockets.limits import WARM_UP
from benchmarks.live.sockets.load_clients import ClientSettings, LoadClients
from benchmarks.live.sockets.server import IdleServer, ServerSettings, Used
from benchmarks.live.sockets.turns import clients_of, server_of
from benchmarks.processes import Worker

_AT_A_TIME: Final = 1_000
SETTLING_S: Final = 1.5
"""Allocators give back after a second what they do not need."""


def idle(
    server: Server, connections: int, channels: int, progress: Progress, *, settling_s: float = SETTLING_S
) -> IdleFigures:
    """Hold connections, and read what the server takes for them.

    Args:
        server: which.
        connections: how many, beyond the first.
        channels: how many each reads.
        progress: told how many are open.
        settling_s: seconds before memory is read.

    Raises:
        BenchError: one was refused, or there is no descriptor or port for it.
    """
    sockets, secret, seconds, opened = WARM_UP + connections, secrets.token_hex(), 0.0, 0
    with (
        server_of(server, ServerSettings(IdleAudience(sockets, channels), sockets, secret)) as process,
        clients_of(server, ClientSettings(0, sockets, secret)) as clients,
    ):
        port = process.receive(int)
        clients.call(LoadClients.connect, port, WARM_UP)
        before = _settled(process, settling_s)
        while opened < connections:
            count = min(_AT_A_TIME, connections - opened)
            seconds += clients.call(LoadClients.connect, port, count)
            opened += count
            progress(opened / (connections + 1), f"{opened:,} open")
        cpu_s = process.call_async(IdleServer.usage).cpu_s - before.cpu_s
        resident = _settled(process, settling_s).resident_bytes - before.resident_bytes
        return IdleFigures(connections, resident, seconds, cpu_s)


def _settled(process: Worker, settling_s: float) -> Used:
    process.call_async(IdleServer.usage)
    time.sleep(settling_s)
    return process.call_async(IdleServer.usage)
