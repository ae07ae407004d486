"""Clients: many WebSockets in one process, which count what comes and check it only when they are asked to."""

import socket
from typing import NamedTuple

import msgspec

from benchmarks.errors import BenchError
from benchmarks.live.delivery_check import check_deliveries
from benchmarks.live.processor_time import Stopwatch
from benchmarks.live.sockets.channels import FRAME_BYTES, Audience, Event
from benchmarks.live.sockets.limits import RESERVED, raise_limit
from benchmarks.live.websocket_clients import Chunk, Opener, SocketReader, frames_in
from benchmarks.processes import Leader


class ClientSettings(msgspec.Struct, frozen=True):
    """Which clients they are."""

    first: int
    """The number of the first one."""
    most: int
    """How many there will be."""
    secret: str | None
    """Signs the tokens; None where the server expects no first frame."""
    audience: Audience | None = None
    """Where deliveries are checked."""
    nap_s: float = 0.0
    """See `SocketReader`."""
    signals: str | None = None
    """The address of a socket that gets a datagram for each complete round: the server's permission to go on."""


class Finished(NamedTuple):
    """Each socket has exactly what was due to it."""

    arrived_ns: list[int]
    """When each round was complete, on CLOCK_MONOTONIC."""
    cpu_s: float
    """Processor time of the clients' process since `begin`."""


def run_clients(settings: ClientSettings, leader: Leader) -> None:
    """Serve `LoadClients` to the benchmark, and read the sockets meanwhile."""
    raise_limit(settings.most + RESERVED)
    clients = LoadClients(settings, leader)
    leader.serve(clients, wait=clients.reader.until_message)


class LoadClients:
    """The sockets, and what the benchmark asks of them."""

    def __init__(self, settings: ClientSettings, leader: Leader) -> None:
        self._settings = settings
        self._sockets: list[socket.socket] = []
        self.reader = SocketReader(leader, settings.signals, nap_s=settings.nap_s)
        self._socket_bytes = 0
        self._stopwatch = Stopwatch()

    def connect(self, port: int, count: int) -> float:
        """Open more connections; the seconds until all were admitted."""
        began, first = Stopwatch(), self._settings.first + len(self._sockets)
        numbers = range(first, first + count)
        opened = Opener(self._settings.secret).open((number, port) for number in numbers)
        seconds = began.read().seconds
        self._sockets += opened
        self.reader.add(opened)
        return seconds

    def begin(self, *, burst: int = 1, keep: bool = False) -> None:
        """Count from now on.

        Args:
            burst: frames for each socket that make a round.
            keep: whether they are kept for `check`.
        """
        self._socket_bytes = burst * FRAME_BYTES
        self.reader.begin(len(self._sockets) * self._socket_bytes, keep=keep)
        self._stopwatch = Stopwatch()

    def finish(self, rounds: int) -> Finished:
        """Return when all rounds are complete.

        Raises:
            BenchError: a socket got something else than was due to it.
        """
        arrived = self.reader.until_complete(rounds)
        cpu_s = self._stopwatch.read().own
        self.reader.require_each(rounds * self._socket_bytes)
        return Finished(arrived, cpu_s)

    def check(self, first: int) -> int:
        """Compare what was kept with the rehearsal, whose first event has the number `first`.

        Returns:
            How many frames were right.

        Raises:
            BenchError: a socket got something else than was due to it, or in another order.
        """
        audience, frames = self._settings.audience, 0
        if audience is None:
            raise BenchError("these clients do not know what is due to them")
        for number, each in enumerate(self._sockets, self._settings.first):
            due = audience.due_in_rehearsal(number, first)
            check_socket(number, self.reader.kept(each), due)
            frames += len(due)
        return frames


def check_socket(number: int, received: list[Chunk], due: list[Event]) -> None:
    """Compare the bytes that a socket received with the events that were due to it.

    Raises:
        BenchError: they are something else.
    """
    names = {event.client_json(): f"{event.seq} of {event.channel}" for event in due}
    try:
        came = [payload for payload, _ in frames_in(received)]
    except BenchError as error:
        raise BenchError(f"socket {number}: {error}") from error
    check_deliveries(list(names.values()), [names.get(payload, payload) for payload in came], f"socket {number}")
