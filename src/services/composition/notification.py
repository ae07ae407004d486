"""A notification instance with its WebSocket server."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fanout.ports.commands import ClientCommands
from fanout.ports.socket import SocketHandler
from services.adapters.websocket import BACKLOG, serving_websockets
from services.notification.admission import InstanceLimits
from services.notification.instance import NotificationInstance, NotificationPorts
from services.runtime.health import Health
from services.runtime.listening import listen_on
from services.runtime.settings import Address, Settings
from services.runtime.tasks import Tasks

SPREAD = 0.75
"""The share of the drain timeout over which sockets are closed. The rest is for the last of them to end."""
ANSWERS = 64 * 1024
"""Bytes that may wait for a client beyond its budget: pongs, and close frames."""

ServingSockets = Callable[[SocketHandler], AbstractAsyncContextManager[Address]]
"""Serves WebSockets while its context lasts, and yields the address where it listens."""


@asynccontextmanager
async def running_notification(
    settings: Settings,
    ports: NotificationPorts,
    commands: ClientCommands,
    health: Health,
    on_failure: Callable[[BaseException], None],
    serving: ServingSockets,
) -> AsyncIterator[Address]:
    """Run an instance with its WebSocket server while the context lasts, and drain it at the end.

    Args:
        settings: the addresses, and the limits for clients.
        ports: opened and closed by the caller.
        commands: handles the commands of clients.
        health: gets a check of the instance's lease.
        on_failure: is called with an error that ends a part of the instance.
        serving: serves the WebSockets.

    Yields:
        the address where the server listens.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """
    limits = InstanceLimits(
        instance_id=settings.instance_id,
        capacity=settings.max_connections,
        auth_timeout_s=settings.auth_timeout_s,
        heartbeat_s=settings.heartbeat_s,
        socket_budget=settings.socket_budget,
        max_unauthenticated=settings.max_unauthenticated,
        max_user_sockets=settings.max_user_sockets,
    )
    async with Tasks(on_failure) as tasks:
        instance = NotificationInstance(
            limits, ports, commands, tasks, heartbeat_timeout_s=settings.heartbeat_timeout_s
        )
        async with serving(instance.serve) as bound:
            await instance.start(settings.public_ws_url(bound))
            health.add("lease", instance.check_lease)
            health.add("routing", instance.check_routing, required=False)
            yield bound
            await instance.drain(settings.drain_timeout_s * SPREAD)


@asynccontextmanager
async def serving_sockets(settings: Settings, handler: SocketHandler) -> AsyncIterator[Address]:
    """Serve WebSockets at `FANOUT_WS_LISTEN` while the context lasts.

    Args:
        settings: the address, and the limits of frames and of what waits for a client.
        handler: serves one connection.

    Yields:
        the address where the server listens.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """
    listener = listen_on(settings.ws_listen, "WS_LISTEN", BACKLOG)
    unread = settings.socket_budget + ANSWERS
    async with serving_websockets(handler, listener, max_frame=settings.max_frame, max_unread=unread) as port:
        yield Address(settings.ws_listen.host, port)
