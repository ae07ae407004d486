"""Clients: many WebSockets in one process, which count what comes and check it only when they are asked to."""

import socket

import msgspec

from benchmarks.live.delivery_check import check_deliveries
from benchmarks.live.sockets.audience import Audience, Event
from benchmarks.live.websocket_clients import Chunk, SocketReader, frames_in, open_sockets
from benchmarks.processes import Leader


class ClientSettings(msgspec.Struct, frozen=True):
    """Which clients they are; `signals` and `nap_s` are those of `SocketReader`."""

    first: int
    """The number of the first one."""
    audience: Audience
    secret: str | None
    """Signs the tokens; None where the server expects no first frame."""
    signals: str = ""
    nap_s: float = 0.0


def run_clients(settings: ClientSettings, leader: Leader) -> None:
    """Serve `Clients` to the benchmark, and read the sockets meanwhile."""
    clients = Clients(settings, leader)
    leader.serve(clients, wait=clients.until_message)


class Clients(SocketReader):
    """The sockets, and what the benchmark asks of them."""

    def __init__(self, settings: ClientSettings, leader: Leader) -> None:
        super().__init__(leader, settings.signals, nap_s=settings.nap_s)
        self._settings = settings
        self._sockets: list[socket.socket] = []

    def connect(self, port: int, count: int) -> None:
        """Open more connections."""
        first = self._settings.first + len(self._sockets)
        opened = open_sockets(((number, port) for number in range(first, first + count)), self._settings.secret)
        self._sockets += opened
        self.add(opened)

    def check(self, first: int) -> None:
        """Compare what was kept with the rehearsal, whose first event has the number `first`."""
        for number, each in enumerate(self._sockets, self._settings.first):
            check_socket(number, self.kept(each), self._settings.audience.due_in_rehearsal(number, first))


def check_socket(number: int, received: list[Chunk], due: list[Event]) -> None:
    """Compare the bytes that a socket received with the events that were due to it.

    Raises:
        BenchError: they are something else, or in another order.
    """
    names = {event.client_json(): f"{event.seq} of {event.channel}" for event in due}
    came = [names.get(payload, payload) for payload, _ in frames_in(received)]
    check_deliveries(list(names.values()), came, f"socket {number}")
