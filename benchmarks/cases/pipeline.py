"""`fanout bench pipeline`: from a stream in files to the instances, and through the whole tier to sockets."""

from statistics import median
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from benchmarks import units
from benchmarks.apart import Stages
from benchmarks.case import Case, part
from benchmarks.cases.planning import Costs
from benchmarks.errors import DoesNotFitError, NumbersError
from benchmarks.live.pipeline.drains import WAYS, Drains, DrainsSettings, Way, drains
from benchmarks.live.pipeline.latencies import KEPT_UP_S, AtRate, Latencies, LatencySettings, Spread, latencies
from benchmarks.live.servers import find_program, nats_server, redis_server, workplace
from benchmarks.live.stored_events import EVENT_BYTES
from benchmarks.machine import available_bytes
from benchmarks.report import Figure, Report, Row, Table, Target, at_least, at_most, distribution, exact, figures

_FULL_EVENTS: Final = 200_000
_FULL_SECONDS: Final = 10.0
_TARGET_INSTANCES: Final = 6
_TARGET_RATE: Final = 2_000.0
_TARGET_DELIVERIES: Final = 20_000.0
_DRAINED_LIMIT: Final = 60e3
_BEFORE_PLAIN: Final = 5
_SOCKET_LIMITS_S: Final = {"p50": 3e-3, "p99": 10e-3}
_KEPT_BYTES: Final = 700
"""Of each event for each instance, until it is checked; on the safe side."""
_FULL: Final = 0.95
"""Of all cores: from there on they count as full."""
_SHARE: Final = 0.5
"""Of a core: what the generator and the clients may take each and still be taken for cheap."""
_OTHERS: Final = 0.25
"""Of a core: what others may take without being mentioned."""
_LATE_S: Final = 0.001
_WAYS: Final[dict[Way, tuple[str, str]]] = {
    "worker": (
        "the worker",
        "The service's own path: a stored event is wrapped and put into a batch for each instance.",
    ),
    "plain": (
        "the straightforward way",
        "nats-py's fetch(200), msgspec, a dict, orjson, nc.publish for each instance, each event acknowledged.",
    ),
    "joined": (
        "the same, acknowledged by the fetch",
        "The last event of each fetch is acknowledged, and those before it with it.",
    ),
}
_PROCESSES: Final = {"worker": "worker", "nats-server": "nats-server", "sink": "inboxes"}
_LEAST_RATE: Final = 50.0
_LEAST_S: Final = 1.0


class PipelineOptions(msgspec.Struct, frozen=True):
    """How much goes through."""

    events: Annotated[int, Meta(ge=1, description="Events in the stream that is drained.")] = _FULL_EVENTS
    targets: Annotated[int, Meta(ge=1, description="Instances that each of them goes to.")] = _TARGET_INSTANCES
    channels: Annotated[int, Meta(ge=1, description="Channels, drawn at random.")] = 2_000
    rate: Annotated[float, Meta(ge=1, description="Messages per second through the tier.")] = _TARGET_RATE
    deliveries: Annotated[float, Meta(ge=1, description="Deliveries per second at that rate.")] = _TARGET_DELIVERIES
    seconds: Annotated[float, Meta(ge=0.5, description="Of each rate, on the clock.")] = _FULL_SECONDS
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


def run(options: PipelineOptions, stages: Stages) -> Report:
    """Drain a stream by the worker and by the straightforward ways, then measure the whole tier from end to end.

    Raises:
        BenchError: the options cannot be, a server is missing, or events were lost, doubled or swapped.
    """
    _require(options)
    drained = _drained(options, stages)
    through = _through(options, stages)
    return Report(
        f"The pipeline: {options.events:,} events to {options.targets} instances each, and from accept to socket",
        _summary(options, drained, through),
        _targets(options, drained, through),
        [_draining(drained, options.targets), _latency(through), _processors(through)],
        {"drains": drained, "latencies": through, "planning": _planning(_asked(options, through))},
    )


def _asked(options: PipelineOptions, through: Latencies) -> AtRate:
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
    with workplace() as folder, nats_server(folder), redis_server(folder):
        pass  # both answer: a broken one must not cost what was measured before it is needed


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
    shares = _asked(options, through).moments.from_accept.percentiles
    return (
        f"One worker drained {units.count(drained.rate('worker'))} events a second to {options.targets} instances "
        f"each, {units.times(drained.rate('worker') / drained.rate('plain'))} as many as the straightforward way. At "
        f"{options.rate:,.0f} messages and {options.deliveries:,.0f} deliveries a second, half of the deliveries "
        f"reached the client within {units.duration(shares['p50'])} of the message's being accepted, and 99 % within "
        f"{units.duration(shares['p99'])}."
    )


def _targets(options: PipelineOptions, drained: Drains, through: Latencies) -> list[Target]:
    drain_judged = options.events >= _FULL_EVENTS and options.targets == _TARGET_INSTANCES
    at_target = (options.rate, options.deliveries) == (_TARGET_RATE, _TARGET_DELIVERIES)
    judged = options.seconds >= _FULL_SECONDS and at_target
    rate, shares = drained.rate("worker"), _asked(options, through).moments.from_accept.percentiles
    what = f"events drained by one worker to {options.targets} instances each"
    before = rate / drained.rate("plain")
    load = f"{options.rate:,.0f} messages and {options.deliveries:,.0f} deliveries"
    to_instances = sum(each.events for runs in drained.runs.values() for each in runs) * options.targets
    to_clients = sum(each.moments.from_plan.count for each in through.at_rates)
    return [
        at_least(f"{what}, per second", rate, _DRAINED_LIMIT, "/s", judged=drain_judged),
        at_least(f"{what}, beside the straightforward way", before, _BEFORE_PLAIN, "times", judged=drain_judged),
        *(
            at_most(f"from accept to socket at {load} a second, {share}", shares[share], limit, "s", judged=judged)
            for share, limit in _SOCKET_LIMITS_S.items()
        ),
        exact(
            "events that came once and in order to every instance, and to every client",
            f"all {to_instances:,} and {to_clients:,}",
        ),
    ]


def _planning(at: AtRate) -> Costs:
    """Processor time of a message, at the rate that was asked for."""

    def each(name: str) -> float:
        return at.busy.processes[name] / at.rate

    return Costs(
        worker_s_per_message=each("fanout"),
        nats_s_per_message=each("nats-server"),
        redis_s_per_message=each("redis-server"),
    )


def _draining(drained: Drains, targets: int) -> Table:
    rows = []
    for way in WAYS:
        name, note = _WAYS[way]
        rates = [each.rate for each in drained.runs[way]]
        processor = (median(each.processor[of] / each.events for each in drained.runs[way]) for of in _PROCESSES)
        cells = [*figures("/s", (drained.rate(way), min(rates), max(rates))), *figures("s", processor)]
        rows.append(Row(name, cells, note))
    return Table(
        "Draining a stream",
        f"A stream in files, in {drained.partitions} partitions, holds events of {EVENT_BYTES} bytes, stored at "
        f"{units.count(drained.stored_per_second)} a second. One process reads it and publishes each event to "
        f"{targets} instances, until nats-server has every acknowledgement. All got each, once, and in order. "
        "Beside the rate is the processor time of each process for one event.",
        ["events, median", "slowest", "fastest", *(f"{name}, per event" for name in _PROCESSES.values())],
        rows,
        bars=[0],
    )


def _latency(through: Latencies) -> Table:
    def curves(of: str) -> dict[str, list[tuple[float, float]]]:
        """In milliseconds."""
        return {
            f"{at.rate:,.0f}/s": [(share, taken * 1e3) for share, taken in getattr(at.moments, of).curve]
            for at in through.at_rates
        }

    return Table(
        "From accept to socket",
        "Messages are stored at equal distances in time, whatever became of those before: what is late shows in the "
        "time since it was due. Accepted is the moment of the log's answer, at which a user gets 202; a message that "
        f"is at its reader before that took no time. {through.clients:,} clients with {through.memberships:,} "
        "memberships got every message of their channels, once and in order.",
        ["per second", *through.at_rates[0].moments.from_accept.percentiles, "longest"],
        [row for at in through.at_rates for row in _rows(at)],
        plots=[
            distribution("From accept to socket", "ms", curves("from_accept")),
            distribution("From when it was due to the socket", "ms", curves("from_plan")),
        ],
    )


def _rows(at: AtRate) -> list[Row]:
    def row(name: str, rate: float, spread: Spread, note: str, *, inner: bool = True) -> Row:
        return Row(
            name, [Figure(rate, "/s"), *figures("s", (*spread.percentiles.values(), spread.longest))], note, inner
        )

    of, deliveries = at.moments, at.deliveries_per_second
    return [
        row(f"{at.rate:,.0f} messages/s: accept to socket", deliveries, of.from_accept, _kept_up(at), inner=False),
        row("due to socket", deliveries, of.from_plan, "Since the message was due to be sent."),
        row("due to accept", at.rate, of.accept, "Until the log had answered that it holds it."),
        row("due to sent", at.rate, of.lateness, "How late the generator itself was."),
    ]


def _kept_up(at: AtRate) -> str:
    if at.kept_up:
        return "The tier kept up."
    refused = f" The log refused {units.counted(at.refused, 'message')}." if at.refused else ""
    return (
        f"The tier did not keep up: in the second half the median was {units.duration(at.moments.late_half)} after a "
        f"message was due, more than {units.duration(KEPT_UP_S)}.{refused}"
    )


def _processors(through: Latencies) -> Table:
    names = list(through.at_rates[0].busy.processes)
    rows = []
    for at in through.at_rates:
        shares = (*(at.busy.processes[name] for name in names), at.busy.others, at.busy.machine)
        rows.append(
            Row(f"{at.rate:,.0f} messages/s", figures("%", (100 * share for share in shares)), load_in_words(at))
        )
    return Table(
        "What took the processors",
        "Processor time of each process and of all others on this machine, in per cent of one core; at last how much "
        f"of all {units.counted(through.at_rates[0].busy.cores, 'core')} was in use. Where all are full, latencies say "
        "as much about the machine as about the tier.",
        [*names, "others", "of all cores"],
        rows,
    )


def load_in_words(at: AtRate) -> str:
    """Whether the load itself, or anything else, was what was measured."""
    said = [
        f"The {name} took more than half a core: they are part of what is measured."
        for name in ("generator", "clients")
        if at.busy.processes[name] > _SHARE
    ]
    if (late := at.moments.lateness.percentiles["p99"]) > _LATE_S:
        said.append(f"The generator was late, in 1 of 100 messages by {units.duration(late)} or more.")
    if at.busy.machine > _FULL:
        said.append("All cores were full.")
    if at.busy.others > _OTHERS:
        said.append(f"Other programs took {at.busy.others * 100:.0f} % of one core.")
    return " ".join(said) or "The generator and the clients took little, and there was room on the cores."


def quick(options: PipelineOptions) -> PipelineOptions:
    """A fiftieth of the events, and a tenth of the rate for a fifth of the time: not so little that nothing comes."""
    rate = max(min(options.rate, _LEAST_RATE), options.rate / 10)
    return replace(
        options,
        events=part(options.events),
        channels=part(options.channels, 1 / 10),
        rate=rate,
        deliveries=options.deliveries * rate / options.rate,
        seconds=max(min(options.seconds, _LEAST_S), options.seconds / 5),
        warm_up_seconds=0.5,
        multiples=(1.0,),
        rounds=1,
        plain_share=1 / 2,
        clients=options.clients // 10,
    )


CASE: Final = Case(
    "pipeline",
    "Let a fan-out worker drain a stream, and send messages through the whole tier to WebSockets.\n\n"
    "It starts a nats-server, a redis-server and the services as they are run. Draining beside the straightforward way "
    "with the same libraries; then, at several rates, how long it takes from when a message is accepted until it "
    "reaches its readers. Everything that arrives is checked: once, and in order.",
    PipelineOptions,
    run,
    quick,
    stages=2,
    background="A message is accepted when the log, a stream in nats-server, holds it in files. A fan-out worker reads "
    "the stream and publishes each message once to the inbox of each instance whose clients read its channel; an "
    "instance writes it to their WebSockets. All are processes of this machine and share its cores, and so do the "
    "generator of messages and the clients.",
)
