"""A server under test, from inside its process: it sends when it is asked to, and says what that took."""

import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic_ns, perf_counter, process_time
from typing import Any, Final, Protocol

import msgspec

from benchmarks.errors import BenchError
from benchmarks.live.sockets.audience import SMALL, Audience, Idle
from benchmarks.live.sockets.messages import (
    Flood,
    Flooded,
    LoadKind,
    Member,
    Play,
    Played,
    Refusal,
    Rehearse,
    Rehearsed,
    ToServer,
    Usage,
    Used,
)
from benchmarks.live.sockets.peers import Line
from benchmarks.machine import resident_bytes

ROUNDS_AHEAD: Final = 2
"""Of a flood, under way at once: so the server always has something to do, and not more than it can do soon."""
SMALL_EVERY_NS: Final = 20_000_000
_ACKNOWLEDGED_WITHIN_S: Final = 20.0

Send = Callable[[], Awaitable[None]]


class ServerSettings(msgspec.Struct, frozen=True):
    """Whom it serves."""

    audience: Audience | Idle
    sockets: int
    """How many there will be at most."""
    secret: str
    """That tokens are signed with."""


class Wire(Protocol):
    """How a server sends events to those who read their channels."""

    def prepare(self, channels: Sequence[str]) -> Send:
        """Make an event for each channel. What is returned sends them, when it is called and awaited, at once.

        What was made first has to be sent first.
        """

    @property
    def number(self) -> int:
        """Of the next event."""


class Signals:
    """The clients' word that they have a round whole."""

    def __init__(self, connected: socket.socket | None) -> None:
        self._socket = connected
        self._arrived = asyncio.Event()
        self.count = 0
        if connected is not None:
            connected.settimeout(0)
            asyncio.get_running_loop().add_reader(connected, self._read, connected)

    async def reach(self, count: int) -> None:
        """Wait for so many, counted from the beginning.

        Raises:
            BenchError: they do not come.
        """
        try:
            async with asyncio.timeout(_ACKNOWLEDGED_WITHIN_S):
                while self.count < count:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            raise BenchError("frames that were sent did not all arrive") from None

    def _read(self, connected: socket.socket) -> None:
        self.count += len(connected.recv(1 << 16))
        self._arrived.set()


class Stage:
    """Does what is asked of a server."""

    def __init__(self, wire: Wire, audience: Audience, signals: Signals, floor: Wire | None) -> None:
        self._wire = wire
        self._floor = floor
        self._audience = audience
        self._signals = signals
        self._sent = 0  # rounds in all, each of which the clients acknowledge

    async def rehearse(self) -> Rehearsed:
        """Send the script of the rehearsal, all at once."""
        first = self._wire.number
        await self._wire.prepare(self._audience.rehearsal())()
        self._sent += 1
        return Rehearsed(first)

    async def play(self, play: Play) -> Played:
        """Send rounds that were made before, each when the one before has arrived everywhere."""
        channels = self._audience.channels_reaching(play.reach)
        wire = self._floor if play.floor else self._wire
        if wire is None:
            raise BenchError("this server has no other way to send")
        rounds = [wire.prepare(channels * play.burst) for _ in range(play.rounds)]
        sent: list[int] = []
        wall, cpu = perf_counter(), process_time()
        for send in rounds:
            sent.append(monotonic_ns())
            self._sent += 1
            await send()
            await self._signals.reach(self._sent)
            if play.pause_s:
                await asyncio.sleep(play.pause_s)
        return Played(sent, perf_counter() - wall, process_time() - cpu)

    async def flood(self, flood: Flood) -> Flooded:
        """Keep rounds of the load under way, and send to the small channel when it is due."""
        until = monotonic_ns() + round(flood.seconds * 1e9)
        wall, cpu = perf_counter(), process_time()
        rounds, due = await asyncio.gather(self._flood(flood.load, until), self._tick(until))
        return Flooded(due, rounds, perf_counter() - wall, process_time() - cpu)

    async def _flood(self, load: LoadKind, until: int) -> int:
        if load == "none":
            return 0
        channels = self._audience.channels_reaching("all" if load == "hot" else "hundred")
        before = self._sent
        while monotonic_ns() < until:
            await self._wire.prepare(channels)()
            self._sent += 1
            await self._signals.reach(self._sent - ROUNDS_AHEAD + 1)
        await self._signals.reach(self._sent)
        return self._sent - before

    async def _tick(self, until: int) -> list[int]:
        """The pace is kept: an event that had to wait for the server counts from when it was due."""
        due, at = [], monotonic_ns()
        while at < until:
            if (early := at - monotonic_ns()) > 0:
                await asyncio.sleep(early / 1e9)
            due.append(min(at, monotonic_ns()))
            await self._wire.prepare([SMALL])()
            at += SMALL_EVERY_NS
        return due


async def serve_requests(
    line: Line,
    port: int,
    wire: Wire | None,
    settings: ServerSettings,
    signals: socket.socket | None,
    *,
    floor: Wire | None = None,
) -> None:
    """Do what the leading process asks, until it is gone, and end the process.

    Args:
        line: to the leading process.
        port: where clients connect.
        wire: sends; None where nothing is to be sent.
        settings: whom the server serves.
        signals: on which clients say that they have a round whole.
        floor: sends too, with hardly more work than the kernel's.
    """
    audience = settings.audience
    stage = Stage(wire, audience, Signals(signals), floor) if wire and isinstance(audience, Audience) else None
    reader, writer = await asyncio.open_unix_connection(sock=line.socket)
    writer.write(msgspec.json.encode(Member(port)) + b"\n")
    while request := await reader.readline():
        answer = await _answered(msgspec.json.decode(request, type=ToServer), stage)
        writer.write(msgspec.json.encode(answer) + b"\n")
    line.end()


async def _answered(request: Any, stage: Stage | None) -> msgspec.Struct:
    if isinstance(request, Usage):
        cpu_s = process_time()
        gc.collect()
        return Used(cpu_s, resident_bytes())
    if stage is None:
        return Refusal("nothing can be sent here")
    try:
        match request:
            case Rehearse():
                return await stage.rehearse()
            case Play():
                return await stage.play(request)
        return await stage.flood(request)
    except BenchError as error:
        return Refusal(str(error))
