"""Opening WebSockets by plain sockets: the handshake, the first frame, and the wait for its answer."""

import select
import socket
from typing import Final

import msgspec

from benchmarks.errors import BenchError
from benchmarks.live.sockets.checking import FINAL_TEXT, frame_at
from benchmarks.population import user_name
from services.runtime.tokens import sign

AT_ONCE: Final = 128
"""Handshakes that are under way: far fewer than the servers let wait."""
STALLED_AFTER_S: Final = 20.0
_READ: Final = 4096
_SHORT: Final = 126
_MASKED: Final = 0x80
_TOKEN_TTL_S: Final = 24 * 3600.0
_END_OF_HEADERS: Final = b"\r\n\r\n"
_SWITCHED: Final = b"HTTP/1.1 101 "
_ADMITTED: Final = b'{"type":"auth.ok"'
_REQUEST: Final = (
    b"GET /ws?number=%d HTTP/1.1\r\n"
    b"Host: 127.0.0.1:%d\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"User-Agent: fanout-bench\r\n\r\n"
)


def number_of(path: str) -> int:
    """Which socket a request is of."""
    return int(path.rpartition("=")[2])


class Opener:
    """Opens connections, many at a time.

    Args:
        source: the address that they come from; each has ports of its own.
        port: of the server, on 127.0.0.1.
        secret: that tokens are signed with; None where the server asks for no first frame.
    """

    def __init__(self, source: str, port: int, secret: str | None) -> None:
        self._source = source
        self._port = port
        self._secret = secret
        self._poll = select.epoll()
        self._under_way: dict[int, _Handshake] = {}

    def open(self, first: int, count: int) -> list[socket.socket]:
        """Connections for the sockets from number `first` on, in order, each admitted.

        Raises:
            BenchError: one was refused, or there is no descriptor or port for it.
        """
        opened = []
        for number in range(first, first + count):
            while len(self._under_way) >= AT_ONCE:
                self._step()
            opened.append(self._begin(number))
        while self._under_way:
            self._step()
        self._poll.close()
        return opened

    def _begin(self, number: int) -> socket.socket:
        try:
            connected = socket.socket()
            connected.setsockopt(socket.IPPROTO_IP, _BIND_WITHOUT_PORT, 1)
            connected.bind((self._source, 0))
            connected.connect(("127.0.0.1", self._port))
        except OSError as error:
            raise BenchError(f"connection {number + 1} cannot be opened: {error}") from error
        connected.settimeout(0)
        connected.send(_REQUEST % (number, self._port))
        first_frame = None if self._secret is None else _auth(number, self._secret)
        self._under_way[connected.fileno()] = _Handshake(connected, first_frame)
        self._poll.register(connected, select.EPOLLIN)
        return connected

    def _step(self) -> None:
        events = self._poll.poll(STALLED_AFTER_S)
        if not events:
            raise BenchError(f"{len(self._under_way)} connections were not admitted within {STALLED_AFTER_S:g} s")
        for descriptor, _ in events:
            if self._under_way[descriptor].advance():
                self._poll.unregister(descriptor)
                del self._under_way[descriptor]


class _Handshake:
    def __init__(self, connected: socket.socket, first_frame: bytes | None) -> None:
        self._connected = connected
        self._first_frame = first_frame
        self._received = b""
        self._switched = False

    def advance(self) -> bool:
        """Take what came; whether the connection is admitted."""
        try:
            came = self._connected.recv(_READ)
        except ConnectionError as error:
            raise BenchError(f"a connection was cut in the handshake: {error}") from error
        if not came:
            raise BenchError(f"a connection was closed in the handshake, after {self._received!r}")
        self._received += came
        if not self._switched and not self._switch():
            return False
        return self._first_frame is None or self._is_admitted()

    def _switch(self) -> bool:
        headers, end, rest = self._received.partition(_END_OF_HEADERS)
        if end and not headers.startswith(_SWITCHED):
            raise BenchError(f"a handshake was refused: {headers.decode(errors='replace')}")
        if end:
            self._received, self._switched = rest, True
            if self._first_frame:
                self._connected.send(self._first_frame)
        return self._switched

    def _is_admitted(self) -> bool:
        start, end = frame_at(self._received, 0)
        if end > len(self._received):
            return False
        if self._received[0] != FINAL_TEXT or not self._received.startswith(_ADMITTED, start):
            raise BenchError(f"a client was not admitted: {self._received!r}")
        return True


_BIND_WITHOUT_PORT: Final = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
"""The port is chosen when it connects, so that one may serve for several servers. Python 3.11 has no name for it."""


def _auth(number: int, secret: str) -> bytes:
    token = sign(secret, user_name(number), _TOKEN_TTL_S)
    frame = {"type": "auth", "token": token, "device_id": f"dev_web_{number:026d}"}
    return _masked(msgspec.json.encode(frame))


def _masked(payload: bytes) -> bytes:
    """A client's text frame; the mask is zero, which leaves the bytes as they are."""
    length = len(payload)
    if length < _SHORT:
        header = bytes([FINAL_TEXT, _MASKED | length])
    else:
        header = bytes([FINAL_TEXT, _MASKED | _SHORT]) + length.to_bytes(2)
    return header + bytes(4) + payload
