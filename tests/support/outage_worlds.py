"""Servers with outages, real and simulated, for suites that hold the simulated ones to what the real ones do."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from fanout.errors import Unavailable
from fanout.ports.bus import Bus
from fanout.ports.log import Log, Reset
from fanout.streams import STREAMS
from services.adapters.embedded.deployment import EmbeddedDeployment
from services.adapters.nats import NatsBus, NatsConnection, NatsLog, api, connect
from tests.simulation.links import Link
from tests.support.nats import HEARTBEAT_S
from tests.support.reading import until
from tests.support.servers import NatsServer
from tests.support.simulated_worlds import SimulatedTier

_Saved = TypeVar("_Saved")


class Process(NamedTuple):
    """What a process has of the server: a connection, and the log and the bus over it."""

    log: Log
    bus: Bus
    connection: Any


class LogWorld(ABC, Generic[_Saved]):
    """A server of the log and the bus, and what happens to it.

    Attributes:
        resets: what the logs of all processes reported.
    """

    def __init__(self) -> None:
        self.resets: list[Reset] = []
        self.processes: list[Process] = []

    async def process(self) -> Process:
        """A further process."""
        process = await self._connected()
        process.log.on_reset(self.resets.append)
        self.processes.append(process)
        return process

    async def restart(self) -> None:
        """Kill the server, and start it again."""
        await self.kill()
        await self.start()

    async def freeze(self) -> None:
        """Let it stand still for a second."""
        self.pause()
        await asyncio.sleep(1)
        self.resume()

    async def answers(self) -> None:
        """Return when every process reaches the server."""
        for process in self.processes:
            await until(partial(_answers, process.log))

    @abstractmethod
    async def _connected(self) -> Process: ...

    @abstractmethod
    async def kill(self) -> None:
        """End it as a crash would."""

    @abstractmethod
    async def start(self) -> None:
        """Start it again."""

    @abstractmethod
    def pause(self) -> None:
        """Let it stand still."""

    @abstractmethod
    def resume(self) -> None:
        """Let it go on."""

    @abstractmethod
    async def break_connection(self, process: Process) -> None:
        """Break the connection of a process; it may connect again at once."""

    @abstractmethod
    async def break_connections(self) -> None:
        """Break every connection."""

    @abstractmethod
    async def disconnect(self, process: Process) -> None:
        """End a process as a crash would."""

    @abstractmethod
    async def notices(self, process: Process) -> None:
        """Return when a process knows that there is no connection."""

    @abstractmethod
    async def save(self) -> _Saved:
        """Keep what the server holds."""

    @abstractmethod
    async def lose_all_since(self, saved: _Saved) -> None:
        """Lose what came since."""

    @abstractmethod
    async def lose_everything(self) -> None:
        """Come back with an empty disk."""

    @abstractmethod
    async def fill(self) -> None:
        """Have no room."""

    @abstractmethod
    async def make_room(self) -> None:
        """Have room again."""


class NatsWorld(LogWorld[Path]):
    """nats-server."""

    def __init__(self, server: NatsServer, stack: AsyncExitStack) -> None:
        super().__init__()
        self._server = server
        self._stack = stack
        self._deployment = EmbeddedDeployment()
        self._configs: list[dict[str, Any]] = []

    async def _connected(self) -> Process:
        nc = await connect(self._server.url, name="test")
        self._stack.push_async_callback(nc.close)
        log = await NatsLog.open(nc, self._deployment, partitions=1, heartbeat=HEARTBEAT_S)
        self._stack.push_async_callback(log.close)
        return Process(log, NatsBus(nc), nc)

    async def kill(self) -> None:
        self._server.kill()

    async def start(self) -> None:
        await asyncio.to_thread(self._server.start)

    def pause(self) -> None:
        self._server.pause()

    def resume(self) -> None:
        self._server.resume()

    async def break_connection(self, process: Process) -> None:
        await process.connection.force_reconnect()

    async def break_connections(self) -> None:
        for process in self.processes:
            await self.break_connection(process)

    async def disconnect(self, process: Process) -> None:
        self.processes.remove(process)
        process.connection.options["allow_reconnect"] = False
        process.connection._abort()

    async def notices(self, process: Process) -> None:
        nc: NatsConnection = process.connection
        await until(lambda: asyncio.sleep(0, nc._is_away() or None))

    async def save(self) -> Path:
        saved = self._server.save()
        await self.answers()
        return saved

    async def lose_all_since(self, saved: Path) -> None:
        self._server.lose_all_since(saved)

    async def lose_everything(self) -> None:
        self._server.lose_everything()

    async def fill(self) -> None:
        nc = self.processes[0].connection
        self._configs = [(await api.stream_info(nc, stream))["config"] for stream in STREAMS]
        for config in self._configs:
            await api.call(nc, f"STREAM.UPDATE.{config['name']}", {**config, "max_bytes": 1, "discard": "new"})

    async def make_room(self) -> None:
        for config in self._configs:
            await api.call(self.processes[0].connection, f"STREAM.UPDATE.{config['name']}", config)


class SimulatedWorld(LogWorld[dict[str, int]]):
    """The server of the simulation, struck by its faults."""

    def __init__(self, tier: SimulatedTier) -> None:
        super().__init__()
        self._tier = tier
        self._servers = tier.servers

    async def _connected(self) -> Process:
        ports = self._tier.ports()
        return Process(ports[Log], ports[Bus], ports[Log].link)

    async def kill(self) -> None:
        self.resume()
        self._servers.down("nats")

    async def start(self) -> None:
        self._servers.up("nats")

    def pause(self) -> None:
        self._tier.loop.pause(self._servers.hosts["nats"])

    def resume(self) -> None:
        self._tier.loop.resume(self._servers.hosts["nats"])

    async def break_connection(self, process: Process) -> None:
        link: Link = process.connection
        link.cut()
        link.repair()

    async def break_connections(self) -> None:
        for process in self.processes:
            await self.break_connection(process)

    async def disconnect(self, process: Process) -> None:
        self.processes.remove(process)
        process.connection.cut()

    async def notices(self, process: Process) -> None:
        assert process.connection.is_cut

    async def save(self) -> dict[str, int]:
        return {stream: await self._servers.log.last_seq(stream) for stream in STREAMS}

    async def lose_all_since(self, saved: dict[str, int]) -> None:
        log = self._servers.log
        self._servers.network.cut("nats")
        await asyncio.sleep(0.5)
        for stream, seq in saved.items():
            held = await self._servers.asked("nats", partial(log.held, stream))
            if lost := sum(event.seq > seq for event in held):
                await self._servers.asked("nats", partial(log.lose_newest, stream, lost, len(held)))
        self._servers.network.repair("nats")

    async def lose_everything(self) -> None:
        await self.lose_all_since(dict.fromkeys(STREAMS, -1))

    async def fill(self) -> None:
        self._servers.full["nats"] += 1

    async def make_room(self) -> None:
        self._servers.full["nats"] -= 1


@asynccontextmanager
async def nats_world(server: NatsServer) -> AsyncIterator[NatsWorld]:
    """A server of the test's own, and connections that end with the context."""
    async with AsyncExitStack() as stack:
        yield NatsWorld(server, stack)


@asynccontextmanager
async def simulated_world() -> AsyncIterator[SimulatedWorld]:
    """The same in the simulation."""
    async with SimulatedTier.opened() as tier:
        yield SimulatedWorld(tier)


async def _answers(log: Log) -> bool | None:
    with suppress(Unavailable):
        await log.ping()
        return True
    return None
