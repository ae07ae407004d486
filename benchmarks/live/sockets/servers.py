"""Both servers, each in a process of its own, which send events when the benchmark asks.

One is the notification service as it is in production: its own composition, uvloop, real WebSockets; its stores are
embedded. The other is the straightforward way: the `websockets` library, its own `broadcast`, and the same uvloop.
"""

import asyncio
import gc
import logging
import os
import socket
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from time import monotonic_ns, process_time
from types import SimpleNamespace
from typing import Final, NamedTuple, cast

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast
from websockets.asyncio.server import serve as serve_websockets

from benchmarks.errors import BenchError
from benchmarks.live.sockets.audience import FIRST_SEQ, SMALL, SMALL_READERS, Audience, Event, events
from benchmarks.machine import resident_bytes
from benchmarks.processes import Leader
from fanout import Engine, text_frame
from fanout.lanes import Lane
from fanout.ports.memberships import Memberships
from fanout.streams import MESSAGES
from fanout.subjects import instance_events
from services.adapters.embedded.bus import EmbeddedBus
from services.adapters.embedded.log import EmbeddedLog
from services.adapters.embedded.presence import EmbeddedPresence
from services.composition.notification import running_notification
from services.notification.instance import NotificationPorts
from services.runtime.health import Health
from services.runtime.logging import configure_logging
from services.runtime.settings import Address, load_settings
from services.runtime.tokens import verifier

_ROUNDS_AHEAD: Final = 2
"""Rounds of a load that are under way at once: the server always has work, and never more than it can do soon."""
_SMALL_EVERY_NS: Final = 20_000_000
_ARRIVED_WITHIN_S: Final = 20.0
_INSTANCE: Final = "notif-1"
_LANE: Final = Lane(MESSAGES, 0)

Send = Callable[[], Awaitable[None]]
Prepare = Callable[[Sequence[Event]], Send]
"""Encodes events; calling and awaiting the result sends them to the readers of their channels."""
Connections = dict[int, ServerConnection]
"""By the number that each client names in its request."""


class ServerSettings(NamedTuple):
    """Which server it is, and whom it serves."""

    service: bool  # whether it is the notification service
    audience: Audience
    secret: str  # signs the tokens
    signals: str  # the address of a socket on which clients report complete rounds


class Server:
    """Sends when the benchmark asks, in the server's own way, or in the one with the least work."""

    def __init__(self, settings: ServerSettings, own: Prepare, floor: Prepare) -> None:
        self._audience, self._own, self._floor = settings.audience, own, floor
        self._next = FIRST_SEQ + 1
        self._sent = self._complete = 0  # rounds in all, each of which the clients report
        self._reported = asyncio.Event()
        self._signals = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._signals.bind(settings.signals)
        asyncio.get_running_loop().add_reader(self._signals, self._read_signals)

    async def usage(self, settling_s: float) -> tuple[float, int]:
        """Processor time of this process; its resident memory some time after a garbage collection."""
        cpu_s = process_time()
        gc.collect()
        await asyncio.sleep(settling_s)
        return cpu_s, resident_bytes()

    async def rehearse(self) -> int:
        """Send the script of the rehearsal, all at once; the number of its first event."""
        first = self._next
        await self._send(self._prepared(self._audience.rehearsal()))
        return first

    async def play(self, reach: str, rounds: int, burst: int, *, floor: bool) -> tuple[list[int], float]:
        """Send rounds that were made before, each when the one before has arrived everywhere.

        Each has `burst` events for each channel of the reach, sent with the least work possible if `floor` says so.

        Returns:
            When each was sent, on CLOCK_MONOTONIC; seconds of processor time.
        """
        channels = self._audience.channels_reaching(reach) * burst
        prepared = [self._prepared(channels, floor=floor) for _ in range(rounds)]
        sent, cpu_s = list[int](), process_time()
        for send in prepared:
            sent.append(monotonic_ns())
            await self._send(send)
            await self._arrived(self._sent)
        return sent, process_time() - cpu_s

    async def load(self, reach: str, seconds: float) -> tuple[list[int], int, float]:
        """Keep rounds of a load under way, which may be none, and send to the small channel when that is due.

        Returns:
            When each event of the small channel was due; rounds of the load; seconds of processor time.
        """
        until, cpu_s = monotonic_ns() + round(seconds * 1e9), process_time()
        rounds, due = await asyncio.gather(self._send_load(reach, until), self._send_small(until))
        return due, rounds, process_time() - cpu_s

    async def _send_load(self, reach: str, until: int) -> int:
        if not reach:
            return 0
        before = self._sent
        while monotonic_ns() < until:
            await self._send(self._prepared(self._audience.channels_reaching(reach)))
            await self._arrived(self._sent - _ROUNDS_AHEAD + 1)
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
            at += _SMALL_EVERY_NS
        return due

    def _prepared(self, channels: Sequence[str], *, floor: bool = False) -> Send:
        first = self._next
        self._next += len(channels)
        return (self._floor if floor else self._own)(events(channels, first))

    async def _send(self, send: Send) -> None:
        self._sent += 1
        await send()

    async def _arrived(self, rounds: int) -> None:
        async with asyncio.timeout(_ARRIVED_WITHIN_S):
            while self._complete < rounds:
                self._reported.clear()
                await self._reported.wait()

    def _read_signals(self) -> None:
        self._complete += len(self._signals.recv(1))
        self._reported.set()


def run_server(settings: ServerSettings, leader: Leader) -> None:
    """Run a server; the first message is its port."""
    uvloop.run((_serve_service if settings.service else _serve_plain)(settings, leader))


async def _serve_service(settings: ServerSettings, leader: Leader) -> None:
    async def channels_of(user_id: str) -> list[str]:
        return settings.audience.channels_of(int(user_id.rpartition("-")[2]))

    # They are computed, and take no memory. An instance uses nothing else of them.
    memberships = cast("Memberships", SimpleNamespace(channels_of=channels_of))
    configure_logging("json", "error", service="notification")
    service = load_settings(
        _env_file=None,
        instance_id=_INSTANCE,
        ws_listen=Address("127.0.0.1", 0),
        jwt_secret=settings.secret,
        max_connections=settings.audience.sockets + SMALL_READERS,
        heartbeat_timeout_s=24 * 3600.0,  # clients send none
        drain_timeout_s=1.0,  # nobody comes back
    )
    bus, log, presence = EmbeddedBus(), await EmbeddedLog.open(None), EmbeddedPresence()
    ports = NotificationPorts(log, bus, presence, presence, presence, memberships, verifier(service))
    async with running_notification(service, ports, Health(), leader.fail) as bound:
        batches = _batches(bus, settings.audience)
        served = Server(settings, batches, batches)
        leader.send(bound.port)
        await leader.serve_async(served)


def _batches(bus: EmbeddedBus, audience: Audience) -> Prepare:
    """Do the fan-out worker's part: route events into batches, which the bus takes to the instance."""

    @cache  # where nothing is sent, its memory is not in the process
    def engine() -> Engine:
        created = Engine()
        created.user_online("all-of-them", _INSTANCE, list(audience.members()))
        created.open_lane(_LANE.number, 1, FIRST_SEQ)
        return created

    def prepare(events: Sequence[Event]) -> Send:
        if rejected := engine().route_stored("message.new", _LANE.number, _LANE.part, events):
            raise BenchError(f"the engine does not route the benchmark's own events: {rejected[0][1]}")
        batches = [(instance_events(instance), payload) for instance, payload in engine().drain(force=True)]
        return lambda: bus.publish_many(batches)

    return prepare


async def _serve_plain(settings: ServerSettings, leader: Leader) -> None:
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # clients that end without a close frame are no news
    connections: Connections = {}

    async def handler(connection: ServerConnection) -> None:
        if settings.audience.sends and connection.request:
            connections[int(connection.request.path.rpartition("=")[2])] = connection
        await connection.recv()

    async with serve_websockets(
        handler, "127.0.0.1", 0, compression=None, ping_interval=None, server_header=None, backlog=4096
    ) as server:
        members = settings.audience.members()
        served = Server(settings, _broadcasts(connections, members), _writes(connections, members))
        leader.send(server.sockets[0].getsockname()[1])
        await leader.serve_async(served)


def _broadcasts(connections: Connections, members: dict[str, list[int]]) -> Prepare:
    @cache
    def readers(channel: str) -> list[ServerConnection]:
        return [connections[number] for number in members[channel]]

    def prepare(events: Sequence[Event]) -> Send:
        broadcasts = [(readers(event.channel), event.client_json().decode()) for event in events]

        async def send() -> None:
            for channel_readers, text in broadcasts:
                broadcast(channel_readers, text)

        return send

    return prepare


def _writes(connections: Connections, members: dict[str, list[int]]) -> Prepare:
    """Write ready bytes, one system call for all that is due to a socket: the least that any server does."""

    def prepare(events: Sequence[Event]) -> Send:
        due: defaultdict[int, bytes] = defaultdict(bytes)
        for event in events:
            frame = text_frame(event.client_json())
            for number in members[event.channel]:
                due[connections[number].transport.get_extra_info("socket").fileno()] += frame

        async def send() -> None:
            for descriptor, frames in due.items():
                os.write(descriptor, frames)

        return send

    return prepare
