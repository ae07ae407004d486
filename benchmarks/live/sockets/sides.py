"""A server with its clients: deliveries are checked, and then servers are measured in turn.

A `BenchError` is raised by each step whose clients got something else than was due to them.
"""

import resource
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Literal, NamedTuple

import msgspec

from benchmarks.apart import Progress
from benchmarks.errors import NumbersError
from benchmarks.live.delivery_check import check_deliveries
from benchmarks.live.sockets.audience import FRAME_BYTES, SMALL_READERS, Audience
from benchmarks.live.sockets.servers import Server, ServerSettings, run_server
from benchmarks.live.websocket_clients import Chunk, Clients, ClientSettings, frames_in, run_clients
from benchmarks.processes import Worker

Way = Literal["service", "plain", "floor"]
"""How events are sent: by either server, or with the least work possible, by the process of the second server."""
NAMES: Final[dict[Way, str]] = {"service": "notification service", "plain": "bare websockets"}
"""Of the servers."""
_REACH_OF_LOAD: Final = {"none": "", "even": "hundred", "hot": "all"}
_NAP_S: Final = 0.001
"""Of the many clients: it adds at most as much to a delay. The clients of the small channel wait for each frame."""
_WARM_UP: Final = 100
"""Idle connections that are open before memory is first read: the first ones bring more than each one takes."""
RESERVED: Final = 150 + _WARM_UP
"""Descriptors of a process that are not counted as connections: libraries, databases, pipes, and the first clients."""
_AT_A_TIME: Final = 1_000


class IdleFigures(msgspec.Struct, frozen=True):
    """Connections to which nothing is sent, beyond the first ones, and what they added to the server's process."""

    connections: int
    resident_bytes: int
    server_s: float
    """Processor time until all were admitted."""


class Turn(msgspec.Struct, frozen=True):
    """Deliveries for a while: a delivery is one event to one socket."""

    deliveries: int
    server_s: float
    """Processor time of the server's process, user and system."""
    delays_ns: list[int]
    """Of each round, or of each event of the small channel: until the last of its clients had the last byte."""


Contest = dict[Way, list[Turn]]
Players = Mapping[tuple[str, Way], Callable[[], Turn]]
"""What makes a turn, by contest and way."""


def connections_allowed(option: str, wanted: int, least: int) -> int:
    """How many of the wanted connections this process, and those that it starts, may hold.

    Raises:
        NumbersError: fewer than `least`; the text says how many the option may ask for.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = max(soft, min(hard, wanted + RESERVED))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    held = min(wanted, limit - RESERVED)
    if held < least:
        raise NumbersError(
            f"{option} {wanted} needs {wanted + RESERVED:,} open files in a process, and {limit:,} are allowed: raise "
            f"the hard limit (ulimit -Hn){f', or take {option} {held}' if held > 0 else ''}"
        )
    return held


def check_sockets(received: list[list[Chunk]], first_socket: int, audience: Audience, first: int) -> None:
    """Compare the bytes that sockets received with the rehearsal, whose first event has the number `first`.

    Raises:
        BenchError: a socket got something else than was due to it, or in another order.
    """
    for number, chunks in enumerate(received, first_socket):
        due = audience.due_in_rehearsal(number, first)
        names = {event.client_json(): f"{event.seq} of {event.channel}" for event in due}
        came = [names.get(payload, payload) for payload, _ in frames_in(chunks)]
        check_deliveries(list(names.values()), came, f"socket {number}")


class Side(NamedTuple):
    """A server, its clients, and the clients of the small channel, which are a process of their own."""

    audience: Audience
    port: int
    server: Worker
    clients: Worker
    small_clients: Worker

    def rehearse(self) -> None:
        """Connect all, send the script of the rehearsal, and check that each gets exactly what is due, in order."""
        sockets = self.audience.sockets
        processes = {self.clients: (0, sockets), self.small_clients: (sockets, SMALL_READERS)}
        for clients, (first, count) in processes.items():
            clients.call(Clients.connect, self.port, count)
            due = len(self.audience.due_in_rehearsal(first, 0))
            clients.call(Clients.begin, count * due * FRAME_BYTES, keep=True)
        sent_first = self.server.call_async(Server.rehearse)
        for clients, (first, _) in processes.items():
            clients.call(Clients.until_complete, 1)
            clients.call(Clients.apply, check_sockets, first, self.audience, sent_first)

    def play(self, reach: str, rounds: int, burst: int, *, floor: bool = False) -> Turn:
        """Send rounds, each when the one before has arrived everywhere; the arguments are those of `Server.play`."""
        deliveries = burst * self.audience.sockets
        self.clients.call(Clients.begin, deliveries * FRAME_BYTES)
        sent_ns, server_s = self.server.call_async(Server.play, reach, rounds, burst, floor=floor)
        arrived_ns = self.clients.call(Clients.until_complete, rounds)
        return Turn(rounds * deliveries, server_s, _delays(sent_ns, arrived_ns))

    def load(self, load: str, seconds: float) -> Turn:
        """Send to the small channel at a fixed pace beside a load; the delays are the small channel's."""
        self.clients.call(Clients.begin, self.audience.sockets * FRAME_BYTES)
        self.small_clients.call(Clients.begin, SMALL_READERS * FRAME_BYTES)
        due_ns, rounds, server_s = self.server.call_async(Server.load, _REACH_OF_LOAD[load], seconds)
        self.clients.call(Clients.until_complete, rounds)
        arrived_ns = self.small_clients.call(Clients.until_complete, len(due_ns))
        return Turn(rounds * self.audience.sockets, server_s, _delays(due_ns, arrived_ns))


def _delays(begun_ns: list[int], ended_ns: list[int]) -> list[int]:
    return [ended - begun for begun, ended in zip(begun_ns, ended_ns, strict=True)]


@contextmanager
def side(server: Way, audience: Audience) -> Iterator[Side]:
    """Run a server and the processes of its clients for the length of the context."""
    secret = secrets.token_hex()
    signals = f"\0fanout-bench-{secret}"  # an address without a file
    settings = ServerSettings(server == "service", audience, secret, signals)
    clients_secret = secret if settings.service else None
    many = ClientSettings(0, clients_secret, signals, _NAP_S)
    few = ClientSettings(audience.sockets, clients_secret)
    with Worker(NAMES[server], run_server, settings) as process:
        port, name = process.receive(int), f"clients of the {NAMES[server]}"
        with Worker(name, run_clients, many) as clients, Worker(name, run_clients, few) as small_clients:
            yield Side(audience, port, process, clients, small_clients)


def idle(server: Way, connections: int, channels: int, settling_s: float, progress: Progress) -> IdleFigures:
    """Hold connections to which nothing is sent, and read what the server takes for them."""
    with side(server, Audience(_WARM_UP + connections, channels, sends=False)) as held:
        held.clients.call(Clients.connect, held.port, _WARM_UP)
        cpu_s, resident = held.server.call_async(Server.usage, settling_s)
        for opened in range(0, connections, _AT_A_TIME):
            held.clients.call(Clients.connect, held.port, min(_AT_A_TIME, connections - opened))
            progress(opened / connections, f"{opened:,} open")
        cpu_s_after, resident_after = held.server.call_async(Server.usage, settling_s)
        return IdleFigures(connections, resident_after - resident, cpu_s_after - cpu_s)


def alternate(players: Players, turns: int, progress: Progress) -> dict[str, Contest]:
    """Run all turn by turn, in the same minutes; each turn begins with another."""
    contests: dict[str, Contest] = {contest: {} for contest, _ in players}
    order = list(players)
    for turn in range(turns):
        for contest, way in order:
            contests[contest].setdefault(way, []).append(players[contest, way]())
        order = order[1:] + order[:1]
        progress((turn + 1) / turns, f"turn {turn + 1} of {turns}")
    return contests
