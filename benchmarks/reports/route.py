"""`fanout bench route`: lookups, and events into batches, per second."""

import msgspec

from benchmarks import units
from benchmarks.apart import run_apart
from benchmarks.errors import BenchError, TablesDifferError
from benchmarks.measure.routing import EVENT_BYTES, Routed, RouteRates, RouteSettings, routing
from benchmarks.report import LinePlot, Report, Row, Section, Series, Table, Target, at_least
from benchmarks.reports.framing import Run, agree_first
from benchmarks.stages import Stages
from benchmarks.tables import KINDS, TITLES, Kind

TARGET_WIDTH = 6
_EVENTS_LIMIT_K = 700
STAGES = 1 + len(KINDS)
"""Agreement, and a process for each table."""


class RouteOptions(msgspec.Struct, frozen=True):
    """What is routed."""

    channels: int = 20_000
    instances: int = 100
    widths: tuple[int, ...] = (1, TARGET_WIDTH, 20, 100)
    """On how many instances each channel is."""
    skews: tuple[float, ...] = (0.0, 1.0)
    threads: tuple[int, ...] = (1, 2)
    event_bytes: int = EVENT_BYTES
    seconds: float = 1.0
    """Of each figure."""
    judged: bool = True
    """Whether the run is long enough to be held against the target."""


Rates = dict[Kind, list[RouteRates]]


def route(options: RouteOptions, stages: Stages) -> Report:
    """The engine with each number of threads, the alternatives with one: they cannot be used by two at once.

    Raises:
        BenchError: a channel is to be on more instances than there are, or the tables differ.
    """
    run = Run()
    if max(options.widths) > options.instances:
        raise BenchError("a channel is on an instance once: there must be as many instances as the widest channel has")
    agree_first(stages)
    routed = {kind: _routed(kind, options, stages) for kind in KINDS}
    if len({each.answers for each in routed.values()}) > 1:
        raise TablesDifferError("the tables routed the same events differently, so their figures are not compared")
    rates = {kind: each.rates for kind, each in routed.items()}
    return run.report(
        "route",
        f"Routing: events of {options.event_bytes} bytes to channels on {_listed(options.widths)} instances",
        _summary(rates),
        options,
        _targets(options, rates),
        [_engine(options, rates), _alternatives(options, rates)],
        {str(kind): each for kind, each in rates.items()},
    )


def _routed(kind: Kind, options: RouteOptions, stages: Stages) -> Routed:
    settings = RouteSettings(
        table=kind,
        channels=options.channels,
        instances=options.instances,
        widths=list(options.widths),
        skews=list(options.skews),
        threads=list(options.threads) if kind == "engine" else [1],
        event_bytes=options.event_bytes,
        seconds=options.seconds,
    )
    return run_apart(routing, settings, Routed, stages(f"{TITLES[kind]}, lookups and routing"))


def _summary(rates: Rates) -> str:
    best = max(rates["engine"], key=lambda each: each.events * each.width)
    return (
        f"At best one engine put {units.count(best.events * best.width)} copies of events a second into batches: "
        f"{units.count(best.events)} events to {best.width} instances each, by {_threads(best.threads)}."
    )


def _targets(options: RouteOptions, rates: Rates) -> list[Target]:
    judged = options.judged and options.event_bytes == EVENT_BYTES
    return [
        at_least(
            f"events routed into batches of {TARGET_WIDTH} instances, {_skew(each.skew)}, by one thread",
            each.events / 1e3,
            _EVENTS_LIMIT_K,
            "K/s",
            judged=judged,
        )
        for each in rates["engine"]
        if each.width == TARGET_WIDTH and each.threads == 1
    ]


def _engine(options: RouteOptions, rates: Rates) -> Section:
    return Section(
        "The engine, by width, skew and threads",
        f"{_table(options)} Width is the number of instances that a channel is on; skew is how unequal channels are: "
        "with 0 all get as many events, with 1 a few get most. Events are validated, put into the batch of each "
        "instance, and the batches taken out: all of it is in the time. The threads use one engine at the same time, "
        "and their figures are added up; what Python does between the engine's calls they do in turn.",
        [Table(["lookups in batches", "single lookups", "events", "copies"], list(map(_rates_row, rates["engine"])))],
        [
            LinePlot(
                "Events by width",
                "Events routed into batches per second, as channels are on more instances; drawn at random.",
                "instances of a channel",
                "events/s",
                [
                    Series(_threads(threads), _events_by_width(rates["engine"], threads, options.skews[0]))
                    for threads in options.threads
                ],
            )
        ],
    )


def _alternatives(options: RouteOptions, rates: Rates) -> Section:
    rows = []
    for at, each in enumerate(each for each in rates["engine"] if each.threads == 1):
        others = [rates[kind][at] for kind in KINDS[1:]]
        cells = [units.count(table.events) for table in (each, *others)]
        lookups = [units.count(table.batched_lookups) for table in (each, *others)]
        rows.append(
            Row(
                f"width {each.width}, {_skew(each.skew)}",
                [*cells, *lookups],
                _beside_python(each, rates["python"][at]),
            )
        )
    columns = [f"events, {TITLES[kind]}" for kind in KINDS] + [f"lookups, {TITLES[kind]}" for kind in KINDS]
    return Section(
        "The alternatives",
        "The same events through tables in plain Python dicts and in Cython, per second, by one thread. The table is "
        f"as small as above, {units.counted(options.channels, 'channel')}: there plain dicts may look up faster than "
        "the engine; in a full table (fanout bench sizing) they do not. All validate each event and make a "
        "batch for each instance; the contents of the batches were found equal. Theirs hold an event and its length; "
        "the engine's hold the finished WebSocket frame, the channel and what shows a lost batch as well.",
        [Table(columns, rows)],
        [
            LinePlot(
                "Events by width and table",
                "Events routed into batches per second by one thread; drawn at random.",
                "instances of a channel",
                "events/s",
                [Series(TITLES[kind], _events_by_width(rates[kind], 1, options.skews[0])) for kind in KINDS],
            )
        ],
    )


def _table(options: RouteOptions) -> str:
    return (
        f"The table holds {units.counted(options.channels, 'channel')}. That is few, and they are in constant use, so "
        "that everything is in the processor's caches; how fast a full table is, fanout bench sizing says."
    )


def _beside_python(engine: RouteRates, python: RouteRates) -> str:
    return (
        f"The engine routes {units.times(engine.events / python.events)} as many events as {TITLES['python']}, and "
        f"looks up {units.times(engine.batched_lookups / python.batched_lookups)} as many channels in batches."
    )


def _rates_row(each: RouteRates) -> Row:
    figures = (each.batched_lookups, each.single_lookups, each.events, each.events * each.width)
    drawn = "of which a few get most" if each.skew else "drawn at random"
    return Row(
        f"width {each.width}, {_skew(each.skew)}, {_threads(each.threads)}",
        [f"{units.count(figure)}/s" for figure in figures],
        f"Channels {drawn}, each on {units.counted(each.width, 'instance')}; a copy is an event for one instance.",
    )


def _events_by_width(rates: list[RouteRates], threads: int, skew: float) -> list[tuple[float, float]]:
    return [(float(each.width), each.events) for each in rates if each.threads == threads and each.skew == skew]


def _skew(skew: float) -> str:
    return f"skew {skew:g}"


def _threads(threads: int) -> str:
    return "one thread" if threads == 1 else f"{threads} threads"


def _listed(widths: tuple[int, ...]) -> str:
    *others, last = map(str, widths)
    return f"{', '.join(others)} or {last}" if others else last
