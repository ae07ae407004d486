"""Lookups, and events into batches, per second: by how many instances a channel has, and how skewed the choice is."""

import gc
import hashlib
import json
from array import array
from collections import defaultdict
from collections.abc import Callable
from itertools import cycle
from typing import Final

import msgspec

from benchmarks.apart import Progress
from benchmarks.drawing import channel_names, draws
from benchmarks.measure.rates import rate_of_threads
from benchmarks.population import instance_name, user_name
from benchmarks.tables import Kind, Table, new_table
from fanout import Engine, decode_batch

EVENT_BYTES: Final = 300
"""Of an event, where nothing else is said."""
EVENTS_PER_CALL: Final = 500
NAMES_PER_CALL: Final = 1_000
_CALLS: Final = 20
"""Different ones, made before the clock starts."""
_PREFIX_BYTES: Final = 4

Event = tuple[str, bytes]


class RouteSettings(msgspec.Struct, frozen=True):
    """Which table, and what is asked of it."""

    table: Kind
    channels: int
    instances: int
    widths: list[int]
    """How many instances each channel has: a table for each."""
    skews: list[float]
    threads: list[int]
    event_bytes: int
    seconds: float
    """Of each figure."""


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


def routing(settings: RouteSettings, progress: Progress) -> Routed:
    """A table for each width; each combination in turn."""
    gc.disable()
    rates, answers = [], hashlib.sha256()
    for at, width in enumerate(settings.widths):
        progress(at / len(settings.widths), f"channels on {width} instances each")
        table = table_of_width(settings, width)
        answers.update(repr(batches_of(table, events(settings, 0.0, 0))).encode())
        rates += [
            rates_of(table, settings, width, skew, threads) for skew in settings.skews for threads in settings.threads
        ]
    return Routed(rates=rates, answers=answers.hexdigest())


def table_of_width(settings: RouteSettings, width: int) -> Table:
    """One user on each instance; each channel on `width` of them, one after another in the circle."""
    table = new_table(settings.table)
    for user in range(settings.instances):
        numbers = [c for c in range(settings.channels) if (user - c) % settings.instances < width]
        instance = instance_name(user, settings.instances)
        table.user_online(user_name(user), instance, channel_names(array("I", numbers)))
    return table


def rates_of(table: Table, settings: RouteSettings, width: int, skew: float, threads: int) -> RouteRates:
    """The figures of one combination."""

    def measured(work: Callable[[Table, RouteSettings, float, int], Callable[[], int]]) -> float:
        return rate_of_threads([work(table, settings, skew, thread) for thread in range(threads)], settings.seconds)

    return RouteRates(
        width=width,
        skew=skew,
        threads=threads,
        batched_lookups=measured(_batched_lookups),
        single_lookups=measured(_single_lookups),
        events=measured(_events),
    )


def batches_of(table: Table, chosen: list[Event]) -> dict[str, list[bytes]]:
    """Route once, and read the batches back: the events for each instance."""
    table.route_many(chosen)
    received: defaultdict[str, list[bytes]] = defaultdict(list)
    for instance, payload in sorted(table.drain()):
        received[instance] += read_batch(payload, of_engine=isinstance(table, Engine))
    return dict(received)


def read_batch(payload: bytes, *, of_engine: bool) -> list[bytes]:
    """The events of a batch; the alternatives put the length of each before it, in four bytes."""
    if of_engine:
        return [record.event for record in decode_batch(payload)]
    found, at = [], 0
    while at < len(payload):
        start = at + _PREFIX_BYTES
        at = start + int.from_bytes(payload[at:start], "little")
        found.append(payload[start:at])
    return found


def events(settings: RouteSettings, skew: float, draw: int) -> list[Event]:
    """Events for channels drawn with their popularity."""
    return [
        (name, event(number, settings.event_bytes))
        for number, name in enumerate(_names(settings, skew, EVENTS_PER_CALL, draw))
    ]


def event(number: int, length: int) -> bytes:
    """A JSON object of a given length in bytes."""
    bare = json.dumps({"type": "message.new", "number": number, "text": ""}).encode()
    return bare[:-2] + b"x" * (length - len(bare)) + bare[-2:]


def _names(settings: RouteSettings, skew: float, count: int, draw: int) -> list[str]:
    return channel_names(draws(draw, settings.channels, count, skew))


def _batched_lookups(table: Table, settings: RouteSettings, skew: float, thread: int) -> Callable[[], int]:
    calls = cycle([_names(settings, skew, NAMES_PER_CALL, thread * _CALLS + call) for call in range(_CALLS)])
    return lambda: len(table.widths(next(calls)))


def _single_lookups(table: Table, settings: RouteSettings, skew: float, thread: int) -> Callable[[], int]:
    calls = cycle([_names(settings, skew, NAMES_PER_CALL, thread * _CALLS + call) for call in range(_CALLS)])

    def work() -> int:
        instances = table.instances
        for name in next(calls):
            instances(name)
        return NAMES_PER_CALL

    return work


def _events(table: Table, settings: RouteSettings, skew: float, thread: int) -> Callable[[], int]:
    calls = cycle([events(settings, skew, thread * _CALLS + call) for call in range(_CALLS)])

    def work() -> int:
        table.route_many(next(calls))
        table.drain()
        return EVENTS_PER_CALL

    return work
