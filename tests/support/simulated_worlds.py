"""The servers of the simulation for the suites that the real ones pass too, in the simulation's own event loop."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, Final

import pytest

from fanout import machine
from fanout.ports.bus import Bus
from fanout.ports.log import Log
from tests.simulation.history import History
from tests.simulation.hosts import HOST, Draw, Host, VirtualMachine
from tests.simulation.links import Link, Linked
from tests.simulation.loop import SimulationLoop
from tests.simulation.plan import Shape
from tests.simulation.presence_server import LinkedPresence
from tests.simulation.servers import Servers
from tests.support.presence_worlds import World

SIMULATED: Final = "simulated"
_SEED: Final = 7


def is_simulated(request: pytest.FixtureRequest) -> bool:
    """Whether the test is one of a simulated adapter."""
    callspec = getattr(request.node, "callspec", None)
    return callspec is not None and SIMULATED in callspec.params.values()


@contextmanager
def simulation_loop() -> Iterator[SimulationLoop]:
    """An event loop of the simulation. What runs in the context, and begins in it, is a process of the simulation."""
    draw = Draw(_SEED)
    loop = SimulationLoop(draw)
    process = Host("test", VirtualMachine(loop.virtual, draw))
    before, token = machine.current(), HOST.set(process)
    machine.set_current(process.machine)
    try:
        yield loop
    finally:
        machine.set_current(before)
        HOST.reset(token)


class SimulatedTier:
    """The servers, and processes that are connected to them.

    Attributes:
        servers: of the simulation.
        loop: in which it runs.
    """

    def __init__(self, loop: SimulationLoop, servers: Servers) -> None:
        self.loop = loop
        self.servers = servers

    @classmethod
    @asynccontextmanager
    async def opened(cls, partitions: int = 1) -> AsyncIterator["SimulatedTier"]:
        """Servers that run until the context ends."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulationLoop), "the test needs the fixture `_asyncio_loop_factory`"
        servers = Servers(loop, loop._draw, loop.virtual, History(loop.virtual))
        async with AsyncExitStack() as stack:
            await servers.open(Shape(partitions=partitions), _SEED, stack)
            servers.log.stored = lambda *_: None
            yield cls(loop, servers)

    def ports(self) -> dict[Any, Any]:
        """The ports of a further process; the test calls them."""
        return self.servers.ports_of(HOST.get())

    def log(self) -> Log:
        """The log of a further process."""
        log: Log = self.ports()[Log]
        return log

    def bus(self) -> Bus:
        """The bus of a further process."""
        bus: Bus = self.ports()[Bus]
        return bus

    def presence(self) -> LinkedPresence:
        """Presence of a further process."""
        link = self.servers.network.connect(HOST.get(), "redis")
        return LinkedPresence(link, self.servers.presence, self.servers._refusing("redis"))

    def linked(self, store: Any) -> Any:
        """A store as a process reaches it."""
        link: Link = self.servers.network.connect(HOST.get(), "stores")
        return Linked(link, store, self.servers._refusing("stores"), as_client=True)


class SimulatedPresenceWorld(World):
    """Simulated presence, whose clocks follow the virtual time."""

    def __init__(self, tier: SimulatedTier, stack: AsyncExitStack) -> None:
        self._stack = stack
        super().__init__(tier.presence())

    @classmethod
    async def open(cls) -> "SimulatedPresenceWorld":
        stack = AsyncExitStack()
        return cls(await stack.enter_async_context(SimulatedTier.opened()), stack)

    async def elapse(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        await self._stack.aclose()
