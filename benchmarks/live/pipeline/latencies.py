"""From accept to socket: the whole tier between an open loop of messages and many clients, at several rates."""

import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.apart import Progress
from benchmarks.histogram import Histogram
from benchmarks.live.pipeline.audience import Audience
from benchmarks.live.pipeline.load_generator import GeneratorSettings, Published, generate_load, planned_at
from benchmarks.live.pipeline.readers import Deliveries, Delivery, ReaderSettings, read_deliveries
from benchmarks.live.pipeline.tier import Tier, tier
from benchmarks.live.processor_time import Busy, Stopwatch
from benchmarks.live.stored_events import StoredEvents
from benchmarks.processes import Worker

PERCENTILES: Final = (0.5, 0.9, 0.99, 0.999)
KEPT_UP_S: Final = 0.1
"""A tier keeps up with a rate if in the second half of the time the median delivery was not later than this, as
counted from when its message was due: what falls behind falls behind further with every second."""
_NS: Final = 1_000_000_000
_LEAD_S: Final = 0.5
"""Until the first message is due."""
_CURVE_POINTS: Final = 200


class LatencySettings(msgspec.Struct, frozen=True):
    """What the tier is given to do."""

    rate: float
    """Messages per second."""
    multiples: list[float]
    """Of the rate: what is tried, rising. From the rate itself on, what follows a rate that the tier does not keep up
    with is not tried."""
    readers: float
    """Of a channel, in the mean."""
    channels: int
    clients: int
    instances: int
    """Of the notification service."""
    seconds: float
    """Of each rate, on the clock."""
    warm_up_seconds: float
    """Before, at the same rate."""

    @property
    def audience(self) -> Audience:
        """Who is in which channel."""
        return Audience(max(self.clients, math.ceil(2 * self.readers)), self.channels, self.readers)


class Spread(msgspec.Struct, frozen=True):
    """Durations in seconds."""

    count: int
    percentiles: dict[str, float]
    longest: float
    curve: list[tuple[float, float]]
    """Points (share of all, seconds)."""


class Moments(msgspec.Struct, frozen=True):
    """Of the deliveries and messages on the clock; only what came before the cause of it counts as 0."""

    from_accept: Spread
    """From the log's word that it holds a message to a client's having read it."""
    from_plan: Spread
    """From when a message was due to a client's having read it."""
    accept: Spread
    """From when a message was due to the log's word."""
    lateness: Spread
    """From when a message was due to its being sent: of the generator itself."""
    late_half: float
    """The median from plan in the second half of the time, in seconds."""


class AtRate(msgspec.Struct, frozen=True):
    """One rate; every client was found to have got every event of its channels once and in order."""

    rate: float
    """Messages per second, as planned."""
    deliveries_per_second: float
    messages: int
    """On the clock."""
    refused: int
    """Messages that the log did not take, of all."""
    moments: Moments
    busy: Busy

    @property
    def kept_up(self) -> bool:
        """Whether the tier did; see `KEPT_UP_S`."""
        return not self.refused and self.moments.late_half <= KEPT_UP_S


class Latencies(msgspec.Struct, frozen=True):
    """Rates that were tried."""

    at_rates: list[AtRate]
    clients: int
    memberships: int


def latencies(settings: LatencySettings, folder: Path, progress: Progress) -> Latencies:
    """Start the tier, and try one rate after another.

    Args:
        settings: what is tried.
        folder: for data and logs.
        progress: is told how far it is.

    Raises:
        BenchError: something is missing or broke, or events were lost, doubled or swapped.
    """
    audience, tried = settings.audience, list[AtRate]()
    progress(0.0, "the tier starts")
    with tier(folder, audience, settings.instances) as running:
        for at, multiple in enumerate(settings.multiples, 1):
            rate = settings.rate * multiple
            progress(at / (len(settings.multiples) + 1), f"{rate:,.0f} messages a second")
            tried.append(_at_rate(settings, rate, running))
            if multiple >= 1 and not tried[-1].kept_up:
                break
    return Latencies(tried, audience.clients, sum(map(len, audience.members)))


def _at_rate(settings: LatencySettings, rate: float, running: Tier) -> AtRate:
    """Send at a rate to a tier that runs, and see when it arrives."""
    warm = round(rate * settings.warm_up_seconds)
    stored = StoredEvents(warm + round(rate * settings.seconds), settings.channels, draw=round(rate))
    reading = ReaderSettings(running.ports, running.secret, settings.audience, stored)
    with (
        Worker("the clients", read_deliveries, reading) as clients,
        Worker("the generator", generate_load, GeneratorSettings(running.nats.port, stored, rate)) as generator,
    ):
        clients.receive(str)
        generator.receive(str)
        start = time.monotonic_ns() + int(_LEAD_S * _NS)
        generator.send(start)
        pids = running.pids | {"generator": generator.pid, "clients": clients.pid}
        busy = _watched(pids, planned_at(start, warm, rate), planned_at(start, stored.events, rate))
        published = generator.receive(Published)
        clients.send(published.refused())
        moments = moments_of(published, clients.receive(Deliveries), start, rate, warm)
    return AtRate(
        rate=rate,
        deliveries_per_second=moments.from_plan.count / settings.seconds,
        messages=stored.events - warm,
        refused=len(published.refused()),
        moments=moments,
        busy=busy,
    )


def moments_of(published: Published, deliveries: Iterable[Delivery], start: int, rate: float, warm: int) -> Moments:
    """The durations of a run.

    Args:
        published: when each event was sent, and accepted.
        deliveries: of all clients.
        start: when the first event was due, in nanoseconds.
        rate: events per second.
        warm: how many events came before the clock.
    """
    sent, accepted = published.sent, published.accepted
    planned = [planned_at(start, index, rate) for index in range(len(sent))]
    middle = (warm + len(sent)) // 2
    from_accept, from_plan, late_half = Histogram(), Histogram(), Histogram()
    on_clock = [(number - 1, moment) for number, moment in deliveries if number > warm]
    from_accept.record(max(0, moment - accepted[index]) for index, moment in on_clock)
    from_plan.record(moment - planned[index] for index, moment in on_clock)
    late_half.record(moment - planned[index] for index, moment in on_clock if index >= middle)
    accept, lateness = Histogram(), Histogram()
    accept.record(accepted[index] - planned[index] for index in range(warm, len(sent)) if accepted[index])
    lateness.record(sent[index] - planned[index] for index in range(warm, len(sent)))
    return Moments(
        from_accept=_spread(from_accept),
        from_plan=_spread(from_plan),
        accept=_spread(accept),
        lateness=_spread(lateness),
        late_half=late_half.percentile(0.5) / _NS,
    )


def _watched(pids: dict[str, int], begin: int, end: int) -> Busy:
    """Between two moments that are to come."""
    _sleep_until(begin)
    stopwatch = Stopwatch(pids)
    _sleep_until(end)
    return stopwatch.busy()


def _sleep_until(moment: int) -> None:
    time.sleep(max(0.0, (moment - time.monotonic_ns()) / _NS))


def _spread(durations: Histogram) -> Spread:
    curve = durations.curve()
    step = max(1, len(curve) // _CURVE_POINTS)
    return Spread(
        count=durations.count,
        percentiles={f"p{share * 100:g}": durations.percentile(share) / _NS for share in PERCENTILES},
        longest=durations.longest / _NS,
        curve=[(share, each / _NS) for share, each in (*curve[:-1:step], *curve[-1:])],
    )
