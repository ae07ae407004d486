"""Clients: many WebSockets in one process, which count what comes and check it only when they are asked to."""

import socket

import msgspec

from benchmarks.errors import BenchError
from benchmarks.live.delivery_check import check_deliveries
from benchmarks.live.sockets.audience import FRAME_BYTES, Audience, Event
from benchmarks.live.websocket_clients import Chunk, SocketReader, frames_in, open_sockets
from benchmarks.processes import Leader


class ClientSettings(msgspec.Struct, frozen=True):
    """Which clients they are."""

    first: int
    """The number of the first one."""
    audience: Audience
    secret: str | None
    """Signs the tokens; None where the server expects no first frame."""
    nap_s: float = 0.0
    """See `SocketReader`."""
    signals: str = ""
    """The address of a socket that gets a datagram for each complete round: the server's permission to go on."""


def run_clients(settings: ClientSettings, leader: Leader) -> None:
    """Serve `Clients` to the benchmark, and read the sockets meanwhile."""
    clients = Clients(settings, leader)
    leader.serve(clients, wait=clients.reader.until_message)


class Clients:
    """The sockets, and what the benchmark asks of them."""

    def __init__(self, settings: ClientSettings, leader: Leader) -> None:
        self._settings = settings
        self._sockets: list[socket.socket] = []
        self.reader = SocketReader(leader, settings.signals, nap_s=settings.nap_s)

    def connect(self, port: int, count: int) -> None:
        """Open more connections."""
        first = self._settings.first + len(self._sockets)
        opened = open_sockets(((number, port) for number in range(first, first + count)), self._settings.secret)
        self._sockets += opened
        self.reader.add(opened)

    def begin(self, burst: int = 1, *, keep: bool = False) -> None:
        """Count from now on: `burst` frames for each socket make a round; they can be kept for `check`."""
        self.reader.begin(len(self._sockets) * burst * FRAME_BYTES, keep=keep)

    def finish(self, rounds: int) -> list[int]:
        """When each round was complete, on CLOCK_MONOTONIC, once all are.

        Raises:
            BenchError: a socket got something else than was due to it.
        """
        return self.reader.until_complete(rounds)

    def check(self, first: int) -> int:
        """Compare what was kept with the rehearsal, whose first event has the number `first`.

        Returns:
            How many frames were right.

        Raises:
            BenchError: a socket got something else than was due to it, or in another order.
        """
        frames = 0
        for number, each in enumerate(self._sockets, self._settings.first):
            due = self._settings.audience.due_in_rehearsal(number, first)
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
