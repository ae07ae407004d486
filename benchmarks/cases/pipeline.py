"""`fanout bench pipeline`: from a stream in files to the instances, and through the whole tier to sockets."""

from statistics import median
from typing import Final

from msgspec.structs import replace

from benchmarks import units
from benchmarks.apart import Stages
from benchmarks.case import Case, part
from benchmarks.cases.planning import Costs
from benchmarks.live.pipeline import PipelineOptions
from benchmarks.live.pipeline.drains import Drains, drains
from benchmarks.live.pipeline.latencies import KEPT_UP_S, Latencies, latencies
from benchmarks.live.servers import find_program, workplace
from benchmarks.live.spread import TOLD
from benchmarks.live.stored_events import EVENT_BYTES, PARTITIONS
from benchmarks.report import Figure, Report, Row, Table, Target, at_least, at_most, distribution, exact, figures

_WAYS: Final = {
    "worker": "the worker",
    "plain": "the straightforward way",
    "joined": "the same, acknowledged by the fetch",
}
_PROCESSES: Final = {"worker": "worker", "nats-server": "nats-server", "sink": "inboxes"}


def run(options: PipelineOptions, stages: Stages) -> Report:
    """Drain a stream by the worker and by the straightforward ways, then measure the whole tier from end to end."""
    for program in ("nats-server", "redis-server"):
        find_program(program)
    with workplace() as folder:
        progress = stages("draining a stream, by each way in turn")
        drained = drains(options, folder, progress)
        progress(1.0, "")
    with workplace() as folder:
        progress = stages("from accept to socket, by rate")
        through = latencies(options, folder, progress)
        progress(1.0, "")
    at = next(each for each in through.at_rates if each.rate == options.rate)
    late = at.moments["from_accept"].percentiles
    costs = Costs(
        worker_s_per_message=at.busy["fanout"] / at.rate,
        nats_s_per_message=at.busy["nats-server"] / at.rate,
        redis_s_per_message=at.busy["redis-server"] / at.rate,
    )
    return Report(
        f"The pipeline: {options.events:,} events to {options.targets} instances each, and from accept to socket",
        _summary(options, drained, late),
        _targets(options, drained, through, late),
        [_draining(drained, options.targets), _latency(through), _processors(through)],
        {"drains": drained, "latencies": through, "planning": costs},
    )


def _summary(options: PipelineOptions, drained: Drains, late: dict[str, float]) -> str:
    rate, plain = drained.rate("worker"), drained.rate("plain")
    return (
        f"One worker drained {units.count(rate)} events a second to {options.targets} instances each, "
        f"{units.times(rate / plain)} as many as the straightforward way. {_load(options)}, half of the deliveries "
        f"reached the client within {units.duration(late['p50'])} of the message's being accepted, and 99 % within "
        f"{units.duration(late['p99'])}."
    )


def _load(options: PipelineOptions) -> str:
    return f"At {options.rate:,.0f} messages and {options.rate * options.readers:,.0f} deliveries a second"


def _targets(options: PipelineOptions, drained: Drains, through: Latencies, late: dict[str, float]) -> list[Target]:
    full = PipelineOptions()
    drains_full = options.events >= full.events and options.targets == full.targets
    load_full = options.seconds >= full.seconds and (options.rate, options.readers) == (full.rate, full.readers)
    what, load = (
        f"events drained by one worker to {options.targets} instances each",
        f"{_load(options)}, accept to socket",
    )
    rate, plain = drained.rate("worker"), drained.rate("plain")
    to_instances = sum(each.events for runs in drained.runs.values() for each in runs) * options.targets
    to_clients = sum(each.moments["from_plan"].count for each in through.at_rates)
    arrived = "events that came once and in order to every instance, and to every client"
    return [
        at_least(f"{what}, per second", rate, 60e3, "/s", full=drains_full),
        at_least(f"{what}, beside the straightforward way", rate / plain, 5, "times", full=drains_full),
        at_most(f"{load}, p50", late["p50"], 3e-3, "s", full=load_full),
        at_most(f"{load}, p99", late["p99"], 10e-3, "s", full=load_full),
        exact(arrived, f"all {to_instances:,} and {to_clients:,}"),
    ]


def _draining(drained: Drains, targets: int) -> Table:
    rows = []
    for way, name in _WAYS.items():
        rates = [each.rate for each in drained.runs[way]]
        processor = (median(each.processor[of] / each.events for each in drained.runs[way]) for of in _PROCESSES)
        cells = [*figures("/s", (drained.rate(way), min(rates), max(rates))), *figures("s", processor)]
        rows.append(Row(name, cells))
    text = (
        f"A stream in files, in {PARTITIONS} partitions, holds events of {EVENT_BYTES} bytes, stored at "
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
        curves = {f"{at.rate:,.0f}/s": at.moments[of].curve for at in through.at_rates}
        plots.append(distribution(title, "ms", curves, 1e3))
    text = (
        "Messages are stored at equal distances in time, whatever became of those before: what is late shows in the "
        "time since it was due. Accepted is the moment of the log's answer, at which a user gets 202; a message that "
        f"is at its reader before that took no time. {through.clients:,} clients with {through.memberships:,} "
        "memberships got every message of their channels, once and in order. The tier keeps up with a rate if in the "
        f"second half of the time the median was at most {units.duration(KEPT_UP_S)} after a message was due."
    )
    rows = []
    for at in through.at_rates:
        kept_up = "The tier kept up." if at.kept_up else "The tier did not keep up: the second half had a median of "
        if not at.kept_up:
            kept_up += f"{units.duration(at.late_half_s)}; the log refused {units.counted(at.refused, 'message')}."
        for name, rate, of, note in (
            (f"{at.rate:,.0f} messages/s: accept to socket", at.deliveries_per_second, "from_accept", kept_up),
            ("due to socket", at.deliveries_per_second, "from_plan", "Since the message was due to be sent."),
            ("due to accept", at.rate, "accept", "Until the log had answered that it holds it."),
            ("due to sent", at.rate, "lateness", "How late the generator itself was."),
        ):
            cells = [Figure(rate, "/s"), *figures("s", at.moments[of].told())]
            rows.append(Row(name, cells, note, part=of != "from_accept"))
    return Table("From accept to socket", text, ["per second", *TOLD], rows, plots=plots)


def _processors(through: Latencies) -> Table:
    rows = [
        Row(f"{at.rate:,.0f} messages/s", figures("%", (100 * share for share in at.busy.values())))
        for at in through.at_rates
    ]
    text = (
        "In per cent of one core: the services, the generator, the clients and other programs; at last how much of "
        "all cores was in use. A generator, clients or others that take more than half a core are part of what is "
        "measured, and where all cores are full, processes wait for each other."
    )
    return Table("What took the processors", text, list(through.at_rates[0].busy), rows)


def quick(options: PipelineOptions) -> PipelineOptions:
    """A fiftieth of the events, and a tenth of the rate for a fifth of the time: not so little that nothing comes."""
    return replace(
        options,
        events=part(options.events),
        channels=part(options.channels, 1 / 10),
        rate=max(min(options.rate, 50.0), options.rate / 10),
        seconds=max(min(options.seconds, 1.0), options.seconds / 5),
        warm_up_seconds=0.5,
        multiples=(1.0,),
        rounds=1,
        plain_share=1 / 2,
        clients=options.clients // 10,
    )


CASE: Final = Case(
    "pipeline",
    "Let a fan-out worker drain a stream, and send messages through the whole tier to WebSockets.\n\n"
    "It starts a nats-server, a redis-server and the services as they are run: draining beside the straightforward way "
    "with the same libraries; then, at several rates, the time from when a message is accepted until it reaches its "
    "readers. Everything that arrives is checked: once, and in order.",
    PipelineOptions,
    run,
    quick,
    stages=2,
    background="A message is accepted when the log, a stream in nats-server, holds it in files. A fan-out worker reads "
    "the stream and publishes each message once to the inbox of each instance whose clients read its channel; an "
    "instance writes it to their WebSockets. All are processes of this machine and share its cores, and so do the "
    "generator of messages and the clients.",
)
