"""A client of nats-server that does as little work as it can, so that it is not what is measured."""

import select
import socket
import time
from collections.abc import Callable, Iterable
from typing import Final

from benchmarks.errors import BenchError
from benchmarks.processes import Worker

_STALLED_S: Final = 30.0
_CONNECT: Final = b'CONNECT {"verbose":false,"pedantic":false,"lang":"bench","version":"1","headers":true}\r\n'

OnMessage = Callable[[bytes, bytes], None]
"""Called with the subject and the payload of each message."""


def cut(buffer: bytes, on_message: OnMessage, on_line: Callable[[bytes], None]) -> bytes:
    """Hand on the whole messages (without headers) and other lines of what the server sent; the rest is returned."""
    at = 0
    while (end := buffer.find(b"\r\n", at)) >= 0:
        begin = end + 2
        if buffer.startswith(b"MSG ", at):
            words = buffer[at:end].split(b" ")
            end = begin + int(words[-1])
            if len(buffer) < end + 2:
                break
            on_message(words[1], buffer[begin:end])
            begin = end + 2
        else:
            on_line(buffer[at:end])
        at = begin
    return buffer[at:]


class NatsClient:
    """A blocking connection to the server on a port of 127.0.0.1.

    All calls raise a `BenchError` when the server complains, has gone, or does not answer.
    """

    def __init__(self, port: int, on_message: OnMessage) -> None:
        self._on_message, self._rest, self._pongs = on_message, b"", 0
        self.received_at = 0
        """When the last bytes were read, in nanoseconds of CLOCK_MONOTONIC."""
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send, self.close = self._socket.sendall, self._socket.close
        self.send(_CONNECT)

    def subscribe(self, subjects: Iterable[str]) -> None:
        """Subscribe, and return when the server has done it."""
        self.send(b"".join(b"SUB %b %d\r\n" % (subject.encode(), at) for at, subject in enumerate(subjects, 1)))
        self.flush()

    def flush(self) -> None:
        """Return when the server has done all that was sent, and when all that it sent before was read."""
        wanted = self._pongs + 1
        self.send(b"PING\r\n")
        self.read_until(lambda: self._pongs == wanted)

    def read(self, within_s: float) -> bool:
        """Read once, and hand the messages on; whether there was something to read in time."""
        if not select.select([self._socket], [], [], within_s)[0]:
            return False
        data = self._socket.recv(1 << 18)
        self.received_at = time.monotonic_ns()
        if not data:
            raise BenchError("nats-server closed the connection")
        self._rest = cut(self._rest + data, self._on_message, self._on_line)
        return True

    def read_until(self, done: Callable[[], bool]) -> None:
        """Read until something is so."""
        while not done():
            if not self.read(_STALLED_S):
                raise BenchError(f"nats-server did not answer within {_STALLED_S:.0f} s")

    def read_until_message(self, worker: Worker) -> None:
        """Read until a worker has sent a message."""
        sources = [self._socket.fileno(), worker.fileno()]
        while worker.fileno() not in (ready := select.select(sources, [], [], _STALLED_S)[0]):
            if not ready:
                raise BenchError(f"nothing came for {_STALLED_S:.0f} s")
            self.read(0)

    def _on_line(self, line: bytes) -> None:
        if line == b"PING":
            self.send(b"PONG\r\n")
        elif line == b"PONG":
            self._pongs += 1
        elif line.startswith(b"-ERR"):
            raise BenchError(f"nats-server: {line.decode()}")
