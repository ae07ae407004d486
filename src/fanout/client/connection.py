"""The asyncio client: the only module of `fanout` that opens sockets. It needs the extra `fanout[client]`."""

import asyncio
import contextlib
import ssl as ssl_module
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

from fanout.client.addresses import GATEWAY, INSTANCE, check_address, is_instance
from fanout.client.calls import UserCalls
from fanout.client.errors import ClientClosed
from fanout.client.event_queue import EventQueue
from fanout.client.events import Event
from fanout.client.position import Position
from fanout.client.protocol import ClientProtocol, Device, Phase, Received
from fanout.client.realtime_connect import PATH, address_in
from fanout.client.reconnecting import Closing
from fanout.client.resume_point import ResumePoint
from fanout.client.sender import Sender
from fanout.client.settings import ClientSettings
from fanout.client.tokens import Token, TokenSource
from fanout.ids import check_device_id

try:
    import httpx
    from websockets.asyncio.client import ClientConnection, connect
    from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
except ImportError as error:
    raise ImportError(f"{error}: the client needs the extra `client`, as in pip install 'fanout[client]'") from error

HTTP_TIMEOUT_S: Final = 10.0
OPEN_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 2.0
MAX_FRAME: Final = 4 * 1024 * 1024
"""Bytes of the longest frame that is taken. A server's longest event has 1 MiB."""
_NO_AUTHORITIES: Final = ssl_module.SSLContext(ssl_module.PROTOCOL_TLS_CLIENT)
"""For plain HTTP: by default, each HTTP client would load all authorities of the system."""


class Client(UserCalls):
    """A device of a user, connected to a Fanout deployment for as long as the program runs.

    Use it as an asynchronous context manager, and iterate over it to get the events. It connects in the background,
    resumes after each interruption, and says in `Disconnected` and `ResumeDropped` what happened to the connection.

    The iteration ends when the client is closed. It raises a `SessionEnded` when the server lets the client not connect
    again. A program that does not take its events fast enough slows the connection down: nothing is dropped here, and
    what the server drops for it comes again by resuming.

    Args:
        url: the address of a gateway (`https://...`), which is asked where to connect; or a WebSocket address
            (`wss://...`) to connect to.
        token: the token, or a function or coroutine function that makes one. It is called at the start, and when the
            server has refused the last token. An `OSError` of it is a failed attempt, and any other exception ends the
            client.
        device: the device that the client is.
        resume: the point to resume at, from `resume_point` of an earlier run.
        settings: times and bounds.
        http: asks the gateway; by default one is made for each attempt.
        ssl: verifies the gateway and the instances; by default, the authorities of the system do.

    Raises:
        InvalidAddress: `url` is none.
        InvalidId: the device id is none.
    """

    def __init__(
        self,
        url: str,
        token: Token,
        device: Device,
        *,
        resume: ResumePoint | None = None,
        settings: ClientSettings | None = None,
        http: httpx.AsyncClient | None = None,
        ssl: ssl_module.SSLContext | None = None,
    ) -> None:
        check_device_id(device.device_id)
        self._device = device
        self._point = resume
        self._settings = settings or ClientSettings()
        self._tokens = TokenSource(token)
        self._url = check_address(url, GATEWAY + INSTANCE)
        self._http = http
        self._ssl = ssl
        self._queue = EventQueue(self._settings.queue_size)
        self._taken = Position(resume)
        self._changed = asyncio.Event()
        self._protocol: ClientProtocol | None = None
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._protocol = ClientProtocol(
            self._device,
            self._now(),
            point=self._point,
            renews_token=self._tokens.renews,
            settings=self._settings,
        )
        self._running = asyncio.create_task(self._run(self._protocol), name=f"client {self._device.device_id}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        try:
            return (await self.receive()).event
        except ClientClosed:
            raise StopAsyncIteration from None

    @property
    def resume_point(self) -> ResumePoint | None:
        """The point after the last event that the program has taken; None before the first connection.

        A program that keeps it (`ResumePoint.encode`) after it has handled an event, and gives it as `resume` when it
        starts again, gets every event once over both runs.
        """
        return self._taken.point

    async def receive(self) -> Received:
        """The next event with the frame that told it. Iterating gives the event alone.

        Raises:
            ClientClosed: the client was closed.
            SessionEnded: the server lets the client not connect again.
        """
        if self._protocol is None:
            raise ClientClosed("the client is not started: use it with `async with`")
        received = await self._queue.get()
        self._taken.see(received.event)
        return received

    async def close(self) -> None:
        """Send what waits to be sent if there is a connection, and close it. A second call does nothing."""
        if self._protocol is None or self._running is None:
            return
        if self._protocol.phase is Phase.CONNECTING:
            self._running.cancel()
        self._protocol.close()
        self._changed.set()
        await asyncio.wait([self._running])

    def _tell(self) -> Sender:
        if self._protocol is None or self._protocol.phase is Phase.ENDED:
            raise ClientClosed("the client is not running")
        self._changed.set()
        return self._protocol.sender

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    # The task of the client.

    async def _run(self, protocol: ClientProtocol) -> None:
        ending: Exception = ClientClosed("the client was closed")
        try:
            while protocol.phase is not Phase.ENDED:
                if protocol.phase is Phase.CONNECTING:
                    protocol.connection_lost(await self._attempt(protocol), self._now())
                    self._queue.put(protocol.take_events())
                else:
                    await self._wait(protocol)
            ending = protocol.ending or ending
        except Exception as error:  # noqa: BLE001 - the program gets it where it takes its events
            ending = error
        finally:
            self._queue.end(ending)

    async def _attempt(self, protocol: ClientProtocol) -> Closing:
        """Connect, and serve the connection; returns how it has ended."""
        try:
            token = await self._tokens.get(renew=protocol.needs_token)
        except OSError as error:
            return Closing(None, f"there is no token: {error}")
        address = self._url if is_instance(self._url) else await self._ask_gateway(token)
        if isinstance(address, Closing):
            return address
        try:
            socket = await self._open(address)
        except (OSError, InvalidHandshake, InvalidURI) as error:
            return _unreachable(address, error)
        try:
            return await self._converse(protocol, socket, token)
        finally:
            await socket.close()

    async def _ask_gateway(self, token: str) -> str | Closing:
        """The WebSocket address of the instance to connect to."""
        async with AsyncExitStack() as stack:
            http = self._http
            if http is None:
                verify = self._ssl or (self._url.startswith("https:") or _NO_AUTHORITIES)
                http = await stack.enter_async_context(httpx.AsyncClient(timeout=HTTP_TIMEOUT_S, verify=verify))
            try:
                response = await http.get(self._url + PATH, headers={"Authorization": f"Bearer {token}"})
            except httpx.HTTPError as error:
                return _unreachable(self._url, error)
            return address_in(response.status_code, response.headers.get("Retry-After"), response.content)

    async def _open(self, address: str) -> ClientConnection:
        verified: dict[str, Any] = {"ssl": self._ssl} if self._ssl and address.startswith("wss:") else {}
        return await connect(
            address,
            compression=None,
            ping_interval=None,  # heartbeats do it
            max_size=MAX_FRAME,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            **verified,
        )

    async def _converse(self, protocol: ClientProtocol, socket: ClientConnection, token: str) -> Closing:
        """Send and receive until the connection has ended, and return how."""
        protocol.connection_made(token, self._now())
        reading = asyncio.create_task(self._read(protocol, socket))
        try:
            await self._write(protocol, socket, reading)
        except ConnectionClosed as closed:
            return _closing(closed)
        except TimeoutError:
            socket.transport.abort()
            return Closing(None, "the server does not read what is sent")
        finally:
            reading.cancel()
            await asyncio.wait([reading])
        if protocol.gives_up is not None:
            socket.transport.abort()
            return Closing(None, protocol.gives_up)
        return Closing(None, "") if reading.cancelled() else reading.result()

    async def _read(self, protocol: ClientProtocol, socket: ClientConnection) -> Closing:
        """Hand on what comes, until the connection is closed."""
        try:
            while protocol.phase is not Phase.ENDED:
                protocol.receive(await socket.recv(decode=True), self._now())
                self._changed.set()
                self._queue.put(protocol.take_events())
                if self._queue.is_full:
                    protocol.hold()
                    await self._queue.wait_for_room()
                    protocol.release(self._now())
        except ConnectionClosed as closed:
            return _closing(closed)
        finally:
            self._changed.set()
        return Closing(None, "the client has ended")

    async def _write(
        self, protocol: ClientProtocol, socket: ClientConnection, reading: "asyncio.Task[Closing]"
    ) -> None:
        """Send what is to be sent, and do what is due, until the connection is closed or given up."""
        while True:
            for frame in protocol.take_frames():
                async with asyncio.timeout(self._settings.answer_within_s):
                    await socket.send(frame)
            if reading.done() or protocol.gives_up is not None or protocol.phase is Phase.ENDED:
                return
            await self._wait(protocol)

    async def _wait(self, protocol: ClientProtocol) -> None:
        """Wait until something has changed, or is due; do what is due."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(protocol.deadline):
                await self._changed.wait()
        self._changed.clear()
        protocol.handle_deadline(self._now())


def _closing(closed: ConnectionClosed) -> Closing:
    return Closing(closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else Closing(None, "")


def _unreachable(url: str, error: Exception) -> Closing:
    return Closing(None, f"{url} cannot be reached: {str(error) or type(error).__name__}")
