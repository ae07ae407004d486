"""Two servers with as many clients each, checked, and then measured in turn."""

import secrets
import socket
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from benchmarks.apart import Progress
from benchmarks.errors import NumbersError
from benchmarks.live.sockets.audience import SMALL_READERS, Audience
from benchmarks.live.sockets.casting import running_clients, running_server
from benchmarks.live.sockets.clients import ClientSettings
from benchmarks.live.sockets.figures import SERVERS, Server, Turn
from benchmarks.live.sockets.idling import SECRET_BYTES
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
    Flood,
    Flooded,
    LoadKind,
    Play,
    Played,
    Rehearse,
    Rehearsed,
)
from benchmarks.live.sockets.peers import Peer
from benchmarks.live.sockets.serving import ServerSettings

_SOURCES: Final[dict[Server, str]] = {"service": "127.0.0.2", "plain": "127.0.0.3"}
NAP_S: Final = 0.001
"""Of the many clients: to a delay it adds as much at most. Those of the small channel wait for each frame."""

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Side:
    """A server, its clients, and those of the small channel, which are a process of their own."""

    audience: Audience
    server: Peer
    clients: Peer
    small_clients: Peer

    def rehearse(self) -> int:
        """Send the script of the rehearsal, and check that each client gets just what is due to it, in order.

        Returns:
            how many frames were checked.

        Raises:
            BenchError: some client did not.
        """
        crowds = {self.clients: 0, self.small_clients: self.audience.sockets}
        for crowd, first in crowds.items():
            crowd.ask(Begin(keep=True, burst=len(self.audience.due_in_rehearsal(first, 0))), Begun)
        rehearsed = self.server.ask(Rehearse(), Rehearsed)
        for crowd in crowds:
            crowd.ask(Finish(rounds=1), Finished)
        return sum(crowd.ask(Check(rehearsed.first), Checked).frames for crowd in crowds)

    def play(self, play: Play) -> Turn:
        """Send rounds, the next when the last has arrived everywhere.

        Raises:
            BenchError: not just those frames came that were due.
        """
        self.clients.ask(Begin(burst=play.burst), Begun)
        played = self.server.ask(play, Played)
        finished = self.clients.ask(Finish(play.rounds), Finished)
        return Turn(
            deliveries=play.rounds * play.burst * self.audience.sockets,
            wall_s=played.wall_s,
            server_s=played.cpu_s,
            clients_s=finished.cpu_s,
            delays_ns=_delays(played.sent_ns, finished.arrived_ns),
        )

    def flood(self, load: LoadKind, seconds: float) -> Turn:
        """Send to the small channel at a fixed pace beside a load; the delays are the small channel's.

        Raises:
            BenchError: not just those frames came that were due.
        """
        for crowd in (self.clients, self.small_clients):
            crowd.ask(Begin(), Begun)
        flooded = self.server.ask(Flood(load, seconds), Flooded)
        finished = self.clients.ask(Finish(flooded.rounds), Finished)
        small = self.small_clients.ask(Finish(len(flooded.due_ns)), Finished)
        return Turn(
            deliveries=flooded.rounds * self.audience.sockets,
            wall_s=flooded.wall_s,
            server_s=flooded.cpu_s,
            clients_s=finished.cpu_s,
            delays_ns=_delays(flooded.due_ns, small.arrived_ns),
        )


def require_room_to_play(sockets: int) -> None:
    """Find out before anything is begun.

    Raises:
        NumbersError: a process may not open so many files; the text says how many sockets would be accepted.
    """
    wanted = sockets + SMALL_READERS + RESERVED
    if (limit := raise_limit(wanted)) < wanted:
        raise NumbersError(
            f"--fan-out {sockets} needs {wanted:,} open files in a process, and {limit:,} are allowed: raise the hard "
            f"limit (ulimit -Hn), or take --fan-out {limit - SMALL_READERS - RESERVED}"
        )


@contextmanager
def both_sides(audience: Audience, progress: Progress) -> Iterator[dict[Server, Side]]:
    """Both servers, with all their clients connected and their deliveries checked, for the length of the context.

    Raises:
        BenchError: a client was refused, or did not get just what was due to it.
    """
    with ExitStack() as stack:
        sides = {}
        for at, server in enumerate(SERVERS):
            progress(at / len(SERVERS), server)
            sides[server] = stack.enter_context(_side(server, audience))
            sides[server].rehearse()
        yield sides


def alternate(players: Mapping[K, Callable[[], Turn]], turns: int, progress: Progress) -> dict[K, list[Turn]]:
    """Let all do theirs turn by turn, in the same minutes; who begins changes.

    Raises:
        BenchError: not just those frames came that were due.
    """
    done: dict[K, list[Turn]] = {key: [] for key in players}
    order = list(players)
    for turn in range(turns):
        for key in order:
            done[key].append(players[key]())
        order = order[1:] + order[:1]
        progress((turn + 1) / turns, f"turn {turn + 1} of {turns}")
    return done


@contextmanager
def _side(server: Server, audience: Audience) -> Iterator[Side]:
    sockets = audience.sockets + SMALL_READERS
    secret = secrets.token_hex(SECRET_BYTES)
    to_server, from_clients = socket.socketpair()

    def clients(first: int, most: int, nap_s: float) -> ClientSettings:
        return ClientSettings(_SOURCES[server], first, most, secret if server == "service" else None, audience, nap_s)

    with (
        running_server(server, ServerSettings(audience, sockets, secret), to_server) as (process, port),
        running_clients(server, clients(0, audience.sockets, NAP_S), from_clients) as crowd,
        running_clients(server, clients(audience.sockets, SMALL_READERS, 0.0)) as small_crowd,
    ):
        crowd.ask(Connect(port, audience.sockets), Connected)
        small_crowd.ask(Connect(port, SMALL_READERS), Connected)
        yield Side(audience, process, crowd, small_crowd)


def _delays(begun_ns: list[int], ended_ns: list[int]) -> list[int]:
    return [ended - begun for begun, ended in zip(begun_ns, ended_ns, strict=True)]
