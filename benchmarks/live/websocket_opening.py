"""Opening many WebSockets by plain sockets: the handshake, the first frame, and the wait for its answer."""

import select
import socket
from collections.abc import Iterable
from typing import Final

import msgspec

from benchmarks.errors import BenchError
from benchmarks.live.websocket_frames import client_frame, frame_at
from benchmarks.population import user_name
from services.runtime.tokens import sign

AT_ONCE: Final = 128
"""The most handshakes under way at once: far fewer than servers let wait."""
STALLED_AFTER_S: Final = 20.0
_PER_ADDRESS: Final = 10_000
"""Clients from one address of the loopback, each of which has some 28,000 ports."""
_READ: Final = 4096
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
_BIND_WITHOUT_PORT: Final = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
"""The port is chosen at connect, so that one can serve for several servers. Python 3.11 has no name for it."""


def number_of(path: str) -> int:
    """Which client a request is from."""
    return int(path.rpartition("=")[2])


class Opener:
    """Opens WebSockets, many at a time.

    Args:
        secret: signs the tokens; None where the server expects no first frame.
    """

    def __init__(self, secret: str | None) -> None:
        self._secret = secret
        self._poll = select.epoll()
        self._under_way: dict[int, _Handshake] = {}

    def open(self, clients: Iterable[tuple[int, int]]) -> list[socket.socket]:
        """Open a WebSocket for each client, given as its number and the server's port on 127.0.0.1.

        Returns:
            The sockets, in order; each is admitted.

        Raises:
            BenchError: one was refused, or there is no descriptor or port for it.
        """
        opened = []
        for number, port in clients:
            while len(self._under_way) >= AT_ONCE:
                self._step()
            opened.append(self._begin(number, port))
        while self._under_way:
            self._step()
        self._poll.close()
        return opened

    def _begin(self, number: int, port: int) -> socket.socket:
        try:
            connected = socket.socket()
            connected.setsockopt(socket.IPPROTO_IP, _BIND_WITHOUT_PORT, 1)
            connected.bind((f"127.0.0.{2 + number // _PER_ADDRESS}", 0))
            connected.connect(("127.0.0.1", port))
        except OSError as error:
            raise BenchError(f"connection {number + 1} cannot be opened: {error}") from error
        connected.settimeout(0)
        connected.send(_REQUEST % (number, port))
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
        """Read what came; whether the client is admitted."""
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
        bounds = frame_at(self._received, 0)
        if bounds is not None and not self._received.startswith(_ADMITTED, bounds[0]):
            raise BenchError(f"a client was not admitted: {self._received!r}")
        return bounds is not None


def _auth(number: int, secret: str) -> bytes:
    token = sign(secret, user_name(number), _TOKEN_TTL_S)
    return client_frame(msgspec.json.encode({"type": "auth", "token": token, "device_id": f"dev_web_{number:026d}"}))
