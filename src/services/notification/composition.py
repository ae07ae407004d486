"""Where a notification instance meets its WebSocket server."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from services.adapters.websocket import serving_websockets
from services.notification.admission import Terms
from services.notification.instance import NotificationInstance, NotificationPorts
from services.runtime.health import Health
from services.runtime.settings import Address, Settings, cannot_listen
from services.runtime.tasks import Tasks

ANSWERS = 64 * 1024
"""Bytes that may wait for a client beside its budget: pongs, and the frames that close."""


@asynccontextmanager
async def running_notification(
    settings: Settings, ports: NotificationPorts, health: Health, on_failure: Callable[[BaseException], None]
) -> AsyncIterator[Address]:
    """Run an instance with its server for the length of the context; leaving it drains.

    Its lease is one of the checks of `health` from then on.

    Yields:
        where clients connect.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """
    terms = Terms(
        instance_id=settings.instance_id,
        capacity=settings.max_connections,
        auth_timeout_s=settings.auth_timeout_s,
        heartbeat_s=settings.heartbeat_s,
        socket_budget=settings.socket_budget,
    )
    async with Tasks(on_failure) as tasks:
        instance = NotificationInstance(terms, ports, tasks, heartbeat_timeout_s=settings.heartbeat_timeout_s)
        async with _serving(instance, settings) as bound:
            await instance.start(settings.public_ws_url(bound))
            health.add("lease", instance.check_lease)
            yield bound
            await instance.drain()


@asynccontextmanager
async def _serving(instance: NotificationInstance, settings: Settings) -> AsyncIterator[Address]:
    listen = settings.ws_listen
    serving = serving_websockets(
        instance.serve,
        listen.host,
        listen.port,
        max_frame=settings.max_frame,
        max_unread=settings.socket_budget + ANSWERS,
    )
    async with AsyncExitStack() as stack:
        try:
            port = await stack.enter_async_context(serving)
        except OSError as error:
            raise cannot_listen("WS_LISTEN", listen, error) from error
        yield Address(listen.host, port)
