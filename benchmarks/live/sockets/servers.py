"""Both servers, each in a process of its own, which send events when the benchmark asks.

One is the notification service as it is in production: its own composition, uvloop, real WebSockets; its stores are
embedded. The other is the straightforward way: the `websockets` library, its own `broadcast`, and the same uvloop.
"""

import asyncio
import gc
import logging
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import cache, partial
from time import monotonic_ns
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, cast

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast
from websockets.asyncio.server import serve as serve_websockets

from benchmarks.errors import BenchError
from benchmarks.live.instances import NO_DEVICES
from benchmarks.live.sockets.audience import FIRST_SEQ, SMALL, SMALL_READERS, Audience, Event, IdleAudience, events
from benchmarks.machine import resident_bytes
from benchmarks.processes import Leader
from fanout import Engine, packed_ids, text_frame
from fanout.lanes import Lane
from fanout.ports.memberships import Memberships
from fanout.streams import MESSAGES
from fanout.subjects import instance_events
from services.adapters.embedded.bus import EmbeddedBus
from services.adapters.embedded.log import EmbeddedLog
from services.adapters.embedded.presence import EmbeddedPresence
from services.composition.notification import running_notification, serving_sockets
from services.notification.instance import NotificationPorts
from services.runtime.health import Health
from services.runtime.logging import configure_logging
from services.runtime.settings import Address, load_settings
from services.runtime.tokens import verifier

_SMALL_EVERY_NS: Final = 20_000_000
_INSTANCE: Final = "notif-1"
_LANE: Final = Lane(MESSAGES, 0)

Send = Callable[[], Awaitable[None]]
Prepare = Callable[[Sequence[Event]], Send]
"""Encodes events; calling and awaiting the result sends them to the readers of their channels."""
Connections = dict[int, ServerConnection]
"""By the number that each client names in its request."""


class ServerSettings(NamedTuple):
    """Which server it is, and the clients that it serves."""

    service: bool  # whether it is the notification service
    audience: Audience | IdleAudience
    secret: str  # signs the tokens


class Server:
    """Sends when the benchmark asks, in the server's own way, or in the one with the least work."""

    def __init__(self, own: Prepare, floor: Prepare) -> None:
        self._own, self._floor = own, floor
        self._next = FIRST_SEQ + 1
        self._prepared: list[Send] = []

    async def resident_bytes(self, settling_s: float) -> int:
        """The memory of this process some time after a garbage collection."""
        gc.collect()
        await asyncio.sleep(settling_s)
        return resident_bytes()

    async def send(self, channels: Sequence[str]) -> int:
        """Send an event to each channel; the number of the first event."""
        first = self._next
        await self._round(channels, self._own)()
        return first

    async def prepare(self, channels: Sequence[str], rounds: int, *, floor: bool = False) -> None:
        """Make rounds of an event to each channel, which are sent with the least work possible if `floor` says so."""
        self._prepared = [self._round(channels, self._floor if floor else self._own) for _ in range(rounds)]

    async def send_prepared(self) -> int:
        """Send the next round; when this began, on CLOCK_MONOTONIC."""
        began = monotonic_ns()
        await self._prepared.pop(0)()
        return began

    async def begin_small(self, seconds: float) -> None:
        """Begin to send to the small channel when that is due."""
        self._small = asyncio.create_task(self._send_small(monotonic_ns() + round(seconds * 1e9)))

    async def end_small(self) -> list[int]:
        """Wait until all is sent to the small channel; when each event was due."""
        return await self._small

    async def _send_small(self, until: int) -> list[int]:
        """Keep the pace: an event that had to wait for the server counts from when it was due."""
        due, at = [], monotonic_ns()
        while at < until:
            if (early := at - monotonic_ns()) > 0:
                await asyncio.sleep(early / 1e9)
            due.append(min(at, monotonic_ns()))
            await self.send([SMALL])
            at += _SMALL_EVERY_NS
        return due

    def _round(self, channels: Sequence[str], prepare: Prepare) -> Send:
        first = self._next
        self._next += len(channels)
        return prepare(events(channels, first))


def run_server(settings: ServerSettings, leader: Leader) -> None:
    """Run a server; the first message is its port."""
    uvloop.run((_serve_service if settings.service else _serve_plain)(settings, leader))


async def _serve_service(settings: ServerSettings, leader: Leader) -> None:
    async def packed_channels_of(user_id: str) -> bytes:
        return packed_ids.pack(settings.audience.channels_of(int(user_id.rpartition("-")[2])))

    # They are computed, and take no memory. An instance uses nothing else of them.
    memberships = cast("Memberships", SimpleNamespace(packed_channels_of=packed_channels_of))
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
    ports = NotificationPorts(log, bus, presence, presence, presence, memberships, NO_DEVICES, verifier(service))
    serving = partial(serving_sockets, service)
    async with running_notification(service, ports, cast("Any", None), Health(), leader.fail, serving) as bound:
        batches = _batches(bus, settings.audience)
        leader.send(bound.port)
        await leader.serve_async(Server(batches, batches))


def _batches(bus: EmbeddedBus, audience: Audience | IdleAudience) -> Prepare:
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
    members = settings.audience.members()

    async def handler(connection: ServerConnection) -> None:
        if members and connection.request:
            connections[int(connection.request.path.rpartition("=")[2])] = connection
        await connection.recv()

    async with serve_websockets(
        handler, "127.0.0.1", 0, compression=None, ping_interval=None, server_header=None, backlog=4096
    ) as server:
        leader.send(server.sockets[0].getsockname()[1])
        await leader.serve_async(Server(_broadcasts(connections, members), _writes(connections, members)))


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
