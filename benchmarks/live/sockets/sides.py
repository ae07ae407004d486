"""A server with its clients: deliveries are checked, and then servers are measured in turn.

A `BenchError` is raised by each step whose clients got something else than was due to them.
"""

import resource
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Literal, NamedTuple

import msgspec

from benchmarks.apart import Progress
from benchmarks.errors import NumberError
from benchmarks.live.processor_time import processor_seconds
from benchmarks.live.sockets.audience import FRAME_BYTES, SMALL_READERS, Audience, IdleAudience, events
from benchmarks.live.sockets.servers import Server, ServerSettings, run_server
from benchmarks.live.stored_events import check_deliveries
from benchmarks.live.websocket_clients import Chunk, Clients, ClientSettings, frames_in, run_clients
from benchmarks.processes import Worker

Way = Literal["service", "plain", "floor"]
"""How events are sent: by either server, or with the least work possible, by the process of the second server."""
NAMES: Final[dict[Way, str]] = {"service": "notification service", "plain": "bare websockets"}
"""The servers."""
_REACH_OF_LOAD: Final = {"none": "", "even": "hundred", "hot": "all"}
_NAP_S: Final = 0.001
"""Adds at most as much to a delay of the many clients. The clients of the small channel wait for each frame."""
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
    """For each round, or each event of the small channel: until the last of its clients had the last byte."""


Contest = dict[Way, list[Turn]]
Players = Mapping[tuple[str, Way], Callable[[], Turn]]
"""Makes a turn, by contest and way."""


def connections_allowed(option: str, wanted: int, least: int) -> int:
    """How many of the wanted connections this process, and those that it starts, may hold.

    Raises:
        NumberError: fewer than `least`; the text says how many the option may ask for.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = max(soft, min(hard, wanted + RESERVED))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    held = min(wanted, limit - RESERVED)
    if held < least:
        raise NumberError(
            f"{option} {wanted} needs {wanted + RESERVED:,} open files in a process, and {limit:,} are allowed: raise "
            f"the hard limit (ulimit -Hn){f', or take {option} {held}' if held > 0 else ''}"
        )
    return held


def check_sockets(received: list[list[Chunk]], first_socket: int, audience: Audience, first: int) -> None:
    """Compare the bytes that sockets received with the rehearsal, whose first event has the number `first`.

    Raises:
        BenchError: a socket got something else than was due to it, or in another order.
    """
    sent = events(audience.rehearsal(), first)
    for number, chunks in enumerate(received, first_socket):
        due = audience.due(number, sent)
        names = {event.client_json(): f"{event.seq} of {event.channel}" for event in due}
        came = [names.get(payload, payload) for payload, _ in frames_in(chunks)]
        check_deliveries(list(names.values()), came, f"socket {number}")


class Side(NamedTuple):
    """A server, its clients, and the clients of the small channel, which are a process of their own."""

    port: int
    server: Worker
    clients: Worker
    small_clients: Worker

    def rehearse(self, audience: Audience) -> None:
        """Connect all, send the script of the rehearsal, and check that each gets exactly what is due, in order."""
        processes = {self.clients: (0, audience.sockets), self.small_clients: (audience.sockets, SMALL_READERS)}
        for clients, (first, count) in processes.items():
            clients.call(Clients.connect, self.port, count)
            due = audience.due(first, events(audience.rehearsal(), 0))
            clients.call(Clients.begin, count * len(due) * FRAME_BYTES, keep=True)
        sent_first = self.server.call_async(Server.send, audience.rehearsal())
        for clients, (first, _) in processes.items():
            clients.call(Clients.until_complete, 1)
            clients.call(Clients.check_complete, 1)
            clients.call(Clients.apply, check_sockets, first, audience, sent_first)

    def play(self, audience: Audience, reach: str, rounds: int, burst: int, *, floor: bool = False) -> Turn:
        """Send rounds that were made before, each when the one before has arrived everywhere.

        Each has `burst` events for each channel of the reach, sent with the least work possible if `floor` says so.
        """
        deliveries, delays = burst * audience.sockets, list[int]()
        self.clients.call(Clients.begin, deliveries * FRAME_BYTES)
        self.server.call_async(Server.prepare, audience.channels_reaching(reach) * burst, rounds, floor=floor)
        before = processor_seconds(self.server.pid)
        for complete in range(1, rounds + 1):
            sent = self.server.call_async(Server.send_prepared)
            delays.append(self.clients.call(Clients.until_complete, complete)[-1] - sent)
        server_s = processor_seconds(self.server.pid) - before
        self.clients.call(Clients.check_complete, rounds)
        return Turn(rounds * deliveries, server_s, delays)

    def load(self, audience: Audience, load: str, seconds: float) -> Turn:
        """Send to the small channel at a fixed pace beside a load; the delays are the small channel's.

        Two rounds of the load are under way at once: the server always has work, and never more than it can do soon.
        """
        self.clients.call(Clients.begin, audience.sockets * FRAME_BYTES)
        self.small_clients.call(Clients.begin, SMALL_READERS * FRAME_BYTES)
        channels = audience.channels_reaching(_REACH_OF_LOAD[load]) if load != "none" else []
        before, until, rounds = processor_seconds(self.server.pid), time.monotonic() + seconds, 0
        self.server.call_async(Server.begin_small, seconds)
        while channels and time.monotonic() < until:
            self.server.call_async(Server.send, channels)
            self.clients.call(Clients.until_complete, rounds)
            rounds += 1
        due = self.server.call_async(Server.end_small)
        self.clients.call(Clients.until_complete, rounds)
        arrived = self.small_clients.call(Clients.until_complete, len(due))
        server_s = processor_seconds(self.server.pid) - before
        self.clients.call(Clients.check_complete, rounds)
        self.small_clients.call(Clients.check_complete, len(due))
        delays = [ended - begun for begun, ended in zip(due, arrived, strict=True)]
        return Turn(rounds * audience.sockets, server_s, delays)


@contextmanager
def side(server: Way, audience: Audience | IdleAudience) -> Iterator[Side]:
    """Run a server and the processes of its clients for the length of the context."""
    settings = ServerSettings(server == "service", audience, secrets.token_hex())
    secret = settings.secret if settings.service else None
    many, few = ClientSettings(0, secret, _NAP_S), ClientSettings(audience.sockets, secret)
    with Worker(NAMES[server], run_server, settings) as process:
        port, name = process.receive(int), f"clients of the {NAMES[server]}"
        with Worker(name, run_clients, many) as clients, Worker(name, run_clients, few) as small_clients:
            yield Side(port, process, clients, small_clients)


def idle(server: Way, connections: int, channels: int, settling_s: float, progress: Progress) -> IdleFigures:
    """Hold connections to which nothing is sent, and read what the server takes for them."""
    with side(server, IdleAudience(_WARM_UP + connections, channels)) as held:
        held.clients.call(Clients.connect, held.port, _WARM_UP)
        resident = held.server.call_async(Server.resident_bytes, settling_s)
        before = processor_seconds(held.server.pid)
        for opened in range(0, connections, _AT_A_TIME):
            held.clients.call(Clients.connect, held.port, min(_AT_A_TIME, connections - opened))
            progress(opened / connections, f"{opened:,} open")
        server_s = processor_seconds(held.server.pid) - before
        resident = held.server.call_async(Server.resident_bytes, settling_s) - resident
        return IdleFigures(connections, resident, server_s)


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
