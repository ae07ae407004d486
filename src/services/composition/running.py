"""A process: the services that run in it, what they share, and the order in which they start and stop."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, get_type_hints

import structlog
from prometheus_client import REGISTRY, CollectorRegistry

from fanout.ports.socket import SocketHandler
from services.composition.backends import Backend, Backends, Port, Table, needed_rows
from services.composition.notification import serving_sockets
from services.composition.this_machine import LocalCheck
from services.runtime.health import Health
from services.runtime.http import serve_http
from services.runtime.lifecycle import Process
from services.runtime.settings import Address, Settings
from services.runtime.web import health_app

log = structlog.get_logger(__name__)

_P = TypeVar("_P")
_T = TypeVar("_T")


@dataclass(frozen=True)
class ServiceContext:
    """The objects that the services of one process share."""

    settings: Settings
    health: Health
    registry: CollectorRegistry
    """The metrics of the process."""
    process: Process
    stack: AsyncExitStack

    async def enter(self, running: AbstractAsyncContextManager[_T]) -> _T:
        """Enter a context that is left when the process stops, before everything that was entered earlier."""
        return await self.stack.enter_async_context(running)

    async def serve(self, app: Any) -> Address:
        """Serve an ASGI application at `FANOUT_LISTEN`; the address where it really listens."""
        return await self.enter(serve_http(app, self.settings.listen, on_failure=self.process.fail))

    def serving_sockets(self, handler: SocketHandler) -> AbstractAsyncContextManager[Address]:
        """Serve WebSockets at `FANOUT_WS_LISTEN` while the context lasts; it yields where it really listens."""
        return serving_sockets(self.settings, handler)


@dataclass(frozen=True, kw_only=True)
class Service(Generic[_P]):
    """A row of the table of services."""

    name: str
    """For `fanout serve`."""
    help: str
    """Its work, in one line."""
    ports: type[_P]
    """A dataclass or named tuple whose fields are annotated with the ports that the service needs."""
    start: Callable[[ServiceContext, _P], Awaitable[None]]
    """Starts the service, and returns when it works. It registers its end with `ServiceContext.enter`."""
    checks: tuple[LocalCheck, ...] = ()
    """The checks of `fanout check` beside those of the backends and of `FANOUT_LISTEN`."""
    degraded_without: tuple[Port[Any], ...] = ()
    """The ports without which it is degraded; without the others it is not ready."""
    serves_rest: bool = False
    """Whether it answers at `FANOUT_LISTEN` itself, health and metrics included. It keeps on taking calls for
    `FANOUT_DRAIN_GRACE_S` after the signal to stop."""


Services = tuple[Service[Any], ...]


def rows_of(services: Services, table: Table) -> list[Backend[Any]]:
    """The rows of the backends that some services need, in the order of the table."""
    return needed_rows(table, [port for service in services for port in get_type_hints(service.ports).values()])


@asynccontextmanager
async def running(
    settings: Settings, process: Process, services: Services, table: Table, *, alone: bool
) -> AsyncIterator[None]:
    """Run services for the length of the context.

    Args:
        settings: of the process.
        process: is stopped by a failure.
        services: rows of the table of services, in the order of starting.
        table: the rows of the backends.
        alone: no other process shares the work.
    """
    health = Health(registry=REGISTRY)
    async with AsyncExitStack() as stack:
        backends = Backends(table, settings, health, stack, alone=alone)
        context = ServiceContext(settings, health, REGISTRY, process, stack)
        with health.starting():
            await start_all(services, context, backends)
        process.on_stop(health.drain)
        log.info("ready", instance=settings.instance_id)
        yield


async def start_all(services: Services, context: ServiceContext, backends: Backends) -> None:
    """Start services, one after the other. Health is served first: a start may have to wait for a server.

    Args:
        services: rows of the table, in the order of starting.
        context: what they share.
        backends: opens the ports that they need.
    """
    if not any(service.serves_rest for service in services):
        bound = await context.serve(health_app(context.health, context.registry))
        log.info("serves health and metrics", url=f"http://{bound}")
    for service in services:
        ports = await backends.open_all(service.ports, degraded_without=service.degraded_without)
        await service.start(context, ports)
