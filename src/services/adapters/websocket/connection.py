"""One client's connection."""

import asyncio
from asyncio.trsock import TransportSocket
from collections.abc import Callable
from typing import Final, Protocol, cast

import structlog
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from fanout.error_codes import CloseCode
from fanout.ports.socket import SocketClosed

log = structlog.get_logger(__name__)

PATH: Final = "/ws"
OPEN_WITHIN_S: Final = 10.0
CLOSE_WITHIN_S: Final = 5.0
FIRST_MESSAGE: Final = 16 * 1024
"""The limit of a message, in bytes, until the handler allows large ones."""
MESSAGES_READ_AHEAD: Final = 4
BYTES_READ_AHEAD: Final = 64 * 1024
MOST_FRAGMENTS: Final = 1024
"""Fragments of one message. Its size alone is no limit, since empty fragments do not count and cost as much."""
MAX_REASON: Final = 120
"""Bytes. RFC 6455, section 5.5, allows 123."""
READ_AT_ONCE: Final = 1024
"""Bytes of one client that are parsed in one turn of the event loop: at most about 170 of the smallest frames."""


class Owner(Protocol):
    """The server that the connection belongs to."""

    max_unread: int

    def came(self, connection: "WebSocketConnection") -> None:
        """The client has connected; the handshake follows."""

    def opened(self, connection: "WebSocketConnection") -> None:
        """The handshake is done."""

    def went(self, connection: "WebSocketConnection") -> None:
        """The connection is closed."""

    def read_on_later(self, connection: "WebSocketConnection") -> None:
        """The connection has more to read: call its `read_on` in a later turn of the event loop."""


class WebSocketConnection(asyncio.BufferedProtocol):
    """A `fanout.ports.socket.Socket`, between the event loop's transport and the library's protocol.

    It reads a bounded number of bytes in each turn of the event loop, so a client that floods the server with tiny
    frames delays the others by a moment and not by seconds. A client that does not read the answers to its pings is
    disconnected.
    """

    __slots__ = (
        "_closing",
        "_deadline",
        "_drained",
        "_fragments",
        "_gone",
        "_kind",
        "_max_message",
        "_messages",
        "_on_change",
        "_owner",
        "_partial",
        "_paused",
        "_protocol",
        "_receiving",
        "_transport",
        "authorization",
    )

    _buffer: Final = memoryview(bytearray(READ_AT_ONCE))  # read and parsed in one step, so all may share it

    def __init__(self, protocol: ServerProtocol, owner: Owner) -> None:
        self.authorization: str | None = None
        self._paused = False
        """Whether nothing is read, since enough waits to be received."""
        self._protocol = protocol
        self._owner = owner
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._deadline: asyncio.TimerHandle | None = None
        """Aborts the connection: first if the handshake takes too long, later if closing does."""
        self._on_change: Callable[[bool], None] | None = None
        self._max_message: int | None = FIRST_MESSAGE
        """Bytes; None if only the protocol's own limit holds, which it checks from the frame's header."""
        self._kind = Opcode.TEXT
        self._partial: bytearray | None = None
        self._fragments = 0
        self._messages: list[str | bytes] | None = None
        self._receiving: asyncio.Future[None] | None = None
        self._drained: asyncio.Event | None = None
        """Set when nothing is buffered, or the connection is closed; None while nobody waits for that."""
        self._closing: asyncio.Event | None = None
        """None until the server wants to close; set when the connection is closed."""
        self._gone = False

    # The methods of the port.

    @property
    def peer(self) -> str | None:
        """The IP address of the other end."""
        address = self._transport.get_extra_info("peername")
        return str(address[0]) if isinstance(address, tuple) and address else None

    @property
    def is_closed(self) -> bool:
        """Whether the connection is closed, or about to be."""
        return self._protocol.state is not State.OPEN

    @property
    def closed_by_client(self) -> bool:
        """Whether the client has closed the connection by a close frame of its own."""
        return bool(self._protocol.close_rcvd_then_sent)

    @property
    def buffered(self) -> int:
        """Bytes written and not yet taken by the operating system."""
        return self._transport.get_write_buffer_size()

    def acquire_descriptor(self, on_change: Callable[[bool], None]) -> int | None:
        """Acquire the raw descriptor."""
        if self._protocol.state is not State.OPEN or self._transport.get_extra_info("ssl_object") is not None:
            return None
        self._on_change = on_change
        return cast("TransportSocket", self._transport.get_extra_info("socket")).fileno()

    def write(self, frames: bytes) -> None:
        """Send complete frames."""
        if self._protocol.state is State.OPEN:
            self._transport.write(frames)

    async def drained(self) -> None:
        """Return when nothing is buffered."""
        while self._protocol.state is State.OPEN and self.buffered:
            self._drained = self._drained or asyncio.Event()
            await self._drained.wait()
        if self._protocol.state is not State.OPEN:
            raise SocketClosed

    def allow_large_messages(self) -> None:
        """Accept messages of the full size from now on."""
        self._max_message = None

    async def receive(self) -> str | bytes:
        """The next message."""
        while not self._messages or self._closing is not None:
            if self._protocol.state is not State.OPEN:
                raise SocketClosed
            self._receiving = asyncio.get_running_loop().create_future()
            try:
                await self._receiving
            finally:
                self._receiving = None
        message = self._messages.pop(0)
        if not self._messages:
            self._messages = None
            self._resume()
        return message

    async def close(self, code: int, reason: str) -> None:
        """Close, and abort the connection if the client does not answer the close frame in time."""
        if self._gone:
            return
        self._release_descriptor()
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason.encode()[:MAX_REASON].decode(errors="ignore"))
            self._send()
        self._closing = self._closing or asyncio.Event()
        self._messages = None
        self._wake()
        self._resume()  # otherwise the client's own close frame is never read
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await self._closing.wait()
        except TimeoutError:
            self._transport.abort()

    # The callbacks of the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client has connected."""
        self._transport = cast("asyncio.Transport", transport)
        # With this limit `pause_writing` and `resume_writing` say exactly whether anything is buffered.
        self._transport.set_write_buffer_limits(high=0)
        self._deadline = asyncio.get_running_loop().call_later(OPEN_WITHIN_S, self.give_up_opening)
        self._owner.came(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the size that the loop proposes; less is read at once
        """Return the buffer that the loop reads into."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Parse the bytes that have arrived."""
        self._protocol.receive_data(bytes(self._buffer[:nbytes]))
        self._advance()
        self._bound(len(self._protocol.reader.buffer) + len(self._partial or b""))
        if self.buffered > self._owner.max_unread:
            log.info("client disconnected: it does not read the answers to its frames")
            self._transport.abort()
        elif nbytes == READ_AT_ONCE:
            self._transport.pause_reading()  # the loop would read on at once
            self._owner.read_on_later(self)

    def eof_received(self) -> None:
        """The client sends no more. The transport closes once its buffer is written, or `close` aborts it."""
        self._protocol.receive_eof()
        self._advance()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the cause does not matter
        """The connection is closed."""
        self._gone = True
        self._protocol.receive_eof()
        self._end_deadline()
        self._release_descriptor()  # before it is closed: its number may become another connection's
        self._wake()
        if self._closing is not None:
            self._closing.set()
        self._owner.went(self)

    def pause_writing(self) -> None:
        """The transport has begun to buffer bytes."""
        self._notify_owner(may_send=False)

    def resume_writing(self) -> None:
        """The transport has no bytes buffered any more."""
        self._notify_owner(may_send=True)
        self._wake_drained()

    # Used by both.

    def give_up_opening(self) -> None:
        """Abort the connection if the handshake is not done."""
        if self._protocol.state is State.CONNECTING:
            self._transport.abort()

    def read_on(self) -> None:
        """Read again, unless enough messages wait for `receive`."""
        if not (self._paused or self._transport.is_closing()):
            self._transport.resume_reading()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self.read_on()

    def _advance(self) -> None:
        """Handle the events that the protocol has parsed."""
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._open(event)
            elif isinstance(event, Frame):
                self._take(event)
        self._send()
        if self._protocol.state is not State.OPEN:
            self._release_descriptor()
            self._wake()

    def _open(self, request: Request) -> None:
        if self._protocol.eof_sent:  # malformed bytes followed the request, so it cannot be answered
            self._transport.abort()
            return
        if request.path.partition("?")[0] == PATH:
            response = self._protocol.accept(request)
        else:
            response = self._protocol.reject(404, f"WebSockets are served at {PATH}\n")
        self._protocol.send_response(response)
        if self._protocol.state is State.OPEN:
            self._end_deadline()
            self.authorization = request.headers.get("Authorization")
            request.headers.clear()  # the protocol keeps the request, and nothing reads the headers again
            self._owner.opened(self)

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _take(self, frame: Frame) -> None:
        """Assemble messages from fragments, whose order the protocol has checked."""
        if frame.opcode not in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT} or self._closing is not None:
            return
        if frame.opcode is not Opcode.CONT:
            self._kind, self._partial, self._fragments = frame.opcode, bytearray(), 0
        partial = self._partial if self._partial is not None else bytearray()
        partial += frame.data
        self._fragments += 1
        if frame.fin:
            self._partial = None
            self._receive(bytes(partial))
        elif self._fragments >= MOST_FRAGMENTS:
            self._protocol.fail(CloseCode.TOO_BIG, f"a message of more than {MOST_FRAGMENTS} fragments")

    def _bound(self, size: int) -> bool:
        """Return whether a message may have so many bytes now; if not, close the connection with 1009."""
        if self._max_message is None or size <= self._max_message:
            return True
        if self._protocol.state is State.OPEN:
            self._protocol.fail(CloseCode.TOO_BIG, f"more than {self._max_message} bytes before auth.ok")
            self._send()
        return False

    def _receive(self, whole: bytes) -> None:
        if not self._bound(len(whole)):
            return
        try:
            message: str | bytes = whole.decode() if self._kind is Opcode.TEXT else whole
        except UnicodeDecodeError as error:
            self._protocol.fail(CloseCode.NOT_TEXT, f"{error.reason} at position {error.start}")
            return
        self._messages = self._messages or []
        self._messages.append(message)
        self._wake()
        enough = len(self._messages) > MESSAGES_READ_AHEAD or sum(map(len, self._messages)) > BYTES_READ_AHEAD
        if enough and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _send(self) -> None:
        if written := self._protocol.data_to_send():
            if data := b"".join(written):  # many pings are answered in one write
                self._transport.write(data)
            if not written[-1] and self._transport.can_write_eof():
                self._transport.write_eof()
        if self._protocol.close_expected() and self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(CLOSE_WITHIN_S, self._transport.abort)

    def _wake_drained(self) -> None:
        if self._drained is not None:
            self._drained.set()
            self._drained = None

    def _wake(self) -> None:
        if self._receiving is not None and not self._receiving.done():
            self._receiving.set_result(None)

    def _release_descriptor(self) -> None:
        """Notify the owner of the acquired descriptor that nothing may be sent on it any more."""
        self._wake_drained()
        self._notify_owner(may_send=False)
        self._on_change = None

    def _notify_owner(self, *, may_send: bool) -> None:
        if self._on_change is not None:
            self._on_change(may_send)
