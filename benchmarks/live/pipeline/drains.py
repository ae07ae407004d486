"""Draining the stream: the worker and the straightforward ways in turn, and what the instances got is checked."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Final, Literal

import msgspec

from benchmarks.apart import Progress
from benchmarks.live.feed import Feed, fill
from benchmarks.live.parts import Stage, playing
from benchmarks.live.pipeline.draining import Drained, DrainSettings, drain
from benchmarks.live.pipeline.plainly import drain_plainly
from benchmarks.live.pipeline.sink import Form, SinkSettings, Sunk, sink
from benchmarks.live.servers import Server, nats_server
from benchmarks.population import instance_name
from fanout.subjects import MESSAGES
from services.adapters.nats.connection import connect

Way = Literal["worker", "plain", "joined"]
"""The worker; the straightforward way; the same with one acknowledgement for each fetch."""
WAYS: Final[tuple[Way, ...]] = ("worker", "plain", "joined")
_READY_WITHIN_S: Final = 60.0
_DRAINED_WITHIN_S: Final = 3_600.0
"""Whoever drains says so long before, when it stands still."""
_CHECKED_WITHIN_S: Final = 300.0
_CALLS: Final[dict[Way, tuple[Callable[[DrainSettings, Stage], Drained], Form]]] = {
    "worker": (drain, "batches"),
    "plain": (drain_plainly, "frames"),
    "joined": (drain_plainly, "frames"),
}


class DrainsSettings(msgspec.Struct, frozen=True):
    """How much is drained, how often."""

    events: int
    plain_events: int
    """Of the same stream's beginning, by the straightforward ways."""
    channels: int
    targets: int
    rounds: int
    """In each of which all ways have their turn."""


class Drains(msgspec.Struct, frozen=True):
    """Every run, by way; each was checked to have brought every event once and in order to every instance."""

    runs: dict[Way, list[Drained]]
    partitions: int
    stored_per_second: float
    """How fast the stream was filled."""

    def rate(self, way: Way) -> float:
        """Events per second: the median of the turns."""
        return median(each.rate for each in self.runs[way])


class Stream(msgspec.Struct, frozen=True):
    """A server whose stream is filled, and where logs go."""

    nats: Server
    partitions: int
    folder: Path


def drains(settings: DrainsSettings, folder: Path, progress: Progress) -> Drains:
    """Fill a stream, and drain it in each way as often as is asked.

    Args:
        settings: how much.
        folder: for the server's store and logs.
        progress: is told how far it is.

    Raises:
        BenchError: there is no nats-server, or events were lost, doubled or swapped.
    """
    with nats_server(folder) as nats:
        progress(0.0, f"{settings.events:,} events are stored")
        feed = Feed(settings.events, settings.channels)
        began = time.perf_counter()
        stream = Stream(nats, fill(nats.url, nats.port, feed), folder)
        stored_per_second = settings.events / (time.perf_counter() - began)
        runs: dict[Way, list[Drained]] = {way: [] for way in WAYS}
        turns = [way for _ in range(settings.rounds) for way in WAYS]
        for at, way in enumerate(turns, 1):
            progress(at / (len(turns) + 1), f"turn {at} of {len(turns)}")
            runs[way].append(one_drain(way, settings, stream))
    return Drains(runs, stream.partitions, stored_per_second)


def one_drain(way: Way, settings: DrainsSettings, stream: Stream) -> Drained:
    """Drain a stream once from its beginning, and check what the instances got.

    Raises:
        BenchError: it did not work, or events were lost, doubled or swapped.
    """
    asyncio.run(_forget_readers(stream.nats.url))
    function, form = _CALLS[way]
    feed = Feed(settings.events if way == "worker" else settings.plain_events, settings.channels)
    instances = [instance_name(at, settings.targets) for at in range(settings.targets)]
    inboxes = SinkSettings(stream.nats.port, instances, form, feed, stream.partitions)
    with playing(sink, inboxes, Sunk, "sink", stream.folder) as receiving:
        receiving.await_ready(_READY_WITHIN_S)
        watched = {"nats-server": stream.nats.pid, "sink": receiving.pid}
        work = DrainSettings(stream.nats.url, feed, instances, watched, joined_acks=way == "joined")
        with playing(function, work, Drained, f"worker-{way}", stream.folder) as worker:
            drained = worker.result(_DRAINED_WITHIN_S)
        receiving.cue()
        receiving.result(_CHECKED_WITHIN_S)
    return drained


async def _forget_readers(url: str) -> None:
    """Delete the stream's consumers, so that the next reader begins at its beginning."""
    nc = await connect(url, name="fanout bench")
    js = nc.jetstream()
    for consumer in await js.consumers_info(MESSAGES):
        await js.delete_consumer(MESSAGES, consumer.name)
    await nc.close()
