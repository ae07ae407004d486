"""What runs in one process: every service (`fanout up`) or one (`fanout serve`)."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import structlog
from prometheus_client import REGISTRY

from fanout.ids import new_ulid
from fanout.ports.log import Log
from fanout.subjects import MESSAGES
from services.command.composition import running_sweep
from services.composition.backends import Backends
from services.fan_out.snapshots import Snapshots
from services.fan_out.worker import FanOutPorts, running_worker
from services.gateway.composition import Backends as GatewayBackends
from services.gateway.composition import build_app
from services.message_writer.writer import running_writer
from services.notification.composition import running_notification
from services.notification.instance import NotificationPorts
from services.runtime.health import Health
from services.runtime.http import serve_http
from services.runtime.lifecycle import Process
from services.runtime.settings import Address, Settings
from services.runtime.web import health_app

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Deployment:
    """One process of the system, being put together."""

    settings: Settings
    backends: Backends
    health: Health
    process: Process
    stack: AsyncExitStack

    async def start_message_writer(self) -> None:
        """Join the message writers."""
        log_port, messages = await self.backends.log(), await self.backends.messages()
        await self.stack.enter_async_context(running_writer(log_port, messages, self.process.fail))

    async def start_fan_out(self) -> None:
        """Join the fan-out workers."""
        ports = FanOutPorts(
            log=await self.backends.log(),
            bus=await self.backends.bus(),
            presence=await self.backends.presence(),
            memberships=await self.backends.memberships(),
        )
        # Two workers by one name would take each other's notices for their own.
        worker_id = f"{self.settings.instance_id}-{new_ulid()[-8:]}"
        snapshots = self._snapshots(ports.log)
        running = running_worker(worker_id, ports, self.process.fail, snapshots=snapshots)
        worker = await self.stack.enter_async_context(running)
        self.health.add("routing_table", worker.check_ready)

    def _snapshots(self, events: Log) -> Snapshots | None:
        if self.settings.snapshot is None:
            return None
        path = self.settings.data_dir / self.settings.snapshot
        return Snapshots(path, events, every_s=self.settings.snapshot_every_s)

    async def start_notification(self) -> None:
        """Serve WebSockets."""
        ports = NotificationPorts(
            log=await self.backends.log(),
            bus=await self.backends.bus(),
            presence=await self.backends.presence(),
            memberships=await self.backends.memberships(),
            authenticator=self.backends.authenticator(),
        )
        running = running_notification(self.settings, ports, self.health, self.process.fail)
        bound = await self.stack.enter_async_context(running)
        log.info("serves WebSockets", url=self.settings.public_ws_url(bound))

    async def start_gateway(self) -> None:
        """Serve REST, with health and metrics."""
        ports = GatewayBackends(
            log=await self.backends.log(),
            memberships=await self.backends.memberships(),
            messages=await self.backends.messages(),
            presence=await self.backends.presence(required=False),  # only `realtime.connect` needs it
        )
        await self.stack.enter_async_context(running_sweep(ports.log, ports.memberships, self.process.fail))
        if (place := await ports.messages.newest_place()) is not None:
            # Before the first call is served: what a log takes that went back has places of its own from the start.
            await ports.log.recall(MESSAGES, *place)
        app = build_app(self.settings, ports, self.backends.authenticator(), self.health, REGISTRY)
        bound = await self._serve(app)
        log.info("serves REST", url=f"http://{bound}")

    async def start_operations(self) -> None:
        """Serve health and metrics alone."""
        app = health_app(self.health, REGISTRY)
        bound = await self._serve(app)
        log.info("serves health and metrics", url=f"http://{bound}")

    async def _serve(self, app: Any) -> Address:
        serving = serve_http(app, self.settings.listen, on_failure=self.process.fail)
        return await self.stack.enter_async_context(serving)


Starter = Callable[[Deployment], Awaitable[None]]

SERVICES: Final[Mapping[str, tuple[Starter, ...]]] = {
    "gateway": (Deployment.start_gateway,),
    "fanout": (Deployment.start_operations, Deployment.start_fan_out),
    "notification": (Deployment.start_operations, Deployment.start_notification),
    "message-writer": (Deployment.start_operations, Deployment.start_message_writer),
}
"""What `fanout serve` runs, by name. The order is that of starting; stopping goes the other way round. Health comes
first, for a start may have to wait, and says so meanwhile."""

EVERYTHING: Final[tuple[Starter, ...]] = (
    Deployment.start_message_writer,
    Deployment.start_fan_out,
    Deployment.start_notification,
    Deployment.start_gateway,
)
"""What `fanout up` runs. Stopping takes no new work first, then closes sockets, then ends what is in hand."""


@asynccontextmanager
async def running(
    settings: Settings, process: Process, starters: tuple[Starter, ...], *, alone: bool
) -> AsyncIterator[None]:
    """Run services for the length of the context.

    Args:
        settings: of the process.
        process: is told of failures.
        starters: of `SERVICES` or `EVERYTHING`.
        alone: no other process shares the work.
    """
    health = Health(registry=REGISTRY)
    async with AsyncExitStack() as stack:
        backends = Backends(settings, health, stack, alone=alone)
        deployment = Deployment(settings, backends, health, process, stack)
        with health.starting():
            for start in starters:
                await start(deployment)
        process.on_stop(health.drain)
        log.info("ready", instance=settings.instance_id)
        yield
