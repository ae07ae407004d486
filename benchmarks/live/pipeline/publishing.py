"""The generator of messages: an open loop, which sends when a message is due, whatever became of those before it."""

import gc
import select
import socket
import time
from array import array
from typing import Final

import msgspec

from benchmarks.errors import BenchError
from benchmarks.live.feed import Feed
from benchmarks.live.parts import Stage
from benchmarks.live.wire import GREETING, Parser

_INBOX: Final = "bench.accepted"
_NS: Final = 1_000_000_000
_ACCEPTED_WITHIN_S: Final = 20.0
_BLOCK: Final = 1 << 16


class PublishSettings(msgspec.Struct, frozen=True):
    """What is sent, and how often."""

    port: int
    """Of nats-server."""
    feed: Feed
    rate: float
    """Messages per second, at equal distances."""


class Published(msgspec.Struct, frozen=True):
    """When; nanoseconds of the clock that all processes of a machine share, by event, from the first."""

    sent: bytes
    """Signed, eight bytes each, as the next."""
    accepted: bytes
    """When the log's word came that it holds the event: what a user is told by 202. 0 where it refused."""

    def sent_at(self) -> "array[int]":
        """As an array."""
        return array("q", self.sent)

    def accepted_at(self) -> "array[int]":
        """As an array."""
        return array("q", self.accepted)

    def refused(self) -> list[int]:
        """The numbers of the events that the log did not take."""
        return [number for number, moment in enumerate(self.accepted_at(), 1) if not moment]


def publish(settings: PublishSettings, stage: Stage) -> Published:
    """Wait for the cue, which says when to begin, and send.

    Raises:
        BenchError: the server is gone, or does not answer.
    """
    generator = _Generator(settings)
    gc.disable()
    stage.ready()
    generator.run(int(stage.wait()))
    return Published(generator.sent.tobytes(), generator.accepted.tobytes())


def planned_at(start: int, place: int, rate: float) -> int:
    """When an event is due, in nanoseconds.

    Args:
        start: when the first is due.
        place: of the event, from 0.
        rate: events per second.
    """
    return start + int(place * _NS / rate)


class _Generator:
    def __init__(self, settings: PublishSettings) -> None:
        self._rate = settings.rate
        self._commands = list(settings.feed.commands(_INBOX))
        self.sent = array("q", bytes(8 * len(self._commands)))
        self.accepted = array("q", bytes(8 * len(self._commands)))
        self._answers = 0
        self._now = 0
        self._parser = Parser(self._hear, self._obey)
        self._socket = socket.create_connection(("127.0.0.1", settings.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(GREETING + b"SUB %b.* 1\r\n" % _INBOX.encode())

    def run(self, start: int) -> None:
        count, done = len(self._commands), 0
        while done < count:
            due = planned_at(start, done, self._rate)
            self._listen_until(due)
            # Where this process was late, all that became due meanwhile goes at once.
            self._now = time.monotonic_ns()
            begin = done
            while done < count and planned_at(start, done, self._rate) <= self._now:
                self.sent[done] = self._now
                done += 1
            self._socket.sendall(b"".join(self._commands[begin:done]))
        self._listen_to_the_end()

    def _listen_to_the_end(self) -> None:
        deadline = time.monotonic_ns() + int(_ACCEPTED_WITHIN_S * _NS)
        while self._answers < len(self._commands):
            if time.monotonic_ns() > deadline:
                raise BenchError(f"the log did not answer for an event within {_ACCEPTED_WITHIN_S:.0f} s")
            self._listen_until(time.monotonic_ns() + _NS)

    def _listen_until(self, moment: int) -> None:
        """Hear answers as they come, until a moment has come or an answer."""
        rest = max(0, moment - time.monotonic_ns())
        if not select.select([self._socket], [], [], rest / _NS)[0]:
            return
        data = self._socket.recv(_BLOCK)
        self._now = time.monotonic_ns()
        if not data:
            raise BenchError("nats-server closed the generator's connection")
        self._parser.feed(data)

    def _hear(self, subject: bytes, answer: bytes) -> None:
        self._answers += 1
        if b'"error"' not in answer:
            self.accepted[int(subject.rpartition(b".")[2]) - 1] = self._now

    def _obey(self, line: bytes) -> None:
        if line == b"PING":
            self._socket.sendall(b"PONG\r\n")
        elif line.startswith(b"-ERR"):
            raise BenchError(f"nats-server: {line.decode()}")
