"""The generator of messages: an open loop, which sends a message when it is due, whatever became of those before."""

import gc
import time
from array import array
from typing import Final

import msgspec

from benchmarks.errors import BenchError
from benchmarks.live.nats_client import NatsClient
from benchmarks.live.stored_events import StoredEvents
from benchmarks.processes import READY, Leader

_INBOX: Final = "bench.accepted"
_NS: Final = 1_000_000_000
_ACCEPTED_WITHIN_S: Final = 20.0


class GeneratorSettings(msgspec.Struct, frozen=True):
    """What is sent, and how often."""

    port: int
    """Of nats-server."""
    stored: StoredEvents
    rate: float
    """Messages per second, at equal distances."""


class Published(msgspec.Struct, frozen=True):
    """When, in nanoseconds of CLOCK_MONOTONIC, by event, from the first."""

    sent: "array[int]"
    accepted: "array[int]"
    """When the log answered that it holds the event, at which a user gets 202; 0 where it refused."""

    def refused(self) -> list[int]:
        """The numbers of the events that the log did not take."""
        return [number for number, moment in enumerate(self.accepted, 1) if not moment]


def generate_load(settings: GeneratorSettings, leader: Leader) -> Published:
    """Prepare everything, wait for the moment at which the first message is due, and send.

    Raises:
        BenchError: the server has gone, or does not answer.
    """
    generator = _Generator(settings)
    gc.disable()
    leader.send(READY)
    generator.run(leader.receive())
    return Published(generator.sent, generator.accepted)


def planned_at(start: int, index: int, rate: float) -> int:
    """When an event is due, in nanoseconds.

    Args:
        start: when the first is due.
        index: of the event, from 0.
        rate: events per second.
    """
    return start + int(index * _NS / rate)


class _Generator:
    def __init__(self, settings: GeneratorSettings) -> None:
        self._rate = settings.rate
        self._commands = list(settings.stored.publish_commands(_INBOX))
        self.sent = array("q", bytes(8 * len(self._commands)))
        self.accepted = array("q", bytes(8 * len(self._commands)))
        self._answers = 0
        self._client = NatsClient(settings.port, self._on_answer)
        self._client.subscribe([f"{_INBOX}.*"])

    def run(self, start: int) -> None:
        count, done = len(self._commands), 0
        while done < count:
            due = planned_at(start, done, self._rate)
            self._client.read(max(0, due - time.monotonic_ns()) / _NS)
            # Where this process was late, all that became due meanwhile goes at once.
            now, begin = time.monotonic_ns(), done
            while done < count and planned_at(start, done, self._rate) <= now:
                self.sent[done] = now
                done += 1
            if done > begin:
                self._client.send(b"".join(self._commands[begin:done]))
        self._read_to_the_end()

    def _read_to_the_end(self) -> None:
        deadline = time.monotonic() + _ACCEPTED_WITHIN_S
        while self._answers < len(self._commands):
            if time.monotonic() > deadline:
                raise BenchError(f"the log did not answer for an event within {_ACCEPTED_WITHIN_S:.0f} s")
            self._client.read(1.0)

    def _on_answer(self, subject: bytes, answer: bytes) -> None:
        self._answers += 1
        if b'"error"' not in answer:
            self.accepted[int(subject.rpartition(b".")[2]) - 1] = self._client.received_at
