"""A client of nats-server that does as little work as it can, so that it is not what is measured."""

import select
import socket
import time
from collections.abc import Callable, Iterable
from typing import Final

from benchmarks.errors import BenchError
from benchmarks.processes import Leader

ANSWER_WITHIN_S: Final = 30.0
_END: Final = b"\r\n"
_CONNECT: Final = b'CONNECT {"verbose":false,"pedantic":false,"lang":"bench","version":"1","headers":true}\r\n'
_BLOCK: Final = 1 << 18

OnMessage = Callable[[bytes, bytes], None]
"""Called with the subject and the payload of each message."""


class Parser:
    """Cuts the server's bytes into messages, and into the other lines of the protocol."""

    def __init__(self, on_message: OnMessage, on_line: Callable[[bytes], None]) -> None:
        self._on_message = on_message
        self._on_line = on_line
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take bytes, cut anywhere; messages must have no headers."""
        buffer, at = (self._rest + data if self._rest else data), 0
        while (end := buffer.find(_END, at)) >= 0:
            begin = end + len(_END)
            if buffer.startswith(b"MSG ", at):
                words = buffer[at:end].split(b" ")
                end = begin + int(words[-1])
                if len(buffer) < end + len(_END):
                    break
                self._on_message(words[1], buffer[begin:end])
                begin = end + len(_END)
            else:
                self._on_line(buffer[at:end])
            at = begin
        self._rest = buffer[at:]


class NatsClient:
    """A blocking connection to the server on a port of 127.0.0.1."""

    def __init__(self, port: int, on_message: OnMessage) -> None:
        self._parser = Parser(on_message, self._on_line)
        self._pongs = 0
        self.received_at = 0
        """When the last bytes were read, in nanoseconds of CLOCK_MONOTONIC."""
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send(_CONNECT)

    def send(self, commands: bytes) -> None:
        """Send encoded commands; blocks until the kernel has taken them."""
        self._socket.sendall(commands)

    def subscribe(self, subjects: Iterable[str]) -> None:
        """Subscribe, and return when the server has done it."""
        self.send(b"".join(b"SUB %b %d\r\n" % (subject.encode(), at) for at, subject in enumerate(subjects, 1)))
        self.flush()

    def flush(self) -> None:
        """Return when the server has done all that was sent, and when all that it sent before was read.

        Raises:
            BenchError: it does not answer, complained, or has gone.
        """
        before = self._pongs
        self.send(b"PING\r\n")
        while self._pongs == before:
            if not self.read(ANSWER_WITHIN_S):
                raise BenchError(f"nats-server did not answer within {ANSWER_WITHIN_S:.0f} s")

    def read(self, within_s: float) -> bool:
        """Read once, and hand the messages on; whether there was something to read in time.

        Raises:
            BenchError: the server complained, or has gone.
        """
        if not select.select([self._socket], [], [], within_s)[0]:
            return False
        data = self._socket.recv(_BLOCK)
        self.received_at = time.monotonic_ns()
        if not data:
            raise BenchError("nats-server closed the connection")
        self._parser.feed(data)
        return True

    def read_until_message(self, leader: Leader) -> None:
        """Read until the benchmark sends a message."""
        sources = [self._socket.fileno(), leader.fileno()]
        while leader.fileno() not in (ready := select.select(sources, [], [])[0]):
            if ready:
                self.read(0)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _on_line(self, line: bytes) -> None:
        if line == b"PING":
            self.send(b"PONG\r\n")
        elif line == b"PONG":
            self._pongs += 1
        elif line.startswith(b"-ERR"):
            raise BenchError(f"nats-server: {line.decode()}")
