"""Draining a stream: a worker's own data path and the straightforward way in turn; what the inboxes got is checked."""

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final, NamedTuple

import msgspec
import nats
import uvloop
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from benchmarks.apart import Progress
from benchmarks.live.nats_client import NatsClient
from benchmarks.live.pipeline import PipelineOptions
from benchmarks.live.processor_time import Stopwatch
from benchmarks.live.servers import Server, running
from benchmarks.live.stored_events import PARTITIONS, StoredEvents, check_groups, number_in, store_events
from benchmarks.population import instance_name
from benchmarks.processes import Leader, Worker
from fanout import Engine, decode_batch, partition_of
from fanout.events import encode
from fanout.streams import MESSAGES
from fanout.subjects import channel_of, instance_events
from services.adapters.embedded.deployment import EmbeddedDeployment
from services.adapters.nats.bus import NatsBus
from services.adapters.nats.connection import connect
from services.adapters.nats.log import NatsLog
from services.fan_out.contact import Contact
from services.fan_out.partitions import Partitions
from services.fan_out.publisher import Publisher
from services.fan_out.suspensions import Suspensions
from services.runtime.logging import configure_logging
from services.runtime.tasks import Tasks

_LOOK_EVERY_S: Final = 0.005
_FETCH: Final = 200
_DURABLE: Final = "naive"


class DrainSettings(NamedTuple):
    """A stream and how it is drained, to which instances, and the processes whose processor time is read, by name."""

    way: str
    url: str
    stored: StoredEvents
    instances: list[str]
    watched: dict[str, int]


class Drained(msgspec.Struct, frozen=True):
    """How long it took, from the first request for events to the last acknowledgement."""

    events: int
    seconds: float
    processor: dict[str, float]
    """Seconds of processor time meanwhile, by process."""

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds


async def _drain_as_worker(settings: DrainSettings) -> Drained:
    """Claim all partitions and read them to their end, as a worker of the service does."""
    nc = await connect(settings.url, name="fanout bench worker")
    engine = filled_engine(settings.instances, settings.stored.names)
    log = await NatsLog.open(nc, EmbeddedDeployment("bench"), partitions=PARTITIONS)
    publisher, failures = Publisher(engine, NatsBus(nc)), list[BaseException]()
    async with Tasks(failures.append) as tasks:
        partitions = Partitions("bench", engine, log, publisher, tasks, Suspensions(engine, Contact()))
        tasks.start(publisher.run(), "publisher")
        stopwatch = Stopwatch(settings.watched)
        await asyncio.gather(*map(partitions.claim, range(log.partitions)))
        while engine.stats()["routed"] < settings.stored.events * len(settings.instances):
            if failures:
                raise failures[0]
            await asyncio.sleep(_LOOK_EVERY_S)
        await _until_acknowledged(nc.jetstream())
        seconds, processor = stopwatch.read()
    await log.close()
    await nc.close()
    return Drained(settings.stored.events, seconds, processor)


def filled_engine(instances: Iterable[str], channels: list[str]) -> Engine:
    """One user on each instance, in every channel."""
    engine = Engine()
    for at, instance in enumerate(instances):
        engine.user_online(f"user-{at}", instance, channels)
    return engine


async def _until_acknowledged(js: JetStreamContext) -> None:
    """Return when nats-server waits for no acknowledgement from any consumer of the stream."""
    while any(consumer.num_ack_pending for consumer in await js.consumers_info(MESSAGES)):  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_EVERY_S)


class _Event(msgspec.Struct, frozen=True):
    type: str
    channel_id: str
    message: dict[str, Any]


async def _fetch_and_publish(settings: DrainSettings, *, ack_per_fetch: bool) -> Drained:
    """Fetch, decode, look up, encode, publish to each target, acknowledge each event, or the last of each fetch."""
    nc = await nats.connect(settings.url)
    js = nc.jetstream()
    policy = AckPolicy.ALL if ack_per_fetch else AckPolicy.EXPLICIT
    config = ConsumerConfig(
        durable_name=_DURABLE, deliver_policy=DeliverPolicy.ALL, ack_policy=policy, max_ack_pending=10_000
    )
    subjects = [instance_events(instance) for instance in settings.instances]
    targets = {name: subjects for name in settings.stored.names}  # noqa: C420 - one list, which nobody changes
    decode, left = msgspec.json.Decoder(_Event).decode, settings.stored.events
    stopwatch = Stopwatch(settings.watched)
    await js.add_consumer(MESSAGES, config)
    subscription = await js.pull_subscribe_bind(consumer=_DURABLE, stream=MESSAGES)
    while left:
        messages = await subscription.fetch(min(_FETCH, left))
        for msg in messages:
            event = decode(msg.data)
            place = {"seq": msg.metadata.sequence.stream, "part": int(msg.subject.split(".")[2])}
            frame = encode({"type": event.type, **place, "channel_id": event.channel_id, "message": event.message})
            for target in targets[channel_of(msg.subject)]:
                await nc.publish(target, frame)
            if not ack_per_fetch:
                await msg.ack()
        if ack_per_fetch:
            await messages[-1].ack()
        left -= len(messages)
    await nc.flush()
    await _until_acknowledged(js)
    seconds, processor = stopwatch.read()
    await nc.close()
    return Drained(settings.stored.events, seconds, processor)


def in_batches(batches: Iterable[bytes]) -> Iterator[int]:
    """The numbers of the events in an inbox of the engine's batches, in order."""
    for batch in batches:
        for event in decode_batch(batch):
            if event.channel is not None:  # a mark says how far a lane has come, and carries no event
                yield number_in(event.event)


def check_inbox(received: Iterable[int], stored: StoredEvents, instance: str) -> None:
    """Compare what one instance got with the events of each partition, as `check_groups`."""
    partitions = [partition_of(name, PARTITIONS) for name in stored.names]
    numbered = ((partitions[stored.chosen[number - 1]], number) for number in received)
    check_groups(stored.numbers_by(partitions), numbered, f"partition {{}} at {instance}")


_Way = tuple[Callable[[DrainSettings], Coroutine[Any, Any, Drained]], Callable[[Iterable[bytes]], Iterable[int]]]
_WAYS: Final[dict[str, _Way]] = {
    "worker": (_drain_as_worker, in_batches),
    "plain": (partial(_fetch_and_publish, ack_per_fetch=False), partial(map, number_in)),
    "joined": (partial(_fetch_and_publish, ack_per_fetch=True), partial(map, number_in)),
}
"""The function that drains, and how the inboxes are read after it."""


def _drain(settings: DrainSettings, _leader: Leader) -> Drained:
    configure_logging("json", "warning", service="fanout")
    return uvloop.run(_WAYS[settings.way][0](settings))


class Drains(msgspec.Struct, frozen=True):
    """Every run, by way; each brought every event once and in order to every instance."""

    runs: dict[str, list[Drained]]
    stored_per_second: float
    """How fast the stream was filled."""

    def rate(self, way: str) -> float:
        """Events per second: the median of the turns."""
        return median(each.rate for each in self.runs[way])


def drains(options: PipelineOptions, folder: Path, progress: Progress) -> Drains:
    """Fill a stream, and drain it in each way in turn; a `BenchError` if an event was lost, doubled or swapped."""
    with running("nats-server", folder) as server:
        progress(0.0, f"{options.events:,} events are stored")
        began = perf_counter()
        store_events(server.port, StoredEvents(options.events, options.channels))
        seconds = perf_counter() - began
        runs: dict[str, list[Drained]] = {way: [] for way in _WAYS}
        for turn in range(options.rounds):
            progress((turn + 1) / (options.rounds + 1), f"turn {turn + 1} of {options.rounds}")
            for way in _WAYS:
                runs[way].append(_drain_once(way, options, server))
    return Drains(runs, options.events / seconds)


def _drain_once(way: str, options: PipelineOptions, server: Server) -> Drained:
    """Drain the stream once from its start; this process has the inboxes of the instances, and checks them after."""
    asyncio.run(_delete_consumers(server.url))
    events = options.events if way == "worker" else max(1, round(options.events * options.plain_share))
    stored = StoredEvents(events, options.channels)
    instances = [instance_name(at, options.targets) for at in range(options.targets)]
    inboxes: defaultdict[bytes, list[bytes]] = defaultdict(list)
    client = NatsClient(server.port, lambda subject, payload: inboxes[subject].append(payload))
    client.subscribe(map(instance_events, instances))
    watched = {"worker": 0, "nats-server": server.pid, "sink": os.getpid()}
    with Worker(f"the {way} that drains", _drain, DrainSettings(way, server.url, stored, instances, watched)) as worker:
        client.read_until_message(worker)
        drained = worker.receive(Drained)
    client.flush()  # what the server had for this connection comes before its answer
    for instance in instances:
        check_inbox(_WAYS[way][1](inboxes[instance_events(instance).encode()]), stored, instance)
    client.close()
    return drained


async def _delete_consumers(url: str) -> None:
    """Delete the stream's consumers, so that the next reader begins at its start."""
    nc = await nats.connect(url)
    for consumer in await nc.jetstream().consumers_info(MESSAGES):
        await nc.jetstream().delete_consumer(MESSAGES, consumer.name)
    await nc.close()
