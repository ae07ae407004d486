"""The processes of the tier: rows of the product's table of services, each on a host of its own."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, get_type_hints

from prometheus_client import CollectorRegistry

from fanout.errors import Unavailable
from fanout.ports.socket import SocketHandler
from services.composition.running import ServiceContext
from services.composition.services import SERVICES
from services.fan_out.worker import FanOutWorker
from services.notification.instance import NotificationInstance
from services.runtime.health import Health, Readiness
from services.runtime.lifecycle import Process
from services.runtime.settings import Address, Settings, load_settings
from tests.simulation.history import History
from tests.simulation.hosts import Host, VirtualMachine
from tests.simulation.servers import Servers
from tests.simulation.sockets import Wire

_T = TypeVar("_T")

KINDS: Final = {
    "gateway": "gateway",
    "worker": "fanout",
    "instance": "notification",
    "writer": "message-writer",
    "receipts": "receipt-writer",
}
"""The service of each kind of process."""
RESTART_S: Final = 1.0
"""Seconds after which a process that has failed is started again, as systemd would."""
HEARTBEAT_S: Final = 5.0
REPORTS_WITHIN_S: Final = 10.0
SERVER_ERROR: Final = 1011
"""The close code of a WebSocket that ends by an error of the server's own."""


@dataclass(frozen=True)
class SimulatedContext(ServiceContext):
    """What the services of a simulated process share. It serves no sockets: people reach it through the world."""

    simulated: "SimulatedProcess"

    async def enter(self, running: AbstractAsyncContextManager[_T]) -> _T:
        entered = await super().enter(running)
        if isinstance(entered, FanOutWorker):
            self.simulated.worker = entered
        return entered

    async def serve(self, app: Any) -> Address:
        return await self.enter(self.simulated.serving_app(app))

    def serving_sockets(self, handler: SocketHandler) -> AbstractAsyncContextManager[Address]:
        return self.simulated.serving_sockets(handler)


class SimulatedProcess:
    """A process: it is started, stopped, killed and started again under its name.

    Args:
        name: of the process; its instance id too.
        servers: that it is connected to.
        history: gets its starts and ends.
        settings: of every process.
        loop: of the simulation.
        outside: the host that starts it again when it has failed.

    Attributes:
        host: of its newest start.
        hosts: of every start.
        app: answers REST calls while it serves.
        instance: the notification instance while it serves.
        worker: the newest fan-out worker.
        calls: how many REST calls wait for its answer.
        removed: whether it is never to be started again.
        tasks_at_start: the tasks that it had when it had started.
    """

    def __init__(
        self, name: str, servers: Servers, history: History, settings: Settings, loop: Any, outside: Host
    ) -> None:
        self.name = name
        self.kind = name.rstrip("0123456789")
        self._skew_s = 0.0
        self.app: Any = None
        self.instance: NotificationInstance | None = None
        self.worker: FanOutWorker | None = None
        self.wires: list[Wire] = []
        self.calls = 0
        self.health: Health | None = None
        self.tasks_at_start: Counter[str] = Counter()
        self.removed = False
        self._servers = servers
        self._history = history
        folder = settings.data_dir / name
        folder.mkdir()
        self._settings = settings.model_copy(update={"instance_id": name, "data_dir": folder})
        self._loop = loop
        self._outside = outside
        self._process: Process | None = None
        self._running: asyncio.Task[None] | None = None
        self._wanted = False
        self.hosts: list[Host] = []
        self.host = self._new_host()

    @property
    def skew_s(self) -> float:
        """Seconds by which its clock is ahead, of this start and of those that follow."""
        return self._skew_s

    @skew_s.setter
    def skew_s(self, seconds: float) -> None:
        self._skew_s = self.host.machine.skew_s = seconds

    @property
    def is_alive(self) -> bool:
        """Whether the process was started, and has not ended."""
        return self._running is not None

    @property
    def is_running(self) -> bool:
        """Whether the process has started, and lives."""
        return self.health is not None and not self.host.dead

    def start(self) -> None:
        """Start it, unless it runs or was removed."""
        if self.removed:
            return
        self._wanted = True
        if self._running is None:
            self.host = self._new_host()
            self._running = self.host.start(self._run(), self.name)

    def kill(self) -> None:
        """End it at once, wherever it is."""
        self._wanted = False
        self._loop.kill(self.host)
        self._gone()
        self._history.note("killed", process=self.name)

    def lose_files(self) -> None:
        """Lose the files that it has written."""
        for file in self._settings.data_dir.iterdir():
            file.unlink()

    def stop(self) -> None:
        """Ask it to drain and to end."""
        self._wanted = False
        if self._process is not None:
            self.host.context.run(self._process.stop)

    def connected(self, wire: Wire) -> None:
        """Serve a connection."""
        assert self.instance is not None
        self.wires.append(wire)
        self.host.start(self._serve(self.instance, wire), "serving a socket")

    async def report(self) -> Readiness | None:
        """What `/readyz` answers; None if the process does not run, or ends before it has answered."""
        if self.health is None or self.host.dead:
            return None
        answer = self.host.start(self.health.report(), "readyz")
        await asyncio.wait([answer], timeout=REPORTS_WITHIN_S)
        return answer.result() if answer.done() else None

    def tasks(self) -> Counter[str]:
        """How many tasks it has, by the coroutine that each runs."""
        return Counter(task.get_coro().__qualname__ for task in self.host.tasks if not task.done())  # type: ignore[union-attr]

    @asynccontextmanager
    async def serving_app(self, app: Any) -> AsyncIterator[Address]:
        """Answer REST calls while the context lasts."""
        self.app = app
        yield Address(self.name, 8080)
        self.app = None

    @asynccontextmanager
    async def serving_sockets(self, handler: SocketHandler) -> AsyncIterator[Address]:
        """Serve WebSockets while the context lasts."""
        self.instance = handler.__self__  # type: ignore[attr-defined]
        yield Address(self.name, 8081)
        self.instance = None

    def _new_host(self) -> Host:
        host = Host(self.name, VirtualMachine(self._loop.virtual, self._servers._draw))
        host.machine.skew_s = self._skew_s
        self.hosts.append(host)
        return host

    async def _run(self) -> None:
        self._process = process = Process()
        service = SERVICES[KINDS[self.kind]]
        available = self._servers.ports_of(self.host)
        ports = {name: available[port] for name, port in get_type_hints(service.ports).items()}
        health, registry = Health(), CollectorRegistry()
        for name, port in ports.items():
            if hasattr(port, "ping"):
                required = get_type_hints(service.ports)[name] not in service.degraded_without
                health.add(name, port.ping, required=required)
        try:
            async with AsyncExitStack() as stack:
                context = SimulatedContext(self._settings, health, registry, process, stack, simulated=self)
                with health.starting():
                    await service.start(context, service.ports(**ports))
                process.on_stop(health.drain)
                self.health = health
                self.tasks_at_start = self.tasks()
                self._history.note("ready", process=self.name)
                await process.stopped(0.0)
        except Exception as error:  # noqa: BLE001 - the process ends with it, which the checker sees
            process.fail(error)
        self._ended(process.failure)

    async def _serve(self, instance: NotificationInstance, wire: Wire) -> None:
        code = SERVER_ERROR
        try:
            await instance.serve(wire.socket)
            code = 1000
        finally:
            await wire.socket.close(code, "")
            if wire.socket.close_code == SERVER_ERROR:
                self._history.note("error", process=self.name, error="a WebSocket was closed with 1011")

    def _ended(self, failure: BaseException | None) -> None:
        said = f"{type(failure).__name__}: {failure}" if failure else ""
        gave_up = self.health is None and isinstance(failure, Unavailable)  # what it needs to start was away
        self._history.note("ended", process=self.name, failure="" if gave_up else said)
        wanted = self._wanted
        self._loop.report_failed_tasks(self.host)
        self._loop.kill(self.host)
        self._gone()
        if wanted:
            self._loop.call_later(RESTART_S, self._start_again, context=self._outside.context)

    def _start_again(self) -> None:
        if self._wanted:
            self.start()

    def _gone(self) -> None:
        self.app = self.instance = self.health = self.worker = None
        self._process = self._running = None
        wires, self.wires = self.wires, []
        for wire in wires:
            wire.break_off()
        self._servers.network.disconnect(self.host)


def settings(folder: Path, *, snapshots: bool) -> Settings:
    """The settings of every process.

    Args:
        folder: has one of each process, for its files.
        snapshots: whether workers write them.
    """
    return load_settings(
        data_dir=folder,
        snapshot=Path("table.snapshot") if snapshots else None,
        snapshot_every_s=4.0,
        heartbeat_s=HEARTBEAT_S,
        heartbeat_timeout_s=3 * HEARTBEAT_S,
        auth_timeout_s=5.0,
        socket_budget=64 * 1024,
        rate_limit=1_000.0,
        rate_burst=1_000,
        drain_timeout_s=1.0,
    )
