"""Draining the stream: the worker and the naive consumers in turn; what the instances got is checked each time."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Final, Literal

import msgspec

from benchmarks.apart import Progress
from benchmarks.live.pipeline.drain import Drained, DrainSettings, drain, drain_naively
from benchmarks.live.pipeline.inboxes import Form, InboxSettings, receive_inboxes
from benchmarks.live.servers import Server, nats_server
from benchmarks.live.stored_events import StoredEvents, store_events
from benchmarks.population import instance_name
from benchmarks.processes import GO, Leader, Worker
from fanout.streams import MESSAGES
from services.adapters.nats.connection import connect

Way = Literal["worker", "plain", "joined"]
"""The worker; the naive consumer; the same with one acknowledgement for each fetch."""
WAYS: Final[tuple[Way, ...]] = ("worker", "plain", "joined")
_DRAINED_WITHIN_S: Final = 3_600.0
"""A process that drains fails long before if it makes no progress."""
_CHECKED_WITHIN_S: Final = 300.0
_CALLS: Final[dict[Way, tuple[Callable[[DrainSettings, Leader], Drained], Form]]] = {
    "worker": (drain, "batches"),
    "plain": (drain_naively, "frames"),
    "joined": (drain_naively, "frames"),
}


class DrainsSettings(msgspec.Struct, frozen=True):
    """How much is drained, and how often."""

    events: int
    plain_events: int
    """From the start of the same stream, by the naive consumers."""
    channels: int
    targets: int
    rounds: int
    """All ways have a turn in each."""


class Drains(msgspec.Struct, frozen=True):
    """Every run, by way; each brought every event once and in order to every instance."""

    runs: dict[Way, list[Drained]]
    partitions: int
    stored_per_second: float
    """How fast the stream was filled."""

    def rate(self, way: Way) -> float:
        """Events per second: the median of the turns."""
        return median(each.rate for each in self.runs[way])


def drains(settings: DrainsSettings, folder: Path, progress: Progress) -> Drains:
    """Fill a stream, and drain it in each way as often as is asked.

    Args:
        settings: how much.
        folder: for the server's store.
        progress: told how far it is.

    Raises:
        BenchError: there is no nats-server, or an event was lost, came twice or out of order.
    """
    with nats_server(folder) as nats:
        progress(0.0, f"{settings.events:,} events are stored")
        began = time.perf_counter()
        partitions = store_events(nats.url, nats.port, StoredEvents(settings.events, settings.channels))
        stored_per_second = settings.events / (time.perf_counter() - began)
        runs: dict[Way, list[Drained]] = {way: [] for way in WAYS}
        turns = [way for _ in range(settings.rounds) for way in WAYS]
        for at, way in enumerate(turns, 1):
            progress(at / (len(turns) + 1), f"turn {at} of {len(turns)}")
            runs[way].append(_drain_once(way, settings, nats, partitions))
    return Drains(runs, partitions, stored_per_second)


def _drain_once(way: Way, settings: DrainsSettings, nats: Server, partitions: int) -> Drained:
    """Drain the stream once from its start, and check what the instances got."""
    asyncio.run(_delete_consumers(nats.url))
    function, form = _CALLS[way]
    stored = StoredEvents(settings.events if way == "worker" else settings.plain_events, settings.channels)
    instances = [instance_name(at, settings.targets) for at in range(settings.targets)]
    expected = InboxSettings(nats.port, instances, form, stored, partitions)
    with Worker("the inboxes", receive_inboxes, expected, answer_within_s=_CHECKED_WITHIN_S) as inboxes:
        inboxes.receive(str)
        watched = {"nats-server": nats.pid, "sink": inboxes.pid}
        work = DrainSettings(nats.url, stored, instances, watched, ack_per_fetch=way == "joined")
        with Worker(f"the {way} that drains", function, work, answer_within_s=_DRAINED_WITHIN_S) as draining:
            drained = draining.receive(Drained)
        inboxes.send(GO)
        inboxes.receive(int)
    return drained


async def _delete_consumers(url: str) -> None:
    """Delete the stream's consumers, so that the next reader begins at its start."""
    nc = await connect(url, name="fanout bench")
    js = nc.jetstream()
    for consumer in await js.consumers_info(MESSAGES):
        await js.delete_consumer(MESSAGES, consumer.name)
    await nc.close()
