"""Two servers with as many clients each: deliveries are checked, and then both are measured in turn."""

import secrets
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final, NamedTuple, TypeVar

from msgspec.structs import replace

from benchmarks.apart import Progress
from benchmarks.live.sockets import notification_server, websockets_server
from benchmarks.live.sockets.channels import SMALL_READERS, Audience
from benchmarks.live.sockets.figures import NAMES, SERVERS, LoadKind, Play, Server, Turn
from benchmarks.live.sockets.load_clients import ClientSettings, LoadClients, run_clients
from benchmarks.live.sockets.server import SendingServer, ServerSettings
from benchmarks.processes import Leader, Worker

NAP_S: Final = 0.001
"""Of the many clients: it adds at most as much to a delay. The clients of the small channel wait for each frame."""
_SERVE: Final[dict[Server, Callable[[ServerSettings, Leader], None]]] = {
    "service": notification_server.serve,
    "plain": websockets_server.serve,
}

K = TypeVar("K", bound=Hashable)


def server_of(server: Server, settings: ServerSettings) -> Worker:
    """Start a server; the first message is its port."""
    return Worker(NAMES[server], _SERVE[server], settings)


def clients_of(server: Server, settings: ClientSettings) -> Worker:
    """Start the clients of a server, of which the bare one expects no tokens; they are not connected yet."""
    settings = settings if server == "service" else replace(settings, secret=None)
    return Worker(f"clients of the {NAMES[server]}", run_clients, settings)


class Side(NamedTuple):
    """A server, its clients, and the clients of the small channel, which are a process of their own."""

    audience: Audience
    server: Worker
    clients: Worker
    small_clients: Worker

    def rehearse(self) -> int:
        """Send the script of the rehearsal, and check that each client gets exactly what is due to it, in order.

        Returns:
            How many frames were checked.

        Raises:
            BenchError: a client got something else.
        """
        processes = {self.clients: 0, self.small_clients: self.audience.sockets}
        for clients, number in processes.items():
            due = len(self.audience.due_in_rehearsal(number))
            clients.call(LoadClients.begin, burst=due, keep=True)
        first = self.server.call_async(SendingServer.rehearse)
        for clients in processes:
            clients.call(LoadClients.finish, 1)
        return sum(clients.call(LoadClients.check, first) for clients in processes)

    def play(self, play: Play) -> Turn:
        """Send rounds, each when the one before has arrived everywhere.

        Raises:
            BenchError: a client got something else than was due to it.
        """
        self.clients.call(LoadClients.begin, burst=play.burst)
        sent_ns, took = self.server.call_async(SendingServer.play, play)
        arrived_ns, clients_s = self.clients.call(LoadClients.finish, play.rounds)
        deliveries = play.rounds * play.burst * self.audience.sockets
        return Turn(deliveries, took.seconds, took.own, clients_s, _delays(sent_ns, arrived_ns))

    def flood(self, load: LoadKind, seconds: float) -> Turn:
        """Send to the small channel at a fixed pace beside a load; the delays are the small channel's.

        Raises:
            BenchError: a client got something else than was due to it.
        """
        self.clients.call(LoadClients.begin)
        self.small_clients.call(LoadClients.begin)
        due_ns, rounds, took = self.server.call_async(SendingServer.load, load, seconds)
        _, clients_s = self.clients.call(LoadClients.finish, rounds)
        arrived_ns, _ = self.small_clients.call(LoadClients.finish, len(due_ns))
        deliveries = rounds * self.audience.sockets
        return Turn(deliveries, took.seconds, took.own, clients_s, _delays(due_ns, arrived_ns))


@contextmanager
def both_sides(audience: Audience, progress: Progress) -> Iterator[dict[Server, Side]]:
    """Both servers, with all their clients connected and their deliveries checked, for the length of the context.

    Raises:
        BenchError: a client was refused, or got something else than was due to it.
    """
    with ExitStack() as stack:
        sides = {}
        for at, server in enumerate(SERVERS):
            progress(at / len(SERVERS), server)
            sides[server] = _side(stack, server, audience)
            sides[server].rehearse()
        yield sides


def alternate(players: Mapping[K, Callable[[], Turn]], turns: int, progress: Progress) -> dict[K, list[Turn]]:
    """Run all turn by turn, in the same minutes; each turn begins with another.

    Raises:
        BenchError: a client got something else than was due to it.
    """
    done: dict[K, list[Turn]] = {key: [] for key in players}
    order = list(players)
    for turn in range(turns):
        for key in order:
            done[key].append(players[key]())
        order = order[1:] + order[:1]
        progress((turn + 1) / turns, f"turn {turn + 1} of {turns}")
    return done


def _side(stack: ExitStack, server: Server, audience: Audience) -> Side:
    sockets, secret = audience.sockets, secrets.token_hex()
    signals = f"\0fanout-bench-{secret}"  # an address without a file
    process = stack.enter_context(server_of(server, ServerSettings(audience, sockets + SMALL_READERS, secret, signals)))
    port = process.receive(int)
    many = ClientSettings(0, sockets, secret, audience, NAP_S, signals)
    few = ClientSettings(sockets, SMALL_READERS, secret, audience)
    clients, small_clients = (stack.enter_context(clients_of(server, each)) for each in (many, few))
    clients.call(LoadClients.connect, port, sockets)
    small_clients.call(LoadClients.connect, port, SMALL_READERS)
    return Side(audience, process, clients, small_clients)


def _delays(begun_ns: list[int], ended_ns: list[int]) -> list[int]:
    return [ended - begun for begun, ended in zip(begun_ns, ended_ns, strict=True)]
