"""A fan-out worker that drains the stream: the services' own data path, over a table that was filled beforehand."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import uvloop
from nats.aio.client import Client

from benchmarks.errors import BenchError
from benchmarks.live.children import processor_seconds
from benchmarks.live.feed import PARTITIONS, Feed
from benchmarks.live.parts import Stage
from fanout import Engine
from fanout.subjects import MESSAGES
from services.adapters.embedded.deployment import EmbeddedDeployment
from services.adapters.nats.bus import NatsBus
from services.adapters.nats.connection import connect
from services.adapters.nats.log import NatsLog
from services.fan_out.partitions import Partitions
from services.fan_out.publisher import Publisher
from services.runtime.logging import configure_logging
from services.runtime.tasks import Tasks

LOOK_EVERY_S: Final = 0.005
STALLED_S: Final = 30.0
"""Without any progress: that is no slow machine."""


class DrainSettings(msgspec.Struct, frozen=True):
    """What is drained, and to whom."""

    url: str
    """Of nats-server."""
    feed: Feed
    """What the stream holds."""
    instances: list[str]
    """Each event goes to all of them."""
    watched: dict[str, int]
    """Other processes whose processor time is taken too: their numbers, by name."""
    joined_acks: bool = False
    """Of the straightforward way: acknowledge a fetch by its last event, and not each event."""


class Drained(msgspec.Struct, frozen=True):
    """How long it took, from the first request for events to the last acknowledgement."""

    events: int
    seconds: float
    processor: dict[str, float]
    """Seconds of processor time meanwhile, of the worker and those watched."""

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds


def drain(settings: DrainSettings, stage: Stage) -> Drained:
    """Claim all partitions and read them to their end, as a worker of the service does.

    Raises:
        BenchError: it did not come to the end.
    """
    configure_logging("json", "warning", service="fanout")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_drain(settings, stage))


class Clock:
    """Time on the wall and of the processors since it was made."""

    def __init__(self, watched: dict[str, int]) -> None:
        self._watched = watched
        self._before = self._processor()
        self._began = time.perf_counter()

    def read(self, events: int) -> Drained:
        """What has passed."""
        seconds = time.perf_counter() - self._began
        taken = {name: after - self._before[name] for name, after in self._processor().items()}
        return Drained(events, seconds, taken)

    def _processor(self) -> dict[str, float]:
        return {"worker": time.process_time()} | {name: processor_seconds(pid) for name, pid in self._watched.items()}


async def _drain(settings: DrainSettings, stage: Stage) -> Drained:
    nc = await connect(settings.url, name="fanout bench worker")
    engine, failures = table(settings), list[BaseException]()
    log = await NatsLog.open(nc, EmbeddedDeployment("bench"), partitions=PARTITIONS)
    publisher = Publisher(engine, NatsBus(nc))
    async with Tasks(failures.append) as tasks:
        partitions = Partitions("bench", engine, log, publisher, tasks)
        tasks.start(publisher.run(), "publisher")
        stage.ready()
        clock = Clock(settings.watched)
        await asyncio.gather(*map(partitions.claim, range(log.partitions)))
        wanted = settings.feed.events * len(settings.instances)
        await until_none("event is routed", lambda: _unrouted(engine, wanted, failures))
        await until_none("acknowledgement is taken", lambda: _unacknowledged(nc))
        drained = clock.read(settings.feed.events)
    await nc.close()
    return drained


def table(settings: DrainSettings) -> Engine:
    """One user on each instance, in every channel: so each event has all instances as its targets."""
    engine = Engine()
    for at, instance in enumerate(settings.instances):
        engine.user_online(f"user-{at}", instance, settings.feed.names)
    return engine


async def until_none(what: str, left: Callable[[], Awaitable[int]]) -> None:
    """Wait until nothing is left, however long it takes, as long as it becomes less.

    Args:
        what: is done with what is left, for the error's text: one of it "is done".
        left: how much it is.

    Raises:
        BenchError: it stands still.
    """
    before, changed = -1, time.monotonic()
    while now := await left():
        if now != before:
            before, changed = now, time.monotonic()
        if time.monotonic() > changed + STALLED_S:
            raise BenchError(f"no {what} for {STALLED_S:.0f} s, and {now:,} are left")
        await asyncio.sleep(LOOK_EVERY_S)


async def _unrouted(engine: Engine, wanted: int, failures: list[BaseException]) -> int:
    if failures:
        raise failures[0]
    return max(0, wanted - engine.stats()["routed"])


async def _unacknowledged(nc: Client) -> int:
    """What is to come or to be acknowledged, as the server itself says of every reader of the stream."""
    consumers = await nc.jetstream().consumers_info(MESSAGES)
    return sum((each.num_pending or 0) + (each.num_ack_pending or 0) for each in consumers)
