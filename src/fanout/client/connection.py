"""The asyncio client: the only module of `fanout` that opens sockets. It needs the extra `fanout[client]`."""

import asyncio
import contextlib
import ssl as ssl_module
from collections.abc import Iterable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

from fanout.client.activity import State
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


class Client:
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
        self._url = url
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
            _now(),
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
        self._protocol.close()
        self._changed.set()
        await asyncio.wait([self._running])

    # What the user does. None of these waits: the frame is sent by the task of the client.

    def mark_read(self, channel_id: str, message_id: str) -> None:
        """Tell that everything in a channel up to a message is read. Kept until the server has it, over interruptions.

        Raises:
            InvalidId: an id is none.
            OutboxFull: too much waits to be sent.
            ClientClosed: the client is not running.
        """
        self._tell().mark_read(channel_id, message_id)

    def message_read(self, channel_id: str, message_id: str) -> None:
        """Send a read receipt for a message. Kept until the server has it, over interruptions.

        Raises:
            InvalidId: an id is none.
            OutboxFull: too much waits to be sent.
            ClientClosed: the client is not running.
        """
        self._tell().message_read(channel_id, message_id)

    def typing(self, channel_id: str) -> None:
        """A key was pressed in a channel: call it as often as that. The others see that the user is typing.

        The notice is repeated every 3 s while keys are pressed. It ends when none is for that long, by `stop_typing`,
        and with the connection.

        Raises:
            InvalidId: it is no channel id.
            ClientClosed: the client is not running.
        """
        self._tell().type(channel_id, _now())

    def stop_typing(self, channel_id: str) -> None:
        """The user has sent the message, or has stopped typing in a channel.

        Raises:
            ClientClosed: the client is not running.
        """
        self._tell().stop_typing(channel_id)

    def open_channel(self, channel_id: str) -> None:
        """The user looks at a channel. The answer is `DraftLoad`; the channel is the focused one until another is.

        Raises:
            InvalidId: it is no channel id.
            ClientClosed: the client is not running.
        """
        self._tell().open_channel(channel_id)

    def close_channel(self) -> None:
        """The user looks at no channel any more.

        Raises:
            ClientClosed: the client is not running.
        """
        self._tell().close_channel(_now())

    def watch_presence(self, user_ids: Iterable[str]) -> None:
        """Show the presence of these users, and of no others. The answers are `PresenceUpdate`, now and on each change.

        Raises:
            InvalidId: an id is none.
            ValueError: there are more than 500.
            ClientClosed: the client is not running.
        """
        self._tell().watch_presence(user_ids)

    def interacted(self) -> None:
        """The user did something at this device: the state is `active`, and `idle` after 60 s without another call.

        Raises:
            ClientClosed: the client is not running.
        """
        self._tell().set_state("active", _now())

    def set_state(self, state: State) -> None:
        """Set the state of the device, as `background` when its window is hidden. The server hears it at once.

        Raises:
            ClientClosed: the client is not running.
        """
        self._tell().set_state(state, _now())

    def ping(self) -> None:
        """Ask the server for a `Pong`. It is not asked without a connection.

        Raises:
            ClientClosed: the client is not running.
        """
        self._tell().ping()

    def _tell(self) -> Sender:
        if self._protocol is None or self._protocol.phase is Phase.ENDED:
            raise ClientClosed("the client is not running")
        self._changed.set()
        return self._protocol.sender

    # The task of the client.

    async def _run(self, protocol: ClientProtocol) -> None:
        try:
            while protocol.phase is not Phase.ENDED:
                if protocol.phase is Phase.CONNECTING:
                    protocol.connection_lost(await self._attempt(protocol), _now())
                    self._queue.put(protocol.take_events())
                else:
                    await self._wait(protocol)
            self._queue.end(protocol.ending or ClientClosed("the client was closed"))
        except Exception as error:  # noqa: BLE001 - the program gets it where it takes its events
            self._queue.end(error)

    async def _attempt(self, protocol: ClientProtocol) -> Closing:
        """Connect, and serve the connection; returns how it has ended."""
        try:
            token = await self._tokens.get(renew=protocol.needs_token)
            address = await self._address(token)
            if isinstance(address, Closing) or protocol.phase is Phase.ENDED:
                return address if isinstance(address, Closing) else Closing(None, "the client was closed")
            return await self._connect(protocol, address, token)
        except ConnectionClosed as closed:
            return Closing(closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else Closing(None, "")
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI, httpx.HTTPError) as error:
            return Closing(None, f"the server cannot be reached: {str(error) or type(error).__name__}")

    async def _address(self, token: str) -> str | Closing:
        """The WebSocket address of the instance to connect to."""
        if self._url.startswith(("ws://", "wss://")):
            return self._url
        async with AsyncExitStack() as stack:
            http = self._http
            if http is None:
                verify = self._ssl or (self._url.startswith("https:") or _NO_AUTHORITIES)
                http = await stack.enter_async_context(httpx.AsyncClient(timeout=HTTP_TIMEOUT_S, verify=verify))
            headers = {"Authorization": f"Bearer {token}"}
            response = await http.get(self._url.rstrip("/") + PATH, headers=headers)
            return address_in(response.status_code, response.headers.get("Retry-After"), response.content)

    async def _connect(self, protocol: ClientProtocol, address: str, token: str) -> Closing:
        options: dict[str, Any] = {"ssl": self._ssl} if self._ssl and address.startswith("wss:") else {}
        async with connect(
            address,
            compression=None,
            ping_interval=None,  # heartbeats do it
            max_size=MAX_FRAME,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            **options,
        ) as socket:
            protocol.connection_made(token, _now())
            reading = asyncio.create_task(self._read(protocol, socket))
            try:
                await self._write(protocol, socket, reading)
            finally:
                reading.cancel()
                await asyncio.wait([reading])
            if protocol.gives_up is not None:
                socket.transport.abort()
                return Closing(None, protocol.gives_up)
            if not reading.cancelled():
                reading.result()
            return Closing(None, "")

    async def _read(self, protocol: ClientProtocol, socket: ClientConnection) -> None:
        """Hand on what comes, until the connection is closed."""
        try:
            while protocol.phase is not Phase.ENDED:
                protocol.receive(await socket.recv(decode=True), _now())
                self._changed.set()
                self._queue.put(protocol.take_events())
                if self._queue.is_full:
                    protocol.hold()
                    await self._queue.wait_for_room()
                    protocol.release(_now())
        finally:
            self._changed.set()

    async def _write(self, protocol: ClientProtocol, socket: ClientConnection, reading: "asyncio.Task[None]") -> None:
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
        protocol.handle_deadline(_now())


def _now() -> float:
    """The clock of the event loop, which its timers go by."""
    return asyncio.get_running_loop().time()
