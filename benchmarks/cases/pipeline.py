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
from benchmarks.live.pipeline.drains import Drains, DrainsSettings, Way, drains
from benchmarks.live.pipeline.latencies import KEPT_UP_S, AtRate, Latencies, LatencySettings, latencies
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
_FULL, _SHARE, _OTHERS = 0.95, 0.5, 0.25
"""Of all cores, from which on they count as full; of a core, what the generator or the clients may take and still be
taken for cheap; of a core, what other programs may take without being mentioned."""
_LATE_S: Final = 0.001
_WAYS: Final[dict[Way, str]] = {
    "worker": "the worker",
    "plain": "the straightforward way",
    "joined": "the same, acknowledged by the fetch",
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
            "a message has a reader, so there must be at least as many deliveries as messages: --deliveries "
            f"{options.deliveries:g} is less than --rate {options.rate:g}"
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
    plain = max(1, round(options.events * options.plain_share))
    settings = DrainsSettings(options.events, plain, options.channels, options.targets, options.rounds)
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
    worker, nats, redis = (at.busy.processes[name] / at.rate for name in ("fanout", "nats-server", "redis-server"))
    return Costs(worker_s_per_message=worker, nats_s_per_message=nats, redis_s_per_message=redis)


def _draining(drained: Drains, targets: int) -> Table:
    rows = []
    for way, name in _WAYS.items():
        rates = [each.rate for each in drained.runs[way]]
        processor = (median(each.processor[of] / each.events for each in drained.runs[way]) for of in _PROCESSES)
        cells = [*figures("/s", (drained.rate(way), min(rates), max(rates))), *figures("s", processor)]
        rows.append(Row(name, cells))
    text = (
        f"A stream in files, in {drained.partitions} partitions, holds events of {EVENT_BYTES} bytes, stored at "
        f"{units.count(drained.stored_per_second)} a second. One process reads it and publishes each event to "
        f"{targets} instances, until nats-server has every acknowledgement; all got each once, and in order. The "
        "straightforward way is nats-py's fetch(200), msgspec, a dict, orjson and nc.publish. Then: processor time "
        "for one event."
    )
    columns = ["events, median", "slowest", "fastest", *(f"{name}, per event" for name in _PROCESSES.values())]
    return Table("Draining a stream", text, columns, rows, bars=[0])


def _latency(through: Latencies) -> Table:
    plots = []
    for title, of in (("From accept to socket", "from_accept"), ("From when it was due to the socket", "from_plan")):
        curves = {f"{at.rate:,.0f}/s": getattr(at.moments, of).curve for at in through.at_rates}
        plots.append(distribution(title, "ms", curves, 1e3))
    text = (
        "Messages are stored at equal distances in time, whatever became of those before: what is late shows in the "
        "time since it was due. Accepted is the moment of the log's answer, at which a user gets 202; a message that "
        f"is at its reader before that took no time. {through.clients:,} clients with {through.memberships:,} "
        "memberships got every message of their channels, once and in order."
    )
    columns = ["per second", *through.at_rates[0].moments.from_accept.percentiles, "longest"]
    rows = [row for at in through.at_rates for row in _rows(at)]
    return Table("From accept to socket", text, columns, rows, plots=plots)


def _rows(at: AtRate) -> list[Row]:
    of, deliveries = at.moments, at.deliveries_per_second
    lines = {
        f"{at.rate:,.0f} messages/s: accept to socket": (deliveries, of.from_accept, _kept_up(at)),
        "due to socket": (deliveries, of.from_plan, "Since the message was due to be sent."),
        "due to accept": (at.rate, of.accept, "Until the log had answered that it holds it."),
        "due to sent": (at.rate, of.lateness, "How late the generator itself was."),
    }
    return [
        Row(
            name, [Figure(rate, "/s"), *figures("s", (*spread.percentiles.values(), spread.longest))], note, bool(inner)
        )
        for inner, (name, (rate, spread, note)) in enumerate(lines.items())
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
    names, cores = list(through.at_rates[0].busy.processes), through.at_rates[0].busy.cores
    rows = []
    for at in through.at_rates:
        shares = (*(at.busy.processes[name] for name in names), at.busy.others, at.busy.machine)
        cells = figures("%", (100 * share for share in shares))
        rows.append(Row(f"{at.rate:,.0f} messages/s", cells, load_in_words(at)))
    text = f"In per cent of one core; at last how much of all {units.counted(cores, 'core')} was in use."
    return Table("What took the processors", text, [*names, "others", "of all cores"], rows)


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
