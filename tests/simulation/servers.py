"""The servers of the simulation, and the ports by which a process reaches them."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec

from fanout import machine
from fanout.errors import StorageFull, Unavailable
from fanout.ports.authenticator import Authenticator, Identity
from fanout.ports.bus import Bus
from fanout.ports.log import Log
from fanout.ports.memberships import Memberships
from fanout.ports.messages import Messages
from fanout.ports.presence import Connections, Hints, Leases
from services.adapters.embedded.bus import EmbeddedBus
from services.adapters.embedded.deployment import EmbeddedDeployment
from services.adapters.embedded.faults import FaultInjection
from services.adapters.embedded.presence import EmbeddedPresence
from services.adapters.sqlite.memberships import SqliteMemberships
from services.adapters.sqlite.messages import SqliteMessages
from tests.simulation.bus_server import LinkedBus
from tests.simulation.history import History
from tests.simulation.hosts import Draw, Host, VirtualMachine, VirtualTime
from tests.simulation.links import AT_ONCE, Link, Linked
from tests.simulation.log_server import LinkedLog, SimulatedLog
from tests.simulation.plan import SERVERS, Shape
from tests.simulation.presence_server import LinkedPresence

ACK_WAIT_S: Final = 6.0
TOKEN_S: Final = 3_600.0
RECONNECTS_IN: Final = {"nats": (0.02, 0.5)}
"""Seconds after which a client is connected again: those of nats-py, as configured. Others are with their next call."""

STORES_WRITE: Final = {
    *("write", "create", "resume_creation", "creation_published"),
    *("add", "remove", "renew", "mark_published", "prune"),
}
"""The calls of the stores that write."""
_REFUSED: Final[dict[str, tuple[set[str], type[Exception], str]]] = {
    "nats": ({"append", "dead_letter"}, StorageFull, "the stream has no room"),
    "redis": ({"connect", "renew", "lease"}, Unavailable, "OOM command not allowed when used memory > 'maxmemory'"),
    "stores": (STORES_WRITE, StorageFull, "the disk is full"),
}
"""The calls that a server which is full refuses, and the error of each. A full Redis still publishes and deletes."""


class AnyToken:
    """`fanout.ports.authenticator.Authenticator` for tokens that are the user's id."""

    async def verify(self, token: str) -> Identity:
        return Identity(token, machine.wall_s() + TOKEN_S)


class Servers:
    """NATS, Redis and the stores.

    Args:
        loop: of the simulation.
        draw: the chance of the run.
        time: of the run.
        history: gets every event that the log stores.
    """

    def __init__(self, loop: Any, draw: Draw, time: VirtualTime, history: History) -> None:
        self.hosts = {name: Host(name, VirtualMachine(time, draw)) for name in SERVERS}
        self.links: list[Link] = []
        self.full: set[str] = set()
        self.slow: Mapping[str, float] = {}
        """See `Plan.slow`."""
        self._away: Counter[str] = Counter()
        """How many faults keep every connection to a server broken."""
        self._loop = loop
        self._draw = draw
        self._history = history

    async def open(self, shape: Shape, seed: int, stack: AsyncExitStack) -> None:
        """Open everything that the servers hold, each on its own host."""
        faults = FaultInjection(seed=seed, redeliver=shape.redeliver, lose_ack=shape.lose_ack)
        clock = self.hosts["nats"].machine
        self.log: SimulatedLog = await self._made(
            "nats",
            lambda: SimulatedLog.open(
                None,
                deployment=EmbeddedDeployment("dep_simulated"),
                partitions=shape.partitions,
                faults=faults,
                ack_wait=ACK_WAIT_S,
                clock=lambda: clock.wall_ns() / 1e9,
            ),
        )
        self.log.begin(self._stored)
        self.bus = EmbeddedBus()
        self.presence = EmbeddedPresence(clock=clock.monotonic_s)
        self.memberships: SqliteMemberships = await self._made("stores", lambda: SqliteMemberships.open(None))
        self.messages: SqliteMessages = await self._made("stores", lambda: SqliteMessages.open(None))
        stack.push_async_callback(self.close)

    async def close(self) -> None:
        """Close what was opened."""
        for name, opened in (("nats", self.log), ("stores", self.memberships), ("stores", self.messages)):
            await self.hosts[name].start(opened.close(), "closing")

    def ports_of(self, client: Host) -> dict[Any, Any]:
        """The ports of a process, each over the link to its server."""
        nats, redis, stores = (self._link(client, name) for name in SERVERS)
        presence = LinkedPresence(redis, self.presence, self._refusing("redis"))
        return {
            Log: LinkedLog(nats, self.log, self._refusing("nats"), self._draw),
            Bus: LinkedBus(nats, self.bus),
            Connections: presence,
            Leases: presence,
            Hints: presence,
            Memberships: Linked(stores, self.memberships, self._refusing("stores"), as_client=True),
            Messages: Linked(stores, self.messages, self._refusing("stores")),
            Authenticator: AnyToken(),
        }

    def disconnect(self, client: Host) -> None:
        """Break the connections of a process that has gone."""
        for link in self.links:
            if link.client is client:
                link.cut()
        self.links = [link for link in self.links if link.client is not client]

    def links_of(self, server: str, client: str = "") -> list[Link]:
        """The links to a server, of all living processes or of one."""
        return [link for link in self.links if link.server.name == server and client in ("", link.client.name)]

    def down(self, server: str) -> bool:
        """Kill a server, and break its connections, until `up` is called. False if it does not run, or stands still."""
        if self.hosts[server].paused:
            return False
        self._loop.pause(self.hosts[server])
        self.cut_off(server)
        return True

    def up(self, server: str) -> None:
        """Start a server that is down."""
        if server == "nats":
            self.log.crash()
        self._loop.resume(self.hosts[server])
        self.reconnect(server)

    def cut_off(self, server: str) -> None:
        """Break every connection to a server, also those that are made until `reconnect` is called as often."""
        self._away[server] += 1
        for link in self.links_of(server):
            link.cut()

    def reconnect(self, server: str) -> None:
        """End what `cut_off` began."""
        self._away[server] -= 1
        for link in self.links_of(server):
            link.repair()

    def empty_redis(self) -> None:
        """Lose every key, as a Redis without persistence does when it is started again."""
        self.presence._users.clear()
        self.presence._leases.clear()

    async def asked(self, name: str, work: Callable[[], Any]) -> Any:
        """What a server answers to the simulation itself, past every link."""
        return await self.hosts[name].start(work(), "asked")

    async def _made(self, name: str, make: Callable[[], Any]) -> Any:
        return await self.hosts[name].start(make(), "opening")

    def _link(self, client: Host, server: str) -> Link:
        link = Link(self._loop, self._draw, client, self.hosts[server], RECONNECTS_IN.get(server, AT_ONCE))
        link.slowness = self.slow.get(f"{client.name} {server}", 0.0)
        self.links.append(link)
        for _ in range(self._away[server]):
            link.cut()
        return link

    def _refusing(self, server: str) -> Callable[[str], Exception | None]:
        methods, error, text = _REFUSED[server]
        return lambda method: error(text) if server in self.full and method in methods else None

    def _stored(self, stream: str, seq: int, subject: str, payload: bytes) -> None:
        event = msgspec.json.decode(payload)
        message = event.get("message") or {}
        self._history.note(
            "stored", stream=stream, seq=seq, subject=subject, key=message.get("client_msg_id") or event["event_id"]
        )
