"""Serving an ASGI application inside the caller's event loop, for as long as a context lasts."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import uvicorn

from services.runtime.http_protocol import BoundedProtocol
from services.runtime.settings import Address, cannot_listen

BACKLOG: Final = 2048
KEEP_ALIVE_S: Final = 30
_CANCEL_GRACE_S: Final = 1.0


class _Server(uvicorn.Server):
    """Leaves signals to the process, and says when it has started."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_started = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.has_started.set()


@contextlib.asynccontextmanager
async def serve_http(app: Any, address: Address, *, grace_s: float = 5.0) -> AsyncIterator[Address]:
    """Serve HTTP on the address that `FANOUT_LISTEN` names, while the context lasts.

    Leaving it stops listening, lets requests that are being answered end within `grace_s`, and cancels the rest.

    Args:
        app: an ASGI application; its lifespan is not run.
        address: where to listen; port 0 takes any free one.
        grace_s: seconds.

    Yields:
        the address with the port that is listened on.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """
    listener = _bind(address)
    server = _Server(_config(app, grace_s))
    serving = asyncio.create_task(server.serve([listener]), name=f"http {address}")
    try:
        await _started(server, serving)
        yield Address(address.host, listener.getsockname()[1])
    finally:
        server.should_exit = True
        # uvicorn bounds its own shutdown; what hangs beyond that is cancelled here.
        try:
            async with asyncio.timeout(grace_s + _CANCEL_GRACE_S):
                await serving
        finally:
            listener.close()


def _config(app: Any, grace_s: float) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(grace_s)),
    )


def try_to_bind(address: Address) -> None:
    """Return where the address can be listened on now. Nobody can connect to it meanwhile.

    Raises:
        OSError: it cannot.
    """
    _bound(address).close()


def _bind(address: Address) -> socket.socket:
    try:
        listener = _bound(address)
    except OSError as error:
        raise cannot_listen("LISTEN", address, error) from error
    listener.listen(BACKLOG)
    return listener


def _bound(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # The protocol is named, for asyncio turns Nagle's delay off only on sockets that say they are TCP: without
    # it, answers on a connection that was used before come 40 ms late.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address.host, address.port))
    except OSError:
        bound.close()
        raise
    return bound


async def _started(server: _Server, serving: asyncio.Task[None]) -> None:
    starting = asyncio.create_task(server.has_started.wait())
    try:
        await asyncio.wait((starting, serving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        starting.cancel()
    if serving.done():
        await serving
