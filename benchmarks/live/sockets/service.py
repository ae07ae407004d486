"""The notification service as it is in production: its own composition, uvloop, real WebSockets, embedded stores."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Final, cast

import uvloop

from benchmarks.errors import BenchError
from benchmarks.live.sockets.audience import FIRST_SEQ, SMALL, Audience, Events, Idle
from benchmarks.live.sockets.limits import RESERVED, raise_limit
from benchmarks.live.sockets.messages import REACHES
from benchmarks.live.sockets.peers import Line
from benchmarks.live.sockets.serving import Send, ServerSettings, serve_requests
from fanout import Engine
from fanout.lanes import Lane
from fanout.ports.memberships import Memberships
from fanout.subjects import MESSAGES, instance_events
from services.adapters.embedded.bus import EmbeddedBus
from services.adapters.embedded.log import EmbeddedLog
from services.adapters.embedded.presence import EmbeddedPresence
from services.composition.notification import running_notification
from services.notification.instance import NotificationPorts
from services.runtime.health import Health
from services.runtime.logging import configure_logging
from services.runtime.settings import Address, Settings, load_settings
from services.runtime.tokens import verifier

_INSTANCE: Final = "notif-1"
_LANE: Final = Lane(MESSAGES, 0)
_SILENCE_S: Final = 24 * 3600.0


class _Dealt:
    """Memberships that are computed when they are asked for, and take no memory."""

    def __init__(self, audience: Audience | Idle) -> None:
        self._audience = audience

    async def channels_of(self, user_id: str) -> list[str]:
        return self._audience.channels_of(int(user_id.rpartition("-")[2]))


class ServiceWire:
    """Plays the fan-out worker: routes events into batches, and publishes those on the bus."""

    def __init__(self, bus: EmbeddedBus, audience: Audience) -> None:
        self._bus = bus
        self._events = Events()
        self._engine = Engine()
        read = [channel for reach in REACHES for channel in audience.channels_reaching(reach)]
        self._engine.user_online("all-of-them", _INSTANCE, [*read, SMALL])
        self._engine.open_lane(_LANE.number, 1, FIRST_SEQ)

    @property
    def number(self) -> int:
        """Of the next event."""
        return self._events.next

    def prepare(self, channels: Sequence[str]) -> Send:
        """See `Wire`."""
        rejected = self._engine.route_stored("message.new", _LANE.number, _LANE.part, self._events.of(channels))
        if rejected:
            raise BenchError(f"the engine does not route the benchmark's own events: {rejected[0][1]}")
        batches = [(instance_events(instance), payload) for instance, payload in self._engine.drain(force=True)]
        return lambda: self._bus.publish_many(batches)


def serve(settings: ServerSettings, line: Line, signals: socket.socket | None = None) -> None:
    """Run the service until the leading process is gone.

    Args:
        settings: whom it serves.
        line: to the leading process.
        signals: on which clients say that they have a round whole.
    """
    raise_limit(settings.sockets + RESERVED)
    configure_logging("json", "error", service="notification")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, line, signals))


async def _serve(settings: ServerSettings, line: Line, signals: socket.socket | None) -> None:
    service = _settings(settings)
    log = await EmbeddedLog.open(None)
    bus, presence = EmbeddedBus(), EmbeddedPresence()
    memberships = cast("Memberships", _Dealt(settings.audience))  # an instance asks for nothing else of them
    ports = NotificationPorts(log, bus, presence, memberships, verifier(service))
    wire = ServiceWire(bus, settings.audience) if isinstance(settings.audience, Audience) else None
    running = running_notification(service, ports, Health(), lambda error: line.end(f"the service failed: {error}"))
    async with running as bound:
        await serve_requests(line, bound.port, wire, settings, signals)


def _settings(settings: ServerSettings) -> Settings:
    """As in production, but for silence: the clients send no heartbeats."""
    return load_settings(
        _env_file=None,
        instance_id=_INSTANCE,
        ws_listen=Address("127.0.0.1", 0),
        jwt_secret=settings.secret,
        max_connections=settings.sockets,
        heartbeat_timeout_s=_SILENCE_S,
        drain_timeout_s=1.0,  # nobody comes back
    )
