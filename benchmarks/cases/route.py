"""`fanout bench route`: lookups, and events into batches, per second: by width, skew and threads."""

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, product
from statistics import median
from threading import Barrier
from time import perf_counter
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from benchmarks import tables, units
from benchmarks.apart import Stages
from benchmarks.case import Case
from benchmarks.drawing import channel_names, draws
from benchmarks.fill import EVENTS_PER_CALL, NAMES_PER_CALL, events_to, route_and_drain
from benchmarks.population import instance_name, user_name
from benchmarks.report import Cell, Figure, Report, Row, Table, at_least, figures

_TARGET_WIDTH: Final = 6
_EVENTS_LIMIT: Final = 700e3
_INSTANCES: Final = 100
_SKEWS: Final = (0.0, 1.0)
_CALLS: Final = 20
"""Different ones, made before the clock starts."""
_SLICES: Final = 5
"""Slices of the time of a figure, which is their median, since machines have slow moments."""

T = TypeVar("T")


class RouteOptions(msgspec.Struct, frozen=True):
    """The events that are routed."""

    channels: int = 20_000
    widths: tuple[int, ...] = (1, 6, 20, 100)
    """How many instances each channel has: a table for each."""
    seconds: float = 1.0
    """The time of each figure."""
    full: bool = True
    """Whether the run is long enough to be compared with the target."""


_REHEARSAL: Final = RouteOptions(channels=200, widths=(1, 6), seconds=0.001)


class Rates(msgspec.Struct, frozen=True):
    """At one width, skew and number of threads; per second, of all threads together."""

    width: int
    skew: float
    threads: int
    batched_lookups: float
    single_lookups: float
    events: float


class Routed(tables.Measured, frozen=True):
    """The answers are what came into which batch."""

    rates: list[Rates]


def routing(kind: tables.Kind, options: RouteOptions) -> Routed:
    """A table for each width, and each combination in turn; two threads cannot use the alternatives at once."""
    gc.disable()
    rates, answers = [], []
    for width in options.widths:
        table = tables.new_table(kind)
        for user in range(_INSTANCES):  # one on each instance; the instances of a channel are neighbours
            numbers = [c for c in range(options.channels) if (user - c) % _INSTANCES < width]
            table.user_online(user_name(user), instance_name(user, _INSTANCES), channel_names(numbers))
        events = events_to(channel_names(draws(0, options.channels, EVENTS_PER_CALL, 0.0)))
        answers.append(tables.digest(tables.batches_of(table, events)))
        for skew, threads in product(_SKEWS, (1, 2) if kind == "engine" else (1,)):
            rates.append(_rates(table, options, width, skew, threads))
    return Routed(tables.digest(answers), rates)


def _rates(table: tables.RoutingTable, options: RouteOptions, width: int, skew: float, threads: int) -> Rates:
    def names(count: int) -> list[list[list[str]]]:
        """Calls of each thread."""
        drawn = (draws(draw, options.channels, count, skew) for draw in range(threads * _CALLS))
        return [[channel_names(next(drawn)) for _ in range(_CALLS)] for _ in range(threads)]

    def look_up(chosen: list[str]) -> None:
        instances = table.instances
        for name in chosen:
            instances(name)

    def rate(work: Callable[[list[T]], object], calls: list[list[list[T]]]) -> float:
        barrier = Barrier(threads)
        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(lambda of_thread: _rate(work, of_thread, options.seconds, barrier), calls))

    looked_up = names(NAMES_PER_CALL)
    events = [[events_to(call) for call in of_thread] for of_thread in names(EVENTS_PER_CALL)]
    routed = rate(lambda chosen: route_and_drain(table, chosen), events)
    return Rates(width, skew, threads, rate(table.widths, looked_up), rate(look_up, looked_up), routed)


def _rate(work: Callable[[list[T]], object], calls: list[list[T]], seconds: float, barrier: Barrier) -> float:
    """Things done per second by one thread; all begin at once."""
    again, rates = cycle(calls), []
    barrier.wait()
    for _ in range(_SLICES):
        began, done = perf_counter(), 0
        while (taken := perf_counter() - began) < seconds / _SLICES or not done:
            things = next(again)
            work(things)
            done += len(things)
        rates.append(done / taken)
    return median(rates)


def run(options: RouteOptions, stages: Stages) -> Report:
    """The engine by one thread and two, the alternatives by one; a `BenchError` if the tables differ."""
    measured = tables.measure_each(stages, "lookups and routing", routing, (_REHEARSAL,), options)
    rates = {kind: of.rates for kind, of in measured.items()}
    best = max(rates["engine"], key=lambda each: each.events * each.width)
    what = f"events routed into batches of {_TARGET_WIDTH} instances, by one thread"
    return Report(
        f"Routing: events of {tables.EVENT_BYTES} bytes to channels on {', '.join(map(str, options.widths))} instances",
        f"At best one engine put {units.count(best.events * best.width)} copies of events a second into batches: "
        f"{units.count(best.events)} events to {best.width} instances each, by "
        f"{units.counted(best.threads, 'thread')}.",
        [
            at_least(f"{what}, skew {each.skew:g}", each.events, _EVENTS_LIMIT, "/s", full=options.full)
            for each in rates["engine"]
            if (each.width, each.threads) == (_TARGET_WIDTH, 1)
        ],
        [_table(options, rates)],
        {str(kind): of for kind, of in rates.items()},
    )


def _table(options: RouteOptions, rates: dict[tables.Kind, list[Rates]]) -> Table:
    rows, others = [], zip(rates["python"], rates["cython"], strict=True)
    for engine in rates["engine"]:
        beside: list[Cell] = [""] * 5
        if engine.threads == 1:
            python, cython = next(others)
            ratio = Figure(engine.events / python.events, "times")
            speeds = (python.events, cython.events, python.batched_lookups, cython.batched_lookups)
            beside = [ratio, *figures("/s", speeds)]
        copies = engine.events * engine.width
        own = figures("/s", (engine.batched_lookups, engine.single_lookups, engine.events, copies))
        name = f"{engine.width}, skew {engine.skew:g}, {units.counted(engine.threads, 'thread')}"
        rows.append(Row(name, [*own, *beside]))
    text = (
        f"The table holds {units.counted(options.channels, 'channel')}: few, so that everything is in the processor's "
        "caches, where plain dicts may look up faster; fanout bench sizing measures a full table. Width is the number "
        "of instances that a channel is on; with skew 0 all channels get as many events, with 1 a few get most. Events "
        "are validated, put into batches, and the batches taken out; their contents were found equal in all tables, "
        "but batches of the engine hold the finished WebSocket frame, the channel and what shows a lost batch as well. "
        "A copy is an event for one instance. Figures of threads, which use one engine, are added up."
    )
    columns = ["lookups in batches", "single lookups", "events", "copies", "events, by Python dicts"]
    alternatives = [tables.TITLES[kind] for kind in tables.KINDS[1:]]
    columns += [f"{what}, {title}" for what in ("events", "lookups in batches") for title in alternatives]
    return Table("By width, skew and threads", text, columns, rows, bars=[2, 5, 6])


CASE: Final = Case(
    "route",
    "Look channels up and route events into batches, as fast as it goes.\n\n"
    "By the number of instances that a channel is on, by skew, with one thread and two; and the same in plain Python "
    "dicts and in Cython.",
    RouteOptions,
    run,
    lambda options: replace(options, channels=2_000, widths=(1, 6), seconds=0.05, full=False),
    stages=1 + len(tables.KINDS),
)
