"""The notification service as it is in production: its own composition, uvloop, real WebSockets, embedded stores."""

import asyncio
from collections.abc import Sequence
from typing import Final, cast

import uvloop

from benchmarks.errors import BenchError
from benchmarks.live.sockets.channels import FIRST_SEQ, SMALL, Audience, Event, IdleAudience
from benchmarks.live.sockets.figures import REACHES
from benchmarks.live.sockets.limits import RESERVED, raise_limit
from benchmarks.live.sockets.server import Send, ServerSettings, served
from benchmarks.processes import Leader
from fanout import Engine
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
from services.runtime.settings import Address, Settings, load_settings
from services.runtime.tokens import verifier

_INSTANCE: Final = "notif-1"
_LANE: Final = Lane(MESSAGES, 0)
_NO_HEARTBEAT_S: Final = 24 * 3600.0


class _ComputedMemberships:
    """Memberships that are computed when they are asked for, and take no memory."""

    def __init__(self, audience: Audience | IdleAudience) -> None:
        self._audience = audience

    async def channels_of(self, user_id: str) -> list[str]:
        return self._audience.channels_of(int(user_id.rpartition("-")[2]))


class BatchSender:
    """Does the fan-out worker's part: routes events into batches, and publishes those on the bus."""

    def __init__(self, bus: EmbeddedBus, audience: Audience) -> None:
        self._bus = bus
        self._engine = Engine()
        read = [channel for reach in REACHES for channel in audience.channels_reaching(reach)]
        self._engine.user_online("all-of-them", _INSTANCE, [*read, SMALL])
        self._engine.open_lane(_LANE.number, 1, FIRST_SEQ)

    def prepare(self, events: Sequence[Event]) -> Send:
        """See `Sender`."""
        rejected = self._engine.route_stored("message.new", _LANE.number, _LANE.part, events)
        if rejected:
            raise BenchError(f"the engine does not route the benchmark's own events: {rejected[0][1]}")
        batches = [(instance_events(instance), payload) for instance, payload in self._engine.drain(force=True)]
        return lambda: self._bus.publish_many(batches)


def serve(settings: ServerSettings, leader: Leader) -> None:
    """Run the service, and serve the benchmark; the first message is its port."""
    raise_limit(settings.sockets + RESERVED)
    configure_logging("json", "error", service="notification")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, leader))


async def _serve(settings: ServerSettings, leader: Leader) -> None:
    service = _service_settings(settings)
    bus = EmbeddedBus()
    memberships = cast("Memberships", _ComputedMemberships(settings.audience))  # an instance uses nothing else of them
    log, presence = await EmbeddedLog.open(None), EmbeddedPresence()
    ports = NotificationPorts(log, bus, presence, presence, presence, memberships, verifier(service))
    running = running_notification(service, ports, Health(), lambda error: leader.fail(f"the service failed: {error}"))
    async with running as bound:
        leader.send(bound.port)
        await leader.serve_async(served(settings, lambda audience: (BatchSender(bus, audience), None)))


def _service_settings(settings: ServerSettings) -> Settings:
    """As in production, except that clients need not send heartbeats."""
    return load_settings(
        _env_file=None,
        instance_id=_INSTANCE,
        ws_listen=Address("127.0.0.1", 0),
        jwt_secret=settings.secret,
        max_connections=settings.sockets,
        heartbeat_timeout_s=_NO_HEARTBEAT_S,
        drain_timeout_s=1.0,  # nobody comes back
    )
