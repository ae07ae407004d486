"""The network: the links between processes and servers, and what faults do to them."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from tests.simulation.hosts import Draw, Host
from tests.simulation.links import AT_ONCE, Link

RECONNECTS_IN: Final = {"nats": (0.02, 0.5)}
"""Seconds after which a client is connected again: those of nats-py, as configured. Others are with their next call."""
SLOWNESS_S: Final = 0.4
"""Seconds that each way takes longer for each fault that slows a connection."""


class Network:
    """Every link of every living process.

    A fault strikes the connections between a server and a process of some name, or every process where no name is
    given. It lasts until its end is called as often, also for the links of processes that are started meanwhile.

    Args:
        loop: of the simulation.
        draw: the chance of the run.
        servers: the host of each server.

    Attributes:
        links: in the order in which they were made.
        slow: see `Plan.slow`.
    """

    def __init__(self, loop: Any, draw: Draw, servers: Mapping[str, Host]) -> None:
        self.links: list[Link] = []
        self.slow: Mapping[str, float] = {}
        self._loop = loop
        self._draw = draw
        self._servers = servers
        self._cuts: Counter[tuple[str, str]] = Counter()
        """How many faults cut the connections of a server to a client; the client is empty for all of them."""
        self._stalls: Counter[tuple[str, str]] = Counter()
        self._slowdowns: Counter[tuple[str, str]] = Counter()

    def connect(self, client: Host, server: str) -> Link:
        """Make a link from a process to a server. Faults that last strike it too."""
        link = Link(self._loop, self._draw, client, self._servers[server], RECONNECTS_IN.get(server, AT_ONCE))
        self.links.append(link)
        for _ in range(_count(self._stalls, link)):
            link.stall()
        for _ in range(_count(self._cuts, link)):
            link.cut()
        self._set_slowness(link)
        return link

    def disconnect(self, client: Host) -> None:
        """Break the connections of a process that has gone."""
        for link in self.links:
            if link.client is client:
                link.cut()
        self.links = [link for link in self.links if link.client is not client]

    def links_of(self, server: str, client: str = "") -> list[Link]:
        """The links to a server, of all living processes or of one."""
        return [link for link in self.links if link.server.name == server and client in ("", link.client.name)]

    def cut(self, server: str, client: str = "") -> None:
        """Break the connections."""
        self._cuts[server, client] += 1
        for link in self.links_of(server, client):
            link.cut()

    def repair(self, server: str, client: str = "") -> None:
        """End one cut."""
        self._cuts[server, client] -= 1
        for link in self.links_of(server, client):
            link.repair()

    def stall(self, server: str, client: str = "") -> None:
        """Let nothing arrive."""
        self._stalls[server, client] += 1
        for link in self.links_of(server, client):
            link.stall()

    def flow(self, server: str, client: str = "") -> None:
        """End one stall."""
        self._stalls[server, client] -= 1
        for link in self.links_of(server, client):
            link.flow()

    def slow_down(self, server: str, client: str = "") -> None:
        """Let each way take longer."""
        self._slow_by(server, client, 1)

    def speed_up(self, server: str, client: str = "") -> None:
        """End one slowdown."""
        self._slow_by(server, client, -1)

    def _slow_by(self, server: str, client: str, count: int) -> None:
        self._slowdowns[server, client] += count
        for link in self.links_of(server, client):
            self._set_slowness(link)

    def _set_slowness(self, link: Link) -> None:
        usual = self.slow.get(f"{link.client.name} {link.server.name}", 0.0)
        link.slowness = usual + SLOWNESS_S * _count(self._slowdowns, link)


def _count(faults: Counter[tuple[str, str]], link: Link) -> int:
    """How many faults of a kind strike a link."""
    return faults[link.server.name, link.client.name] + faults[link.server.name, ""]
