"""Small simulations: a few hosts on a loop of their own, a log over its link, or a whole tier without people."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec

from services.adapters.embedded.deployment import EmbeddedDeployment
from tests.simulation.hosts import Draw, Host, VirtualMachine
from tests.simulation.links import Link
from tests.simulation.log_server import LinkedLog, SimulatedLog
from tests.simulation.loop import SimulationLoop, run
from tests.simulation.plan import Plan, Shape
from tests.simulation.run import _close, _forget, _quiet
from tests.simulation.world import World
from tests.support.stored import stored_message

SMALL: Final = Plan(
    1, Shape(gateways=1, workers=1, instances=1, partitions=1), {"ann-phone": "ann"}, {"room1": ["ann", "bob"]}, [], []
)
"""One process of each kind, two users, one device."""
TWO_WORKERS: Final = msgspec.structs.replace(SMALL, shape=msgspec.structs.replace(SMALL.shape, workers=2))
STARTED_S: Final = 3.0
"""Seconds after which every process of a small tier has started."""


class Stage:
    """A loop with hosts.

    Args:
        seed: of the chance.
    """

    def __init__(self, seed: int = 1) -> None:
        self.draw = Draw(seed)
        self.loop = SimulationLoop(self.draw)
        self.hosts: list[Host] = []
        self.outside = self.host("outside")
        self.client = self.host("client")
        self.server = self.host("server")
        self.link = self.link_of(self.client)

    def host(self, name: str) -> Host:
        host = Host(name, VirtualMachine(self.loop.virtual, self.draw))
        self.hosts.append(host)
        return host

    def link_of(self, client: Host) -> Link:
        return Link(self.loop, self.draw, client, self.server)

    def run(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Run a coroutine outside of all hosts, and then close what still waits."""
        with _quiet():
            try:
                return run(self.loop, self.outside, work())
            finally:
                for host in self.hosts:
                    for task in [*host.tasks, *host.corpses]:
                        _close(task.get_coro())
                    host.ready.clear()


class LogStage(Stage):
    """A stage with a log at the server, and the log of the client over its link.

    Attributes:
        stored: the seq of each event that the log has stored.
        refused: methods that the server refuses, each with its error.
    """

    server_log: SimulatedLog
    log: LinkedLog

    def __init__(self, seed: int = 1) -> None:
        super().__init__(seed)
        self.stored: list[int] = []
        self.refused: dict[str, Exception] = {}

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        self.server_log = await self.at_server(self._open)
        self.server_log.begin(lambda _stream, seq, _subject, _payload: self.stored.append(seq))
        self.log = self.log_of(self.link)
        yield
        await self.at_server(self.server_log.close)

    def log_of(self, link: Link) -> LinkedLog:
        return LinkedLog(link, self.server_log, self.refused.get, self.draw)

    async def at_server(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Have the server do something, past every link."""
        return await self.server.start(work(), "at the server")

    async def at_client(self, work: Coroutine[Any, Any, Any], *, within_s: float = 60.0) -> Any:
        """Have the client do something; fails if it takes longer."""
        async with asyncio.timeout(within_s):
            return await self.client.start(work, "at the client")

    async def append(self, count: int) -> list[int]:
        """Store messages, past every link. Returns the seq of each."""
        before = len(self.stored)
        for _ in range(count):
            name = f"msg_{len(self.stored)}"
            await self.at_server(lambda name=name: self._append(name))  # type: ignore[misc]
        return self.stored[before:]

    async def _append(self, name: str) -> None:
        await self.server_log.append("messages.send.room1", stored_message("room1"), msg_id=name)

    async def _open(self) -> SimulatedLog:
        clock = self.server.machine
        deployment = EmbeddedDeployment("dep_simulated")
        return await SimulatedLog.open(None, deployment=deployment, ack_wait=6.0, clock=lambda: clock.wall_ns() / 1e9)


def in_world(work: Callable[[World], Awaitable[Any]], plan: Plan = SMALL) -> Any:
    """Start a tier, let something happen in it, and return what came of that."""
    draw = Draw(plan.seed)
    loop = SimulationLoop(draw)

    async def live() -> Any:
        async with AsyncExitStack() as stack:
            await world.open(stack)
            await asyncio.sleep(STARTED_S)
            return await work(world)

    with TemporaryDirectory() as folder, _quiet():
        world = World(loop, draw, plan, Path(folder))
        try:
            return run(loop, world.outside, live())
        finally:
            _forget(world)


def client_of(world: World, name: str = "client") -> tuple[Host, dict[Any, Any]]:
    """A process of its own with its ports."""
    host = Host(name, VirtualMachine(world.loop.virtual, world.draw))
    return host, world.servers.ports_of(host)
