"""Clients: many WebSockets in one process, which count what comes and look at it only when it is to be checked."""

import socket
from time import perf_counter, process_time

import msgspec

from benchmarks.errors import BenchError
from benchmarks.live.sockets.audience import FRAME_BYTES, Audience
from benchmarks.live.sockets.checking import require_exactly
from benchmarks.live.sockets.counting import Counter
from benchmarks.live.sockets.limits import RESERVED, raise_limit
from benchmarks.live.sockets.messages import (
    Begin,
    Begun,
    Check,
    Checked,
    Connect,
    Connected,
    Finish,
    Finished,
    Member,
    ToClients,
)
from benchmarks.live.sockets.opening import Opener
from benchmarks.live.sockets.peers import Line


class ClientSettings(msgspec.Struct, frozen=True):
    """Who they are."""

    source: str
    """The address that they come from."""
    first: int
    """The number of the first socket."""
    most: int
    """How many there will be."""
    secret: str | None
    """See `Opener`."""
    audience: Audience | None = None
    """Of which they are, where something is to be checked."""
    nap_s: float = 0.0
    """See `Counter`."""


def run_clients(settings: ClientSettings, line: Line, signals: socket.socket | None = None) -> None:
    """Do what the leading process asks, until it is gone.

    Args:
        settings: who they are.
        line: to the leading process.
        signals: gets a byte for each round that is complete: the server's permission to go on.

    Raises:
        BenchError: not just those frames came that were due, or a connection was cut.
        EOFError: the leading process is gone.
    """
    raise_limit(settings.most + RESERVED)
    clients = Clients(settings, line, signals)
    line.answer(Member())
    while True:
        match line.request(ToClients):
            case Connect() as connect:
                line.answer(clients.connect(connect))
            case Begin() as begin:
                line.answer(clients.count(begin))
            case Check() as check:
                line.answer(clients.check(check))


class Clients:
    """The sockets, and what is done with them."""

    def __init__(self, settings: ClientSettings, line: Line, signals: socket.socket | None) -> None:
        self._settings = settings
        self._line = line
        self._sockets: list[socket.socket] = []
        self._counter = Counter(line.socket, signals, nap_s=settings.nap_s)

    def connect(self, connect: Connect) -> Connected:
        """Open more connections."""
        settings, began = self._settings, perf_counter()
        opener = Opener(settings.source, connect.port, settings.secret)
        opened = opener.open(settings.first + len(self._sockets), connect.count)
        seconds = perf_counter() - began
        self._sockets += opened
        self._counter.add(opened)
        return Connected(seconds)

    def count(self, begin: Begin) -> Finished:
        """Say that it has begun, and count until `Finish` was said and all is there that was due then."""
        socket_bytes = begin.burst * FRAME_BYTES
        self._counter.begin(len(self._sockets) * socket_bytes, keep=begin.keep)
        began = process_time()
        self._line.answer(Begun())
        self._counter.until_asked()
        finish: Finish = self._line.request(Finish)
        arrived = self._counter.until_complete(finish.rounds)
        cpu_s = process_time() - began
        self._counter.require_each(finish.rounds * socket_bytes)
        return Finished(arrived, cpu_s)

    def check(self, check: Check) -> Checked:
        """Hold all that was kept against what was due."""
        audience = self._settings.audience
        if audience is None:
            raise BenchError("these clients do not know what is due to them")
        frames = 0
        for number, each in enumerate(self._sockets, self._settings.first):
            due = audience.due_in_rehearsal(number, check.first)
            try:
                require_exactly(self._counter.kept(each), due)
            except BenchError as error:
                raise BenchError(f"socket {number}: {error}") from error
            frames += len(due)
        return Checked(frames)
