"""Many WebSockets in one process: opening them, and reading them with as little work as Python allows."""

import math
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from benchmarks.errors import BenchError
from benchmarks.population import user_name
from benchmarks.processes import Leader
from services.runtime.tokens import sign

_TEXT: Final = 0x81
"""A whole text message in one frame."""
_MASKED: Final = 0x80
_SHORT: Final = 126
_LENGTH_BYTES: Final = {126: 2, 127: 8}
_NO_MASK: Final = bytes(4)
"""A mask that changes nothing: the protocol wants one from clients."""

Chunk = tuple[int, bytes]
"""When it was read, in nanoseconds, and what."""
Frame = tuple[bytes, int]
"""The payload of a text frame, and when its last byte was read."""


def client_frame(payload: bytes) -> bytes:
    """A client's text frame of less than 64 KiB."""
    length = len(payload)
    size = bytes([_MASKED | length]) if length < _SHORT else bytes([_MASKED | _SHORT]) + length.to_bytes(2)
    return bytes([_TEXT]) + size + _NO_MASK + payload


def frames_in(chunks: Iterable[Chunk]) -> Iterator[Frame]:
    """The text frames that a client read.

    Raises:
        BenchError: the server closed the connection, or the last frame is cut.
    """
    rest = b""
    for moment, data in chunks:
        buffer, at = (rest + data if rest else data), 0
        while (bounds := frame_at(buffer, at)) is not None:
            begin, end = bounds
            if buffer[at] != _TEXT:
                raise BenchError(f"no text frame came, but {buffer[at:end]!r}")
            yield buffer[begin:end], moment
            at = end
        rest = buffer[at:]
    if rest:
        raise BenchError(f"the last frame is cut after {len(rest)} bytes")


def frame_at(buffer: bytes, at: int) -> tuple[int, int] | None:
    """Where the payload of the frame at an index begins and ends; None if it is not all there."""
    begin = at + 2
    if len(buffer) < begin:
        return None
    length = buffer[at + 1]
    if length >= _SHORT:
        width = _LENGTH_BYTES[length]
        length, begin = int.from_bytes(buffer[begin : begin + width]), begin + width
    return (begin, begin + length) if len(buffer) >= begin + length else None


AT_ONCE: Final = 128
"""The most handshakes under way at once: far fewer than servers let wait."""
STALLED_AFTER_S: Final = 20.0
_PER_ADDRESS: Final = 10_000
"""Clients from one address of the loopback, each of which has some 28,000 ports."""
_HANDSHAKE_BYTES: Final = 4096
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
            came = self._connected.recv(_HANDSHAKE_BYTES)
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


QUIET_S: Final = 0.03
"""After the last byte that was due: what was sent twice would have come by then."""
_READ: Final = 1 << 18
_EVENTS: Final = 4096
_EDGE: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
"""The kernel reports bytes once. Otherwise it would be asked again for each socket until that is empty."""


class SocketReader:
    """Counts bytes by socket, notes when each round of them is complete, and keeps them where they are checked later.

    Args:
        leader: reading ends when it has sent a message.
        signals: the address of a socket that gets a datagram for each complete round.
        nap_s: seconds to sleep after each look at the sockets. A client that waits for every single frame is woken for
            it by the server's own system call; clients on other machines do not cost the server that.
    """

    def __init__(self, leader: Leader, signals: str | None = None, *, nap_s: float = 0.0) -> None:
        self._signals = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        if signals is not None:
            self._signals.connect(signals)
        self._reports = signals is not None
        self._nap_s = nap_s
        self._leader = leader.fileno()
        self._poll = select.epoll()
        self._poll.register(self._leader, select.EPOLLIN)
        self._buffer = bytearray(_READ)
        self._receivers: dict[int, Callable[[bytearray], int]] = {}
        self._counts: dict[int, int] = {}
        self._kept: dict[int, list[Chunk]] | None = None
        self._complete_at: list[int] = []
        self._total = 0
        self._round_bytes = 0

    def add(self, sockets: Sequence[socket.socket]) -> None:
        """Read these too."""
        for each in sockets:
            self._receivers[each.fileno()] = each.recv_into
            self._poll.register(each, _EDGE)

    def begin(self, round_bytes: int = 0, *, keep: bool) -> None:
        """Count from 0.

        Args:
            round_bytes: of all sockets together; 0 where there are no rounds.
            keep: whether the bytes are kept, with the time at which they were read.
        """
        self._round_bytes = round_bytes
        self._total = 0
        self._complete_at = []
        self._counts = dict.fromkeys(self._receivers, 0)
        self._kept = {each: [] for each in self._receivers} if keep else None

    def until_message(self) -> None:
        """Read until the benchmark sends a message.

        Raises:
            BenchError: a connection was cut.
        """
        while not self._take(None):
            pass

    def until_quiet(self, quiet_s: float) -> None:
        """Read until nothing has come for some seconds.

        Raises:
            BenchError: a connection was cut.
            EOFError: the benchmark has gone.
        """
        before = -1
        while self._total != before:
            before = self._total
            if self._take(quiet_s):
                raise EOFError

    def until_complete(self, rounds: int) -> list[int]:
        """Read until all rounds are complete, and a moment longer.

        Returns:
            When each was complete, in nanoseconds of CLOCK_MONOTONIC.

        Raises:
            BenchError: something is missing, or more came than was due.
            EOFError: the benchmark has gone.
        """
        due = rounds * self._round_bytes
        while self._total < due:
            before = self._total
            if self._take(STALLED_AFTER_S):
                raise EOFError
            if self._total == before:
                raise BenchError(f"of {due:,} bytes that were due {self._total:,} came, and no more in a while")
        self._take(QUIET_S)
        if self._total > due:
            raise BenchError(f"{due:,} bytes were due, and {self._total:,} came: something came twice")
        return self._complete_at

    def require_each(self, due: int) -> None:
        """Compare the bytes of each socket with what was due to each.

        Raises:
            BenchError: one got more, or fewer.
        """
        for each, count in self._counts.items():
            if count != due:
                raise BenchError(f"{due:,} bytes were due to each socket, and one ({each}) got {count:,}")

    def kept(self, of: socket.socket) -> list[Chunk]:
        """What a socket got since `begin`, where it was kept."""
        return (self._kept or {})[of.fileno()]

    def _take(self, within_s: float | None) -> bool:
        """Read what is there, or wait for it; whether the benchmark has sent a message."""
        try:
            asked = self._read(self._poll.poll(within_s, _EVENTS))
        except ConnectionError as error:
            raise BenchError(f"a connection was cut: {error}") from error
        if self._nap_s and not asked:
            time.sleep(self._nap_s)
        return asked

    def _read(self, ready: list[tuple[int, int]]) -> bool:
        receivers, counts, buffer, kept = self._receivers, self._counts, self._buffer, self._kept
        total, complete = self._total, self._complete_with(len(self._complete_at) + 1)
        asked, clock = False, time.monotonic_ns
        for descriptor, event in ready:
            if descriptor == self._leader:
                asked = True
                continue
            if event != select.EPOLLIN:
                raise BenchError("the server closed a connection")
            count = receivers[descriptor](buffer)
            if count == _READ:
                self._poll.modify(descriptor, _EDGE)  # there may be more, which the kernel would not report
            counts[descriptor] += count
            total += count
            if kept is not None:
                kept[descriptor].append((clock(), bytes(memoryview(buffer)[:count])))
            while total >= complete:
                self._complete()
                complete = self._complete_with(len(self._complete_at) + 1)
        self._total = total
        return asked

    def _complete_with(self, rounds: int) -> float:
        """The bytes after which so many rounds are complete."""
        return rounds * self._round_bytes if self._round_bytes else math.inf

    def _complete(self) -> None:
        self._complete_at.append(time.monotonic_ns())
        if self._reports:
            self._signals.send(b".")
