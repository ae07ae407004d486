"""`fanout bench route`: lookups, and events into batches, per second: by width, skew and threads."""

import gc
import hashlib
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, product
from statistics import median
from threading import Barrier
from time import perf_counter
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from benchmarks import units
from benchmarks.apart import Progress, Stages, run_apart
from benchmarks.case import Case
from benchmarks.drawing import channel_names, draws
from benchmarks.errors import TablesDifferError
from benchmarks.fill import EVENTS_PER_CALL, NAMES_PER_CALL
from benchmarks.population import instance_name, user_name
from benchmarks.report import Cell, Figure, Report, Row, Table, at_least, figures
from benchmarks.tables import EVENT_BYTES, KINDS, TITLES, Event, Kind, agree_first, batches_of, event, new_table
from benchmarks.tables import Table as RoutingTable

_TARGET_WIDTH: Final = 6
_EVENTS_LIMIT: Final = 700e3
_INSTANCES: Final = 100
_SKEWS: Final = (0.0, 1.0)
_CALLS: Final = 20
"""Different ones, made before the clock starts."""
_SLICES: Final = 5
"""Of the time of a figure, which is their median, since machines have slow moments."""

T = TypeVar("T")


class RouteOptions(msgspec.Struct, frozen=True):
    """What is routed."""

    channels: int = 20_000
    widths: tuple[int, ...] = (1, 6, 20, 100)
    """How many instances each channel has: a table for each."""
    seconds: float = 1.0
    """Of each figure."""
    judged: bool = True
    """Whether the run is long enough to be compared with the target."""


class Rates(msgspec.Struct, frozen=True):
    """At one width, skew and number of threads; per second, of all threads together."""

    width: int
    skew: float
    threads: int
    batched_lookups: float
    single_lookups: float
    events: float


def routing(_: Progress, kind: Kind, options: RouteOptions) -> tuple[list[Rates], str]:
    """A table for each width, each combination in turn: the rates, and a digest of what came into which batch.

    Two threads use the engine at once; the alternatives cannot be used so.
    """
    gc.disable()
    rates, answers = [], hashlib.sha256()
    for width in options.widths:
        table = new_table(kind)
        for user in range(_INSTANCES):  # one on each instance; the instances of a channel are neighbours
            numbers = array("I", (c for c in range(options.channels) if (user - c) % _INSTANCES < width))
            table.user_online(user_name(user), instance_name(user, _INSTANCES), channel_names(numbers))
        answers.update(repr(batches_of(table, _events(options.channels, 0.0, 0))).encode())
        for skew, threads in product(_SKEWS, (1, 2) if kind == "engine" else (1,)):
            rates.append(_rates(table, options, width, skew, threads))
    return rates, answers.hexdigest()


def _events(channels: int, skew: float, draw: int) -> list[Event]:
    names = channel_names(draws(draw, channels, EVENTS_PER_CALL, skew))
    return [(name, event(number)) for number, name in enumerate(names)]


def _rates(table: RoutingTable, options: RouteOptions, width: int, skew: float, threads: int) -> Rates:
    def names(draw: int) -> list[str]:
        return channel_names(draws(draw, options.channels, NAMES_PER_CALL, skew))

    def look_up(chosen: list[str]) -> None:
        instances = table.instances
        for name in chosen:
            instances(name)

    def route(chosen: list[Event]) -> None:
        table.route_many(chosen)
        table.drain()

    def rate(make: Callable[[int], list[T]], work: Callable[[list[T]], object]) -> float:
        calls = [[make(thread * _CALLS + call) for call in range(_CALLS)] for thread in range(threads)]
        barrier = Barrier(threads)
        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(lambda of_thread: _rate(work, of_thread, options.seconds, barrier), calls))

    events = rate(lambda draw: _events(options.channels, skew, draw), route)
    return Rates(width, skew, threads, rate(names, table.widths), rate(names, look_up), events)


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
    """The engine by one thread and two, the alternatives by one.

    Raises:
        BenchError: the tables differ.
    """
    agree_first(stages)
    rates: dict[Kind, list[Rates]] = {}
    digests = set()
    for kind in KINDS:
        rates[kind], digest = run_apart(stages(f"{TITLES[kind]}, lookups and routing"), routing, kind, options)
        digests.add(digest)
    if len(digests) > 1:
        raise TablesDifferError("the tables routed the same events differently, so their figures are not compared")
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
        [_table(options, rates)],
        {str(kind): of for kind, of in rates.items()},
    )


def _table(options: RouteOptions, rates: dict[Kind, list[Rates]]) -> Table:
    rows, alternatives = [], zip(rates["python"], rates["cython"], strict=True)
    for engine in rates["engine"]:
        beside: list[Cell] = [""] * 5
        if engine.threads == 1:
            python, cython = next(alternatives)
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
    columns += [f"{what}, {TITLES[kind]}" for what in ("events", "lookups in batches") for kind in KINDS[1:]]
    return Table("By width, skew and threads", text, columns, rows, bars=[2, 5, 6])


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
