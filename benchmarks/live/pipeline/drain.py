"""A fan-out worker that drains the stream by the service's own data path, and the straightforward way beside it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import nats
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from benchmarks.errors import BenchError
from benchmarks.live.processor_time import Stopwatch
from benchmarks.live.stored_events import PARTITIONS, StoredEvents
from benchmarks.processes import Leader
from fanout import Engine
from fanout.events import encode
from fanout.streams import MESSAGES
from fanout.subjects import channel_of, instance_events
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
"""A drain that makes no progress for so long is stuck, and not slow."""


class DrainSettings(msgspec.Struct, frozen=True):
    """What is drained, and to whom."""

    url: str
    """Of nats-server."""
    stored: StoredEvents
    """What the stream holds."""
    instances: list[str]
    """Each event goes to all of them."""
    watched: dict[str, int]
    """Other processes whose processor time is read too: process ids by name."""
    ack_per_fetch: bool = False
    """Whether the naive consumer acknowledges the last event of each fetch instead of each event."""


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


def drain(settings: DrainSettings, _leader: Leader) -> Drained:
    """Claim all partitions and read them to their end, as a worker of the service does.

    Raises:
        BenchError: it did not come to the end.
    """
    configure_logging("json", "warning", service="fanout")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_drain(settings))


async def _drain(settings: DrainSettings) -> Drained:
    nc = await connect(settings.url, name="fanout bench worker")
    engine, failures = filled_engine(settings), list[BaseException]()
    log = await NatsLog.open(nc, EmbeddedDeployment("bench"), partitions=PARTITIONS)
    publisher = Publisher(engine, NatsBus(nc))
    async with Tasks(failures.append) as tasks:
        partitions = Partitions("bench", engine, log, publisher, tasks)
        tasks.start(publisher.run(), "publisher")
        stopwatch = start_stopwatch(settings)
        await asyncio.gather(*map(partitions.claim, range(log.partitions)))
        wanted = settings.stored.events * len(settings.instances)
        await until_none("event is routed", lambda: _unrouted(engine, wanted, failures))
        await until_none("acknowledgement is taken", lambda: _unacknowledged(nc))
        elapsed = stopwatch.read()
    await nc.close()
    return Drained(settings.stored.events, elapsed.seconds, elapsed.processor)


def start_stopwatch(settings: DrainSettings) -> Stopwatch:
    """Measure this process, as the worker, and those watched."""
    return Stopwatch({"worker": 0} | settings.watched)


def filled_engine(settings: DrainSettings) -> Engine:
    """One user on each instance, in every channel: so each event goes to all instances."""
    engine = Engine()
    for at, instance in enumerate(settings.instances):
        engine.user_online(f"user-{at}", instance, settings.stored.names)
    return engine


async def until_none(what: str, left: Callable[[], Awaitable[int]]) -> None:
    """Wait until nothing is left, however long it takes, as long as it becomes less.

    Args:
        what: what happens to one that is left, for the error's text.
        left: how many are left.

    Raises:
        BenchError: there is no progress.
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
    """What is to be delivered or acknowledged, as nats-server counts it for every consumer of the stream."""
    consumers = await nc.jetstream().consumers_info(MESSAGES)
    return sum((each.num_pending or 0) + (each.num_ack_pending or 0) for each in consumers)


_DURABLE: Final = "naive"
_FETCH: Final = 200
_WAIT_S: Final = 5.0
_MAX_ACK_PENDING: Final = 10_000


class Event(msgspec.Struct, frozen=True):
    """A stored event, decoded."""

    type: str
    channel_id: str
    message: dict[str, Any]


def drain_naively(settings: DrainSettings, _leader: Leader) -> Drained:
    """Fetch, decode, look up, encode, publish to each target, acknowledge."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_drain_naively(settings))


async def _drain_naively(settings: DrainSettings) -> Drained:
    nc = await nats.connect(settings.url)
    js = nc.jetstream()
    config = ConsumerConfig(
        durable_name=_DURABLE,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.ALL if settings.ack_per_fetch else AckPolicy.EXPLICIT,
        max_ack_pending=_MAX_ACK_PENDING,
    )
    consumer, wanted, handled = _NaiveConsumer(nc, settings), settings.stored.events, 0
    stopwatch = start_stopwatch(settings)
    await js.add_consumer(MESSAGES, config)
    subscription = await js.pull_subscribe_bind(consumer=_DURABLE, stream=MESSAGES)
    while handled < wanted:
        messages = await subscription.fetch(min(_FETCH, wanted - handled), timeout=_WAIT_S)
        await consumer.handle(messages)
        handled += len(messages)
    await nc.flush()
    await until_none("acknowledgement is taken", lambda: _unacknowledged_naively(js, wanted))
    elapsed = stopwatch.read()
    await nc.close()
    return Drained(handled, elapsed.seconds, elapsed.processor)


async def _unacknowledged_naively(js: JetStreamContext, events: int) -> int:
    floor = (await js.consumer_info(MESSAGES, _DURABLE)).ack_floor
    return max(0, events - (floor.stream_seq if floor else 0))


class _NaiveConsumer:
    def __init__(self, nc: Client, settings: DrainSettings) -> None:
        self._publish = nc.publish
        targets = list(map(instance_events, settings.instances))
        self._targets = {name: targets for name in settings.stored.names}  # noqa: C420 - one list, which nobody changes
        self._decode = msgspec.json.Decoder(Event).decode
        self._ack_per_fetch = settings.ack_per_fetch

    async def handle(self, messages: list[Msg]) -> None:
        for msg in messages:
            await self._pass_on(msg)
            if not self._ack_per_fetch:
                await msg.ack()
        if self._ack_per_fetch:
            await messages[-1].ack()

    async def _pass_on(self, msg: Msg) -> None:
        event = self._decode(msg.data)
        frame = encode(
            {
                "type": event.type,
                "seq": msg.metadata.sequence.stream,
                "part": int(msg.subject.split(".")[2]),
                "channel_id": event.channel_id,
                "message": event.message,
            }
        )
        for target in self._targets[channel_of(msg.subject)]:
            await self._publish(target, frame)
