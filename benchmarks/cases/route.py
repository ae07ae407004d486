"""`fanout bench route`: lookups, and events into batches, per second."""

from typing import Final

from msgspec.structs import replace

from benchmarks import units
from benchmarks.apart import Stages, run_apart
from benchmarks.case import Case
from benchmarks.errors import TablesDifferError
from benchmarks.measure.agreement import agree_first
from benchmarks.measure.routing import EVENT_BYTES, Routed, RouteOptions, RouteRates, routing
from benchmarks.report import Figure, Report, Row, Table, at_least, figures
from benchmarks.tables import KINDS, TITLES, Kind

_TARGET_WIDTH: Final = 6
_EVENTS_LIMIT: Final = 700e3

Rates = dict[Kind, list[RouteRates]]


def run(options: RouteOptions, stages: Stages) -> Report:
    """The engine with each number of threads, the alternatives with one: they cannot be used by two at once.

    Raises:
        BenchError: the tables differ.
    """
    agree_first(stages)
    routed = {kind: _routed(kind, options, stages) for kind in KINDS}
    if len({each.answers for each in routed.values()}) > 1:
        raise TablesDifferError("the tables routed the same events differently, so their figures are not compared")
    rates: Rates = {kind: each.rates for kind, each in routed.items()}
    best = max(rates["engine"], key=lambda each: each.events * each.width)
    what = f"events routed into batches of {_TARGET_WIDTH} instances, by one thread"
    return Report(
        f"Routing: events of {EVENT_BYTES} bytes to channels on {', '.join(map(str, options.widths))} instances",
        f"At best one engine put {units.count(best.events * best.width)} copies of events a second into batches: "
        f"{units.count(best.events)} events to {best.width} instances each, by "
        f"{units.counted(best.threads, 'thread')}.",
        [
            at_least(f"{what}, skew {each.skew:g}", each.events, _EVENTS_LIMIT, "/s", judged=options.judged)
            for each in rates["engine"]
            if (each.width, each.threads) == (_TARGET_WIDTH, 1)
        ],
        [_engine(options, rates["engine"]), _alternatives(rates)],
        {str(kind): each for kind, each in rates.items()},
    )


def _routed(kind: Kind, options: RouteOptions, stages: Stages) -> Routed:
    threads = options.threads if kind == "engine" else (1,)
    return run_apart(stages(f"{TITLES[kind]}, lookups and routing"), routing, kind, replace(options, threads=threads))


def _engine(options: RouteOptions, rates: list[RouteRates]) -> Table:
    rows = [
        Row(
            f"width {each.width}, skew {each.skew:g}, {units.counted(each.threads, 'thread')}",
            figures("/s", (each.batched_lookups, each.single_lookups, each.events, each.events * each.width)),
        )
        for each in rates
    ]
    text = (
        f"The table holds {units.counted(options.channels, 'channel')}: few, so that everything is in the processor's "
        "caches; fanout bench sizing measures a full table. Width is the number of instances that a channel is on; "
        "with skew 0 all channels get as many events, with 1 a few get most. Events are validated, put into batches, "
        "and the batches taken out. A copy is an event for one instance. Threads use one engine; their figures are "
        "added up."
    )
    columns = ["lookups in batches", "single lookups", "events", "copies"]
    return Table("The engine, by width, skew and threads", text, columns, rows, bars=[2])


def _alternatives(rates: Rates) -> Table:
    rows = []
    for at, engine in enumerate(each for each in rates["engine"] if each.threads == 1):
        each = (engine, rates["python"][at], rates["cython"][at])
        events, lookups = figures("/s", (of.events for of in each)), figures("/s", (of.batched_lookups for of in each))
        ratio = Figure(engine.events / each[1].events, "times")
        rows.append(Row(f"width {engine.width}, skew {engine.skew:g}", [*events, ratio, *lookups]))
    text = (
        "The same events by one thread; the contents of the batches were found equal. In a table so small plain dicts "
        "may look up faster than the engine; in a full table (fanout bench sizing) they do not. Batches of the engine "
        "hold the finished WebSocket frame, the channel and what shows a lost batch as well."
    )
    events_of, lookups_of = ([f"{what}, {TITLES[kind]}" for kind in KINDS] for what in ("events", "lookups"))
    columns = [*events_of, f"events, engine by {TITLES['python']}", *lookups_of]
    return Table("The alternatives", text, columns, rows, bars=[0, 1, 2])


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
