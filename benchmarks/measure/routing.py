"""Lookups, and events into batches, per second: by how many instances a channel has, and how skewed the choice is."""

import gc
import hashlib
import json
from array import array
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from statistics import median
from threading import Barrier
from time import perf_counter
from typing import Final, TypeVar

import msgspec

from benchmarks.apart import Progress
from benchmarks.drawing import channel_names, draws
from benchmarks.population import instance_name, user_name
from benchmarks.tables import Kind, Table, new_table
from fanout import Engine, decode_batch

EVENT_BYTES: Final = 300
"""Of an event, where nothing else is said."""
EVENTS_PER_CALL: Final = 500
NAMES_PER_CALL: Final = 1_000
_CALLS: Final = 20
"""Different ones, made before the clock starts."""
_SLICES: Final = 5
"""Of the time of a figure, which is their median, since machines have slow moments."""
_PREFIX_BYTES: Final = 4

Event = tuple[str, bytes]
T = TypeVar("T")


class RouteOptions(msgspec.Struct, frozen=True):
    """What is routed."""

    channels: int = 20_000
    instances: int = 100
    widths: tuple[int, ...] = (1, 6, 20, 100)
    """How many instances each channel has: a table for each."""
    skews: tuple[float, ...] = (0.0, 1.0)
    threads: tuple[int, ...] = (1, 2)
    seconds: float = 1.0
    """Of each figure."""
    judged: bool = True
    """Whether the run is long enough to be held against the target."""


class RouteRates(msgspec.Struct, frozen=True):
    """At one width, skew and number of threads; per second, of all threads together."""

    width: int
    skew: float
    threads: int
    batched_lookups: float
    single_lookups: float
    events: float


class Routed(msgspec.Struct, frozen=True):
    """All of them."""

    rates: list[RouteRates]
    answers: str
    """A digest of which events are in the batch of which instance, and in what order."""


def routing(progress: Progress, kind: Kind, options: RouteOptions) -> Routed:
    """A table for each width; each combination in turn."""
    gc.disable()
    rates, answers = [], hashlib.sha256()
    for at, width in enumerate(options.widths):
        progress(at / len(options.widths), f"channels on {width} instances each")
        table = _table_of_width(kind, options, width)
        answers.update(repr(batches_of(table, events(options, 0.0, 0))).encode())
        rates += [_rates(table, options, width, skew, threads) for skew in options.skews for threads in options.threads]
    return Routed(rates=rates, answers=answers.hexdigest())


def batches_of(table: Table, chosen: list[Event]) -> dict[str, list[bytes]]:
    """Route once, and read the batches back: the events for each instance."""
    table.route_many(chosen)
    received: defaultdict[str, list[bytes]] = defaultdict(list)
    for instance, payload in sorted(table.drain()):
        received[instance] += _read_batch(payload, of_engine=isinstance(table, Engine))
    return dict(received)


def events(options: RouteOptions, skew: float, draw: int) -> list[Event]:
    """Events for channels drawn with their popularity."""
    names = channel_names(draws(draw, options.channels, EVENTS_PER_CALL, skew))
    return [(name, event(number, EVENT_BYTES)) for number, name in enumerate(names)]


def event(number: int, length: int) -> bytes:
    """A JSON object of a given length in bytes."""
    bare = json.dumps({"type": "message.new", "number": number, "text": ""}).encode()
    return bare[:-2] + b"x" * (length - len(bare)) + bare[-2:]


def _table_of_width(kind: Kind, options: RouteOptions, width: int) -> Table:
    """One user on each instance; each channel on `width` of them, one after another in the circle."""
    table = new_table(kind)
    for user in range(options.instances):
        numbers = [c for c in range(options.channels) if (user - c) % options.instances < width]
        instance = instance_name(user, options.instances)
        table.user_online(user_name(user), instance, channel_names(array("I", numbers)))
    return table


def _read_batch(payload: bytes, *, of_engine: bool) -> list[bytes]:
    """The events of a batch; the alternatives put the length of each before it, in four bytes."""
    if of_engine:
        return [record.event for record in decode_batch(payload)]
    found, at = [], 0
    while at < len(payload):
        start = at + _PREFIX_BYTES
        at = start + int.from_bytes(payload[at:start], "little")
        found.append(payload[start:at])
    return found


def _rates(table: Table, options: RouteOptions, width: int, skew: float, threads: int) -> RouteRates:
    """The figures of one combination; each thread has calls of its own, made before the clock starts."""

    def names(draw: int) -> list[str]:
        return channel_names(draws(draw, options.channels, NAMES_PER_CALL, skew))

    def look_up(chosen: list[str]) -> None:
        instances = table.instances
        for name in chosen:
            instances(name)

    def route(chosen: list[Event]) -> None:
        table.route_many(chosen)
        table.drain()

    def measured(make: Callable[[int], list[T]], work: Callable[[list[T]], object]) -> float:
        calls = [[make(thread * _CALLS + call) for call in range(_CALLS)] for thread in range(threads)]
        return _rate_of_threads([_worker(work, each) for each in calls], options.seconds)

    return RouteRates(
        width=width,
        skew=skew,
        threads=threads,
        batched_lookups=measured(names, table.widths),
        single_lookups=measured(names, look_up),
        events=measured(lambda draw: events(options, skew, draw), route),
    )


def _worker(work: Callable[[list[T]], object], calls: list[list[T]]) -> Callable[[], int]:
    """One call after another, round and round; each returns how many things it did."""
    again = cycle(calls)

    def once() -> int:
        things = next(again)
        work(things)
        return len(things)

    return once


def _rate_of_threads(works: list[Callable[[], int]], seconds: float) -> float:
    """Things done per second in a thread for each, at the same time, added up."""
    barrier = Barrier(len(works))

    def run(work: Callable[[], int]) -> float:
        barrier.wait()
        return median(_slice(work, seconds / _SLICES) for _ in range(_SLICES))

    with ThreadPoolExecutor(len(works)) as threads:
        return sum(threads.map(run, works))


def _slice(work: Callable[[], int], seconds: float) -> float:
    began, done = perf_counter(), 0
    while (taken := perf_counter() - began) < seconds or not done:
        done += work()
    return done / taken
