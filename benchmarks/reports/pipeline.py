"""`fanout bench pipeline`: from a stream in files to the instances, and through the whole tier to sockets."""

from typing import Final

import msgspec
from msgspec.structs import replace

from benchmarks import units
from benchmarks.errors import DoesNotFitError, NumbersError
from benchmarks.live.pipeline.drains import Drains, DrainsSettings, drains
from benchmarks.live.pipeline.latencies import AtRate, Latencies, LatencySettings, latencies
from benchmarks.live.servers import find_program, nats_server, redis_server, workplace
from benchmarks.machine import available_bytes
from benchmarks.report import Report, Target, at_least, at_most
from benchmarks.reports import pipeline_sections as sections
from benchmarks.reports.framing import Run
from benchmarks.stages import Stages

STAGES: Final = 2
"""Draining, and the whole tier."""
FULL_EVENTS: Final = 200_000
FULL_SECONDS: Final = 10.0
_TARGET_INSTANCES: Final = 6
_TARGET_RATE: Final = 2_000.0
_TARGET_DELIVERIES: Final = 20_000.0
_DRAINED_LIMIT_K: Final = 60
_BEFORE_PLAIN: Final = 5
_SOCKET_LIMITS_MS: Final = {"p50": 3, "p99": 10}
_KEPT_BYTES: Final = 700
"""Of each event for each instance, until it is checked; on the safe side."""
_BACKGROUND: Final = (
    "A message is accepted when the log, a stream in nats-server, holds it in files. A fan-out worker reads the "
    "stream, finds for each message the instances whose clients read its channel, and publishes it once to the inbox "
    "of each; what came in one batch is acknowledged together, after it was published. An instance writes what is in "
    "its inbox to the WebSockets of its clients. All are processes of this machine and share its cores, and so do the "
    "generator of messages and the clients."
)


class PipelineOptions(msgspec.Struct, frozen=True):
    """How much goes through."""

    events: int = FULL_EVENTS
    """In the stream that is drained."""
    targets: int = _TARGET_INSTANCES
    """Instances that each of them goes to."""
    channels: int = 2_000
    rate: float = _TARGET_RATE
    """Messages per second through the whole tier."""
    deliveries: float = _TARGET_DELIVERIES
    """Per second at that rate: how many readers a channel has, times the rate."""
    seconds: float = FULL_SECONDS
    """Of each rate, on the clock."""
    warm_up_seconds: float = 3.0
    multiples: tuple[float, ...] = (0.25, 1.0, 2.0, 4.0)
    """Of the rate: what is tried."""
    rounds: int = 3
    """Of draining, by each way."""
    plain_share: float = 1 / 8
    """Of the events, as many as the straightforward ways drain."""
    clients: int = 400
    instances: int = 1
    """Of the notification service."""

    @property
    def drain_judged(self) -> bool:
        """Whether draining is what its targets are about."""
        return self.events >= FULL_EVENTS and self.targets == _TARGET_INSTANCES

    @property
    def latency_judged(self) -> bool:
        """Whether the whole tier does what its targets are about."""
        full = self.seconds >= FULL_SECONDS
        return full and (self.rate, self.deliveries) == (_TARGET_RATE, _TARGET_DELIVERIES)


def pipeline(options: PipelineOptions, stages: Stages) -> Report:
    """Drain a stream by the worker and by the straightforward ways, then measure the whole tier from end to end.

    Raises:
        BenchError: the options cannot be, a server is missing, or events were lost, doubled or swapped.
    """
    run = Run()
    _require(options)
    drained = _drained(options, stages)
    through = _through(options, stages)
    report = run.report(
        "pipeline",
        f"The pipeline: {options.events:,} events to {options.targets} instances each, and from accept to socket",
        _summary(options, drained, through),
        options,
        [*_drain_targets(options, drained), *_latency_targets(options, through), _complete(options, drained, through)],
        [sections.draining(drained, options.targets), *sections.tier(through)],
        {"drains": drained, "latencies": through},
    )
    return replace(report, background=_BACKGROUND)


def main_rate(options: PipelineOptions, through: Latencies) -> AtRate:
    """What was measured at the rate that was asked for."""
    return next(each for each in through.at_rates if each.rate == options.rate)


def _require(options: PipelineOptions) -> None:
    if options.deliveries < options.rate:
        raise NumbersError(
            "a message has a reader, so there must be at least as many deliveries as messages: "
            f"--deliveries {options.deliveries:g} is less than --rate {options.rate:g}"
        )
    kept, room = options.events * options.targets * _KEPT_BYTES, available_bytes()
    if kept > room:
        raise DoesNotFitError(
            f"what the instances get is kept until it is checked, {units.size(kept)}, and {units.size(room)} can be "
            f"used; take --events {room // (options.targets * _KEPT_BYTES)} at most"
        )
    for program in ("nats-server", "redis-server"):
        find_program(program)
    _probe_servers()


def _probe_servers() -> None:
    """Both answer: one that is missing or broken must not cost what was measured before it is needed."""
    with workplace() as folder, nats_server(folder), redis_server(folder):
        pass


def _drained(options: PipelineOptions, stages: Stages) -> Drains:
    settings = DrainsSettings(
        events=options.events,
        plain_events=max(1, round(options.events * options.plain_share)),
        channels=options.channels,
        targets=options.targets,
        rounds=options.rounds,
    )
    progress = stages("draining a stream, by each way in turn")
    with workplace() as folder:
        drained = drains(settings, folder, progress)
    progress(1.0, "")
    return drained


def _through(options: PipelineOptions, stages: Stages) -> Latencies:
    settings = LatencySettings(
        rate=options.rate,
        multiples=list(options.multiples),
        readers=options.deliveries / options.rate,
        channels=options.channels,
        clients=options.clients,
        instances=options.instances,
        seconds=options.seconds,
        warm_up_seconds=options.warm_up_seconds,
    )
    progress = stages("from accept to socket, by rate")
    with workplace() as folder:
        through = latencies(settings, folder, progress)
    progress(1.0, "")
    return through


def _summary(options: PipelineOptions, drained: Drains, through: Latencies) -> str:
    at = main_rate(options, through)
    shares = at.moments.from_accept.percentiles
    return (
        f"One worker drained {units.count(drained.rate('worker'))} events a second to {options.targets} instances "
        f"each, {units.times(drained.rate('worker') / drained.rate('plain'))} as many as the straightforward way. At "
        f"{options.rate:,.0f} messages and {options.deliveries:,.0f} deliveries a second, half of the deliveries were "
        f"at the client within {units.duration(shares['p50'])} of the message's being accepted, and 99 % within "
        f"{units.duration(shares['p99'])}."
    )


def _drain_targets(options: PipelineOptions, drained: Drains) -> list[Target]:
    rate, judged = drained.rate("worker"), options.drain_judged
    what = f"events drained by one worker to {options.targets} instances each"
    return [
        at_least(f"{what}, per second", rate / 1e3, _DRAINED_LIMIT_K, "K/s", judged=judged),
        at_least(
            f"{what}, beside the straightforward way",
            rate / drained.rate("plain"),
            _BEFORE_PLAIN,
            "times",
            judged=judged,
        ),
    ]


def _latency_targets(options: PipelineOptions, through: Latencies) -> list[Target]:
    shares = main_rate(options, through).moments.from_accept.percentiles
    return [
        at_most(
            f"from accept to socket at {options.rate:,.0f} messages and {options.deliveries:,.0f} deliveries a second, "
            f"{share}",
            shares[share] * 1e3,
            limit,
            "ms",
            judged=options.latency_judged,
        )
        for share, limit in _SOCKET_LIMITS_MS.items()
    ]


def _complete(options: PipelineOptions, drained: Drains, through: Latencies) -> Target:
    to_instances = sum(each.events for runs in drained.runs.values() for each in runs) * options.targets
    to_clients = sum(each.moments.from_plan.count for each in through.at_rates)
    return Target(
        "events that came once and in order to every instance, and to every client (exact at any size)",
        "all",
        f"all {to_instances:,} and {to_clients:,}",
        met=True,
    )
