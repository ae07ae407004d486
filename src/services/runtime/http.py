"""Serving an ASGI application inside the caller's event loop, for as long as a context lasts."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any, Final

import structlog
import uvicorn

from services.runtime.http_protocol import BoundedProtocol
from services.runtime.listening import listen_on
from services.runtime.settings import Address

log = structlog.get_logger(__name__)

BACKLOG: Final = 2048
KEEP_ALIVE_S: Final = 30
_CANCEL_GRACE_S: Final = 1.0


class _Server(uvicorn.Server):
    """Installs no signal handlers, which are the process's own, and signals when it has started."""

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
async def serve_http(
    app: Any, address: Address, *, on_failure: Callable[[BaseException], None] | None = None, grace_s: float = 5.0
) -> AsyncIterator[Address]:
    """Serve HTTP on the address that `FANOUT_LISTEN` names, while the context lasts.

    When the context ends, the server stops listening, requests that are being answered have `grace_s` to end, and the
    rest is cancelled.

    Args:
        app: an ASGI application; its lifespan is not run.
        address: where to listen; port 0 takes any free port.
        on_failure: called with the error when serving ends before the context does; the error is logged in any case.
        grace_s: seconds.

    Yields:
        the address with the port that is listened on.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """
    listener = listen_on(address, "LISTEN", BACKLOG)
    server = _Server(_config(app, grace_s))
    serving = asyncio.create_task(server.serve([listener]), name=f"http {address}")
    try:
        await _started(server, serving)
        serving.add_done_callback(partial(_ended, server, on_failure))
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
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(grace_s)),
    )


def _ended(server: _Server, on_failure: Callable[[BaseException], None] | None, serving: asyncio.Task[None]) -> None:
    if server.should_exit or serving.cancelled():
        return
    error = serving.exception() or RuntimeError("HTTP is served no more")
    log.error("task failed", task=serving.get_name(), exc_info=error)
    if on_failure is not None:
        on_failure(error)


async def _started(server: _Server, serving: asyncio.Task[None]) -> None:
    starting = asyncio.create_task(server.has_started.wait())
    try:
        await asyncio.wait((starting, serving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        starting.cancel()
    if serving.done():
        await serving
