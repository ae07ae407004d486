"""The servers of the simulation, and the ports by which a process reaches them."""

from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec

from fanout import machine
from fanout.errors import StorageFull, Unavailable
from fanout.ports.authenticator import Authenticator, Identity
from fanout.ports.bus import Bus
from fanout.ports.changes import Changes
from fanout.ports.client_state import ClientState
from fanout.ports.devices import Devices
from fanout.ports.drafts import Drafts
from fanout.ports.followers import Followers
from fanout.ports.log import Log
from fanout.ports.memberships import Memberships
from fanout.ports.messages import Messages
from fanout.ports.presence import Aggregates, Connections, Leases
from fanout.ports.receipts import Receipts
from fanout.ports.unread import UnreadCounts
from services.adapters.embedded.bus import EmbeddedBus
from services.adapters.embedded.deployment import EmbeddedDeployment
from services.adapters.embedded.faults import FaultInjection
from services.adapters.embedded.presence import EmbeddedPresence
from services.adapters.sqlite.memberships import SqliteMemberships
from services.adapters.sqlite.messages import SqliteMessages
from services.adapters.sqlite.user_state import SqliteUserState
from tests.simulation.bus_server import LinkedBus
from tests.simulation.history import History
from tests.simulation.hosts import Draw, Host, VirtualMachine, VirtualTime
from tests.simulation.links import Linked
from tests.simulation.log_server import LinkedLog, SimulatedLog
from tests.simulation.network import Network
from tests.simulation.plan import SERVERS, Shape
from tests.simulation.presence_server import LinkedPresence

ACK_WAIT_S: Final = 6.0
TOKEN_S: Final = 3_600.0
STORES_WRITE: Final = {
    *("write", "write_receipts", "create", "resume_creation", "creation_published"),
    *("add", "remove", "renew", "mark_published", "prune", "follow"),
}
"""The calls of the stores that write."""
REDIS_WRITES: Final = {
    *("connect", "renew", "lease"),
    *("count", "mark_read", "joined", "left", "correct"),
}
"""The calls of Redis that need memory. A full one still publishes and deletes."""
_REFUSED: Final[dict[str, tuple[set[str], type[Exception], str]]] = {
    "nats": ({"append", "dead_letter"}, StorageFull, "the stream has no room"),
    "redis": (REDIS_WRITES, Unavailable, "OOM command not allowed when used memory > 'maxmemory'"),
    "stores": (STORES_WRITE, StorageFull, "the disk is full"),
}
"""The calls that a server which is full refuses, and the error of each."""


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
        self.network = Network(loop, draw, self.hosts)
        self.full: Counter[str] = Counter()
        """How many faults fill a server."""
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
        redis = self.hosts["redis"].machine
        self.presence = EmbeddedPresence(clock=redis.monotonic_s, wall_us=lambda: redis.wall_ns() // 1_000)
        self.memberships: SqliteMemberships = await self._made("stores", lambda: SqliteMemberships.open(None))
        self.messages: SqliteMessages = await self._made("stores", lambda: SqliteMessages.open(None))
        self.unread: SqliteUserState = await self._made("redis", lambda: SqliteUserState.open(None))
        stack.push_async_callback(self.close)

    async def close(self) -> None:
        """Close what was opened."""
        stores = (("nats", self.log), ("stores", self.memberships), ("stores", self.messages), ("redis", self.unread))
        for name, opened in stores:
            if self.hosts[name].paused:
                self._loop.resume(self.hosts[name])
            await self.hosts[name].start(opened.close(), "closing")

    def ports_of(self, client: Host) -> dict[Any, Any]:
        """The ports of a process, each over the link to its server."""
        nats, redis, stores = (self.network.connect(client, name) for name in SERVERS)
        presence = LinkedPresence(redis, self.presence, self._refusing("redis"))
        messages = Linked(stores, self.messages, self._refusing("stores"))
        memberships = Linked(stores, self.memberships, self._refusing("stores"), as_client=True)
        return {
            Log: LinkedLog(nats, self.log, self._refusing("nats"), self._draw),
            Bus: LinkedBus(nats, self.bus),
            Connections: presence,
            Leases: presence,
            Aggregates: presence,
            Memberships: memberships,
            Followers: memberships,
            Devices: memberships,
            Messages: messages,
            Receipts: messages,
            UnreadCounts: Linked(redis, self.unread, self._refusing("redis")),
            Drafts: Linked(redis, self.unread, self._refusing("redis")),
            ClientState: Linked(redis, self.unread, self._refusing("redis")),
            Changes: Linked(redis, self.unread, self._refusing("redis")),
            Authenticator: AnyToken(),
        }

    def down(self, server: str) -> None:
        """Kill a server that runs, and break its connections, until `up` is called."""
        self._loop.pause(self.hosts[server])
        self.network.cut(server)

    def up(self, server: str) -> None:
        """Start a server that is down."""
        if server == "nats":
            self.log.crash()
        self._loop.resume(self.hosts[server])
        self.network.repair(server)

    def empty_redis(self) -> None:
        """Lose every key, as a Redis without persistence does when it is started again."""
        self.presence.empty()

    async def asked(self, name: str, work: Callable[[], Any]) -> Any:
        """What a server answers to the simulation itself, past every link."""
        return await self.hosts[name].start(work(), "asked")

    async def _made(self, name: str, make: Callable[[], Any]) -> Any:
        return await self.hosts[name].start(make(), "opening")

    def _refusing(self, server: str) -> Callable[[str], Exception | None]:
        methods, error, text = _REFUSED[server]
        return lambda method: error(text) if self.full[server] and method in methods else None

    def _stored(self, stream: str, seq: int, subject: str, payload: bytes) -> None:
        event = msgspec.json.decode(payload)
        key = (event.get("message") or {}).get("client_msg_id") or event["event_id"]
        about = {name: event[name] for name in ("message_id", "read_by") if name in event}
        self._history.note("stored", stream=stream, seq=seq, subject=subject, key=key, **about)
