"""Many WebSockets in one process: opening them, and reading them with as little work as Python allows."""

import gc
import math
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Concatenate, Final, NamedTuple, ParamSpec, TypeVar

import msgspec
from websockets.frames import Frame, Opcode

from benchmarks.errors import BenchError
from benchmarks.population import user_name
from benchmarks.processes import Leader
from services.runtime.tokens import sign

AT_ONCE: Final = 128
"""The most handshakes under way at once: far fewer than servers let wait."""
STALLED_AFTER_S: Final = 20.0
_PER_ADDRESS: Final = 5_000
"""Clients from one address of the loopback, each of which has some 28,000 ports."""
_IP_BIND_ADDRESS_NO_PORT: Final = 24
"""See ip(7); Python has no name for it before 3.12."""
_TOKEN_TTL_S: Final = 24 * 3600.0
_REQUEST: Final = (
    b"GET /ws?number=%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nUser-Agent: fanout-bench\r\n\r\n"
)
_TEXT: Final = 0x81
"""A whole text message in one frame."""
_SHORT: Final = 126
"""Lengths from here on follow in bytes of their own: two, or eight where this one is 127."""
_READ: Final = 1 << 18
_EVENTS: Final = 4096
_EDGE: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
"""The kernel reports bytes once. Otherwise it would be asked again for each socket until that is empty."""
_QUIET_S: Final = 0.03
"""After the last byte that was due: a byte that was sent twice would have come by then."""

Chunk = tuple[int, bytes]
"""When it was read, in nanoseconds, and what."""
P = ParamSpec("P")
R = TypeVar("R")


def open_sockets(numbers: Sequence[int], port: int, secret: str | None) -> list[socket.socket]:
    """Open a WebSocket for each client; all are admitted.

    Args:
        numbers: one for each client.
        port: of the server on 127.0.0.1.
        secret: signs the tokens; None where the server expects no first frame.

    Raises:
        BenchError: one was refused, or there is no descriptor or port for it.
    """
    opened: list[socket.socket] = []
    for start in range(0, len(numbers), AT_ONCE):
        try:
            opened += _open_batch(numbers[start : start + AT_ONCE], port, secret)
        except OSError as error:
            raise BenchError(f"no more than {len(opened)} connections were opened: {error}") from error
    return opened


def _open_batch(numbers: Sequence[int], port: int, secret: str | None) -> list[socket.socket]:
    sockets = [_request(number, port) for number in numbers]
    for number, each in zip(numbers, sockets, strict=True):
        _await(each, b"HTTP/1.1 101 ", b"\r\n\r\n")
        if secret:
            token = sign(secret, user_name(number), _TOKEN_TTL_S)
            auth = msgspec.json.encode({"type": "auth", "token": token, "device_id": f"dev_web_{number:026d}"})
            each.sendall(Frame(Opcode.TEXT, auth).serialize(mask=True))
    for each in sockets:
        if secret:
            _await(each, b'{"type":"auth.ok"', b"}")
        each.settimeout(0)
    return sockets


def _request(number: int, port: int) -> socket.socket:
    connected = socket.socket()
    connected.settimeout(STALLED_AFTER_S)
    # With the address alone, the kernel looks for a port at `bind`, for milliseconds where most of them are taken.
    connected.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
    connected.bind((f"127.0.0.{2 + number // _PER_ADDRESS}", 0))
    connected.connect(("127.0.0.1", port))
    connected.sendall(_REQUEST % (number, port))
    return connected


def _await(connected: socket.socket, wanted: bytes, end: bytes) -> None:
    answer = b""
    while not answer.endswith(end) and (came := connected.recv(_EVENTS)):
        answer += came
    if wanted not in answer or not answer.endswith(end):
        raise BenchError(f"a client was not admitted: {answer!r}")


def frames_in(chunks: Iterable[Chunk]) -> Iterator[tuple[bytes, int]]:
    """The payloads of the text frames that a client read, and when the last byte of each was read.

    Raises:
        BenchError: the server closed the connection, or the last frame is cut.
    """
    rest = b""
    for moment, data in chunks:
        buffer, at = rest + data, 0
        while True:
            begin, end = _payload_bounds(buffer, at)
            if end > len(buffer):
                break
            if buffer[at] != _TEXT:
                raise BenchError(f"no text frame came, but {buffer[at:end]!r}")
            yield buffer[begin:end], moment
            at = end
        rest = buffer[at:]
    if rest:
        raise BenchError(f"the last frame is cut after {len(rest)} bytes")


def _payload_bounds(buffer: bytes, at: int) -> tuple[int, int]:
    """Where the payload of the frame at an index begins and ends: beyond the buffer if it is not all there."""
    length, begin = int.from_bytes(buffer[at + 1 : at + 2]), at + 2
    if length >= _SHORT:
        width = 2 if length == _SHORT else 8
        length, begin = int.from_bytes(buffer[begin : begin + width]), begin + width
    return begin, begin + length


class ClientSettings(NamedTuple):
    """The clients of a process, and how it reads their sockets."""

    first: int = 0
    """The number of the first client; the others follow it."""
    secret: str | None = None
    """Signs the tokens; None where the server expects no first frame."""
    nap_s: float = 0.0
    """Seconds to sleep after each look at the sockets. A client that waits for every single frame is woken for it by
    the server's own system call; clients on other machines do not cost the server that."""


def run_clients(settings: ClientSettings, leader: Leader) -> None:
    """Serve `Clients` to the benchmark, and read the sockets meanwhile."""
    gc.disable()
    clients = Clients(settings, leader)
    leader.serve(clients, wait=clients.until_message)


class Clients:
    """Counts bytes by socket, notes when each round of them is complete, and keeps them where they are checked later.

    Reading raises a `BenchError` when a connection was closed, and an `EOFError` when the benchmark has gone or has
    sent a message.
    """

    def __init__(self, settings: ClientSettings, leader: Leader) -> None:
        self._settings, self._leader, self._poll = settings, leader.fileno(), select.epoll()
        self._poll.register(self._leader, select.EPOLLIN)
        self._buffer = bytearray(_READ)
        self._sockets: dict[int, socket.socket] = {}
        self.begin()

    def connect(self, port: int, count: int) -> None:
        """Open more connections to a server."""
        first = self._settings.first + len(self._sockets)
        self.add(open_sockets(range(first, first + count), port, self._settings.secret))

    def add(self, sockets: Sequence[socket.socket]) -> None:
        """Read these too, after the next `begin`."""
        for each in sockets:
            self._sockets[each.fileno()] = each
            self._poll.register(each, _EDGE)

    def begin(self, round_bytes: int = 0, *, keep: bool = False) -> None:
        """Count from 0: rounds of so many bytes of all sockets, if any; all that is read is kept if `keep` says so."""
        self._round_bytes, self._total = round_bytes, 0
        self._complete_with: float = round_bytes or math.inf  # the bytes of the next round and all before
        self._complete_at: list[int] = []
        self._counts = dict.fromkeys(self._sockets, 0)
        self._kept: dict[int, list[Chunk]] | None = {each: [] for each in self._sockets} if keep else None

    def until_message(self) -> None:
        """Read until the benchmark sends a message."""
        while not self._take(-1):
            pass

    def until_quiet(self, quiet_s: float) -> None:
        """Read until nothing has come for some seconds."""
        while self._read_more(quiet_s):
            pass

    def until_complete(self, rounds: int) -> list[int]:
        """Read until so many rounds are complete; when each was, in nanoseconds of CLOCK_MONOTONIC.

        Raises:
            BenchError: nothing more came for a while.
        """
        due = rounds * self._round_bytes
        while self._total < due:
            if not self._read_more(STALLED_AFTER_S):
                raise BenchError(f"of {due:,} bytes that were due {self._total:,} came, and no more in a while")
        return self._complete_at

    def check_complete(self, rounds: int) -> None:
        """Read for a moment, and check that no more came than these rounds, and that each socket got as much.

        Raises:
            BenchError: a socket got more or less than the others.
        """
        due = rounds * self._round_bytes
        self._take(_QUIET_S)
        if self._total > due:
            raise BenchError(f"{due:,} bytes were due, and {self._total:,} came: something came twice")
        for each, count in self._counts.items():
            if count * len(self._counts) != due:
                raise BenchError(f"as many bytes were due to each socket, and one ({each}) got {count:,} of {due:,}")

    def apply(self, function: Callable[Concatenate[list[list[Chunk]], P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function with what each socket got since `begin`, which was kept."""
        return function(list((self._kept or {}).values()), *args, **kwargs)

    def _read_more(self, within_s: float) -> bool:
        """Read what is there, or wait for it; whether anything came in time."""
        before = self._total
        if self._take(within_s):
            raise EOFError
        return self._total > before

    def _take(self, within_s: float) -> bool:
        """Read what is there, or wait for it; whether the benchmark has sent a message."""
        sockets, counts, buffer, kept, total = self._sockets, self._counts, self._buffer, self._kept, self._total
        asked, clock = False, time.monotonic_ns
        for descriptor, event in self._poll.poll(within_s, _EVENTS):
            if descriptor == self._leader:
                asked = True
                continue
            if event != select.EPOLLIN:
                raise BenchError("the server closed a connection")
            count = sockets[descriptor].recv_into(buffer)
            if count == _READ:
                self._poll.modify(descriptor, _EDGE)  # there may be more, which the kernel would not report
            counts[descriptor] += count
            total += count
            if kept is not None:
                kept[descriptor].append((clock(), bytes(memoryview(buffer)[:count])))
            while total >= self._complete_with:
                self._complete_at.append(clock())
                self._complete_with += self._round_bytes
        self._total = total
        if self._settings.nap_s and not asked:
            time.sleep(self._settings.nap_s)
        return asked
