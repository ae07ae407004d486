"""A server under test, inside its process: it sends events when the benchmark asks, and says what that took."""

import asyncio
import gc
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic_ns
from typing import Final, NamedTuple, Protocol

import msgspec

from benchmarks.errors import BenchError
from benchmarks.live.processor_time import Elapsed, Stopwatch, processor_seconds
from benchmarks.live.sockets.channels import FIRST_SEQ, SMALL, Audience, Event, IdleAudience, events
from benchmarks.live.sockets.figures import LoadKind, Play
from benchmarks.machine import resident_bytes

ROUNDS_AHEAD: Final = 2
"""Rounds of a load that are under way at once: the server always has work, and never more than it can do soon."""
SMALL_EVERY_NS: Final = 20_000_000
_ARRIVED_WITHIN_S: Final = 20.0

Send = Callable[[], Awaitable[None]]


class ServerSettings(msgspec.Struct, frozen=True):
    """Whom it serves."""

    audience: Audience | IdleAudience
    sockets: int
    """How many there will be at most."""
    secret: str
    """Signs the tokens."""
    signals: str | None = None
    """The address of a socket on which clients report complete rounds."""


class Sender(Protocol):
    """How a server sends events to the readers of their channels."""

    def prepare(self, events: Sequence[Event]) -> Send:
        """Encode events. Calling and awaiting the result sends them, in the order of `prepare`."""


class Used(NamedTuple):
    """Resources of the server's process."""

    cpu_s: float
    resident_bytes: int
    """After a garbage collection."""


class Played(NamedTuple):
    """Rounds that have arrived everywhere."""

    sent_ns: list[int]
    """When each was sent, on CLOCK_MONOTONIC."""
    took: Elapsed


class Loaded(NamedTuple):
    """A load, and events of the small channel, that have arrived everywhere."""

    due_ns: list[int]
    """When each event of the small channel was due, on CLOCK_MONOTONIC."""
    rounds: int
    """Rounds of the load: each is one frame for each socket."""
    took: Elapsed


class IdleServer:
    """What the benchmark asks of a server that sends nothing."""

    async def usage(self) -> Used:
        """Resources used so far."""
        cpu_s = processor_seconds(os.getpid())
        gc.collect()
        return Used(cpu_s, resident_bytes())


class SendingServer(IdleServer):
    """What the benchmark asks of a server that sends events.

    Args:
        sender: the server's own way to send.
        floor: the way with the least work, where the server has one.
        audience: who reads what.
        signals: the address of a socket on which clients report complete rounds.
    """

    def __init__(self, sender: Sender, floor: Sender | None, audience: Audience, signals: str) -> None:
        self._sender = sender
        self._floor = floor
        self._audience = audience
        self._next = FIRST_SEQ + 1
        self._sent = 0  # rounds in all, each of which the clients report
        self._complete = 0
        self._reported = asyncio.Event()
        self._signals = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._signals.bind(signals)
        asyncio.get_running_loop().add_reader(self._signals, self._read_signals)

    async def rehearse(self) -> int:
        """Send the script of the rehearsal, all at once; the number of its first event."""
        first = self._next
        await self._send(self._prepared(self._audience.rehearsal()))
        return first

    async def play(self, play: Play) -> Played:
        """Send rounds that were made before, each when the one before has arrived everywhere."""
        channels = self._audience.channels_reaching(play.reach)
        sender = self._floor if play.floor else self._sender
        if sender is None:
            raise BenchError("this server has no other way to send")
        rounds = [self._prepared(channels * play.burst, sender) for _ in range(play.rounds)]
        sent: list[int] = []
        stopwatch = Stopwatch()
        for send in rounds:
            sent.append(monotonic_ns())
            await self._send(send)
            await self._arrived(self._sent)
            if play.pause_s:
                await asyncio.sleep(play.pause_s)
        return Played(sent, stopwatch.read())

    async def load(self, kind: LoadKind, seconds: float) -> Loaded:
        """Keep rounds of the load under way, and send to the small channel when that is due."""
        until = monotonic_ns() + round(seconds * 1e9)
        stopwatch = Stopwatch()
        rounds, due = await asyncio.gather(self._send_load(kind, until), self._send_small(until))
        return Loaded(due, rounds, stopwatch.read())

    async def _send_load(self, kind: LoadKind, until: int) -> int:
        if kind == "none":
            return 0
        channels = self._audience.channels_reaching("all" if kind == "hot" else "hundred")
        before = self._sent
        while monotonic_ns() < until:
            await self._send(self._prepared(channels))
            await self._arrived(self._sent - ROUNDS_AHEAD + 1)
        await self._arrived(self._sent)
        return self._sent - before

    async def _send_small(self, until: int) -> list[int]:
        """Keep the pace: an event that had to wait for the server counts from when it was due."""
        due, at = [], monotonic_ns()
        while at < until:
            if (early := at - monotonic_ns()) > 0:
                await asyncio.sleep(early / 1e9)
            due.append(min(at, monotonic_ns()))
            await self._prepared([SMALL])()
            at += SMALL_EVERY_NS
        return due

    def _prepared(self, channels: Sequence[str], sender: Sender | None = None) -> Send:
        """An event for each channel, ready to be sent."""
        first = self._next
        self._next += len(channels)
        return (sender or self._sender).prepare(events(channels, first))

    async def _send(self, send: Send) -> None:
        self._sent += 1
        await send()

    async def _arrived(self, rounds: int) -> None:
        try:
            async with asyncio.timeout(_ARRIVED_WITHIN_S):
                while self._complete < rounds:
                    self._reported.clear()
                    await self._reported.wait()
        except TimeoutError:
            raise BenchError("frames that were sent did not all arrive") from None

    def _read_signals(self) -> None:
        self._complete += len(self._signals.recv(1))
        self._reported.set()


def served(settings: ServerSettings, new_senders: Callable[[Audience], tuple[Sender, Sender | None]]) -> IdleServer:
    """What a server serves to the benchmark, on the running event loop.

    Args:
        settings: whom it serves.
        new_senders: the server's own way to send, and the one with the least work, if it has one.
    """
    if settings.signals is None or not isinstance(settings.audience, Audience):
        return IdleServer()
    return SendingServer(*new_senders(settings.audience), settings.audience, settings.signals)
