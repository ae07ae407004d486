"""The world of a run: servers, processes, and the network by which people reach them."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from fanout.events import timestamp
from fanout.ports.memberships import Channel
from tests.simulation.history import History
from tests.simulation.hosts import Draw, Host, VirtualMachine
from tests.simulation.loop import SimulationLoop
from tests.simulation.plan import Plan
from tests.simulation.processes import SimulatedProcess, settings
from tests.simulation.servers import Servers
from tests.simulation.sockets import WAY_S, Wire

INTERNAL_ERROR: Final = 500
UNAVAILABLE: Final = 503
ANSWER_WITHIN_S: Final = 6.0
"""Seconds after which a device gives up waiting for an answer."""


class Answer(NamedTuple):
    """The answer to a REST call."""

    status: int
    body: dict[str, Any]


class World:
    """Everything that there is in a run.

    Args:
        loop: of the simulation.
        draw: the chance of the run.
        plan: of the run.
        folder: for the files of processes.
    """

    def __init__(self, loop: SimulationLoop, draw: Draw, plan: Plan, folder: Path) -> None:
        self.loop = loop
        self.folder = folder
        self.draw = draw
        self.plan = plan
        self.history = History(loop.virtual)
        loop.on_error = lambda host, error: self.note("error", process=host.name, error=error)
        self.outside = Host("outside", VirtualMachine(loop.virtual, draw))
        self.servers = Servers(loop, draw, loop.virtual, self.history)
        self.servers.network.slow = plan.slow
        self.gone: list[SimulatedProcess] = []
        """Those that were removed."""
        common = settings(folder, snapshots=plan.shape.snapshots)
        self.processes = {
            name: SimulatedProcess(name, self.servers, self.history, common, loop, self.outside)
            for name in plan.processes()
        }
        for process in self.processes.values():
            process.skew_s = draw.between(-0.5, 0.5) * plan.shape.skew_s

    @property
    def hosts(self) -> list[Host]:
        """The host of each start of each process."""
        return [host for process in [*self.processes.values(), *self.gone] for host in process.hosts]

    async def open(self, stack: AsyncExitStack) -> None:
        """Open the servers, create the first channels, and start every process."""
        await self.servers.open(self.plan.shape, self.plan.seed, stack)
        for channel, members in self.plan.channels.items():
            document = Channel(channel, channel, private=False, created_by=members[0], created_at=timestamp())
            create = partial(self.servers.memberships.create, document, members, published=True)
            await self.servers.asked("stores", create)
        for process in self.processes.values():
            process.start()

    def report_failed_tasks(self) -> None:
        """Note the tasks of all that lives which failed, and of which nobody has asked why."""
        for host in [self.outside, *self.servers.hosts.values(), *self.hosts]:
            if not host.dead:
                self.loop.report_failed_tasks(host)

    def can_remove(self, name: str) -> bool:
        """Whether there is the process, and another one of its kind."""
        process = self.processes.get(name)
        return process is not None and sum(other.kind == process.kind for other in self.processes.values()) > 1

    def remove(self, name: str) -> None:
        """Kill a process for good."""
        process = self.processes.pop(name)
        process.kill()
        process.removed = True
        self.gone.append(process)

    def of_kind(self, kind: str) -> list[SimulatedProcess]:
        """The processes of a kind that run."""
        return [process for process in self.processes.values() if process.kind == kind and process.is_running]

    async def call(self, user: str, method: str, path: str, body: dict[str, Any] | None = None) -> Answer | None:
        """Make a REST call to any gateway that serves.

        Returns:
            its answer; None if none came.
        """
        serving = [process for process in self.of_kind("gateway") if process.app is not None]
        if not serving:
            await asyncio.sleep(self.draw.between(*WAY_S))
            return None
        gateway: SimulatedProcess = self.draw.choice(serving)
        answer: asyncio.Future[Answer] = self.loop.create_future()
        request = _Request(self, gateway, user, method, path, body, answer)
        self.loop.call_later(self.draw.between(*WAY_S), request.arrive, context=gateway.host.context)
        gateway.calls += 1
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await answer
        except TimeoutError:
            return None
        finally:
            gateway.calls -= 1

    def connect(
        self, url: str, on_frame: Callable[[dict[str, Any]], None], on_close: Callable[[int, str], None]
    ) -> Wire | None:
        """Open a WebSocket; None if nobody listens there."""
        process = self.processes.get(urlsplit(url).hostname or "")
        if process is None or process.instance is None or process.host.dead:
            return None
        wire = Wire(self.loop, self.draw, process.host, self.outside, on_frame, on_close)
        process.connected(wire)
        return wire

    def note(self, what: str, **about: Any) -> None:
        """Add an entry to the history."""
        self.history.note(what, **about)


class _Request:
    """One REST call, from the device to a gateway and back."""

    def __init__(
        self,
        world: World,
        gateway: SimulatedProcess,
        user: str,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        answer: "asyncio.Future[Answer]",
    ) -> None:
        self._world = world
        self._gateway = gateway.name
        self._app = gateway.app
        self._payload = b"" if body is None else json.dumps(body).encode()
        self._answer = answer
        self._status = 0
        self._body = b""
        route, _, query = path.partition("?")
        self._scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": f"/api/v1/{route}",
            "query_string": query.encode(),
            "headers": [
                (b"authorization", f"Bearer {user}".encode()),
                (b"content-type", b"application/json"),
                (b"content-length", str(len(self._payload)).encode()),
            ],
        }

    def arrive(self) -> None:
        """Let the gateway answer."""
        task = asyncio.ensure_future(self._app(self._scope, self._receive, self._send))
        task.add_done_callback(self._answered)

    async def _receive(self) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": self._payload, "more_body": False}

    async def _send(self, message: Any) -> None:
        await asyncio.sleep(0)
        if message["type"] == "http.response.start":
            self._status = message["status"]
        else:
            self._body += message.get("body", b"")

    def _answered(self, task: "asyncio.Future[None]") -> None:
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            self._fail(f"was not answered: {error!r}")
            return
        if self._status >= INTERNAL_ERROR and self._status != UNAVAILABLE:
            self._fail(f"was answered {self._status}")
        way = self._world.draw.between(*WAY_S)
        self._world.loop.call_later(way, self._settle, context=self._world.outside.context)

    def _fail(self, what: str) -> None:
        call = f"{self._scope['method']} {self._scope['path']}"
        self._world.note("error", process=self._gateway, error=f"{call} {what}")

    def _settle(self) -> None:
        if not self._answer.done():
            self._answer.set_result(Answer(self._status, json.loads(self._body) if self._body else {}))
