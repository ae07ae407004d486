"""`fanout bench route`: lookups, and events into batches, per second."""

from typing import Final

from msgspec.structs import replace

from benchmarks import units
from benchmarks.apart import Stages, run_apart
from benchmarks.case import Case
from benchmarks.errors import BenchError, TablesDifferError
from benchmarks.measure.agreement import agree_first
from benchmarks.measure.routing import EVENT_BYTES, Routed, RouteOptions, RouteRates, routing
from benchmarks.report import Figure, Plot, Report, Row, Series, Table, at_least, figures
from benchmarks.tables import KINDS, TITLES, Kind

_TARGET_WIDTH: Final = 6
_EVENTS_LIMIT: Final = 700e3

Rates = dict[Kind, list[RouteRates]]


def run(options: RouteOptions, stages: Stages) -> Report:
    """The engine with each number of threads, the alternatives with one: they cannot be used by two at once.

    Raises:
        BenchError: a channel is to be on more instances than there are, or the tables differ.
    """
    if max(options.widths) > options.instances:
        raise BenchError("a channel is on an instance once: there must be as many instances as the widest channel has")
    agree_first(stages)
    routed = {kind: _routed(kind, options, stages) for kind in KINDS}
    if len({each.answers for each in routed.values()}) > 1:
        raise TablesDifferError("the tables routed the same events differently, so their figures are not compared")
    rates: Rates = {kind: each.rates for kind, each in routed.items()}
    widths = ", ".join(map(str, options.widths))
    best = max(rates["engine"], key=lambda each: each.events * each.width)
    return Report(
        f"Routing: events of {options.event_bytes} bytes to channels on {widths} instances",
        f"At best one engine put {units.count(best.events * best.width)} copies of events a second into batches: "
        f"{units.count(best.events)} events to {best.width} instances each, by "
        f"{units.counted(best.threads, 'thread')}.",
        [
            at_least(
                f"events routed into batches of {_TARGET_WIDTH} instances, skew {each.skew:g}, by one thread",
                each.events,
                _EVENTS_LIMIT,
                "/s",
                judged=options.judged and options.event_bytes == EVENT_BYTES,
            )
            for each in rates["engine"]
            if each.width == _TARGET_WIDTH and each.threads == 1
        ],
        [_engine(options, rates), _alternatives(rates)],
        {str(kind): each for kind, each in rates.items()},
    )


def _routed(kind: Kind, options: RouteOptions, stages: Stages) -> Routed:
    threads = options.threads if kind == "engine" else (1,)
    progress = stages(f"{TITLES[kind]}, lookups and routing")
    return run_apart(progress, routing, kind, replace(options, threads=threads))


def _engine(options: RouteOptions, rates: Rates) -> Table:
    rows = [
        Row(
            f"width {each.width}, skew {each.skew:g}, {units.counted(each.threads, 'thread')}",
            figures("/s", (each.batched_lookups, each.single_lookups, each.events, each.events * each.width)),
        )
        for each in rates["engine"]
    ]
    return Table(
        "The engine, by width, skew and threads",
        f"The table holds {units.counted(options.channels, 'channel')}: few, so that everything is in the processor's "
        "caches; fanout bench sizing measures a full table. Width is the number of instances that a channel is on; "
        "with skew 0 all channels get as many events, with 1 a few get most. Events are validated, put into batches, "
        "and the batches taken out. A copy is an event for one instance. Threads use one engine; their figures are "
        "added up.",
        ["lookups in batches", "single lookups", "events", "copies"],
        rows,
        plots=[_by_width({units.counted(n, "thread"): _points(rates["engine"], n) for n in options.threads})],
    )


def _alternatives(rates: Rates) -> Table:
    alone = [each for each in rates["engine"] if each.threads == 1]
    rows = []
    for at, engine in enumerate(alone):
        each = (engine, rates["python"][at], rates["cython"][at])
        ratio = Figure(engine.events / each[1].events, "times")
        events, lookups = figures("/s", (of.events for of in each)), figures("/s", (of.batched_lookups for of in each))
        rows.append(Row(f"width {engine.width}, skew {engine.skew:g}", [*events, ratio, *lookups]))
    columns = [f"events, {TITLES[kind]}" for kind in KINDS]
    columns += [f"events, engine by {TITLES['python']}", *(f"lookups, {TITLES[kind]}" for kind in KINDS)]
    return Table(
        "The alternatives",
        "The same events by one thread; the contents of the batches were found equal. In a table so small plain dicts "
        "may look up faster than the engine; in a full table (fanout bench sizing) they do not. Batches of the engine "
        "hold the finished WebSocket frame, the channel and what shows a lost batch as well.",
        columns,
        rows,
        plots=[_by_width({TITLES[kind]: _points(rates[kind], 1) for kind in KINDS})],
    )


def _by_width(lines: dict[str, list[tuple[float, float]]]) -> Plot:
    note = "Events routed into batches per second, as channels are on more instances; drawn at random."
    series = [Series(name, points) for name, points in lines.items()]
    return Plot("Events by width", note, "instances of a channel", "events/s", series)


def _points(rates: list[RouteRates], threads: int) -> list[tuple[float, float]]:
    skew = rates[0].skew
    return [(float(each.width), each.events) for each in rates if (each.threads, each.skew) == (threads, skew)]


CASE: Final = Case(
    "route",
    "Look channels up and route events into batches, as fast as it goes.\n\n"
    "By the number of instances that a channel is on, by skew, with one thread and two; and the same in plain Python "
    "dicts and in Cython.",
    RouteOptions,
    run,
    lambda options: replace(options, channels=2_000, widths=(1, 6), seconds=0.05, judged=False),
    stages=1 + len(KINDS),
)
