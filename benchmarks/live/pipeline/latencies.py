"""From accept to socket: the whole tier between an open loop of messages and many clients, at several rates."""

import gc
import math
import time
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from benchmarks.apart import Progress
from benchmarks.live.pipeline import PipelineOptions
from benchmarks.live.pipeline.tier import Tier, tier
from benchmarks.live.processor_time import Stopwatch
from benchmarks.live.spread import Spread, spread
from benchmarks.live.stored_events import EventWriter, StoredEvents, check_groups, number_in
from benchmarks.live.websocket_clients import Chunk, Clients, ClientSettings, frames_in, run_clients
from benchmarks.population import Population
from benchmarks.processes import READY, Leader, Worker

KEPT_UP_S: Final = 0.1
"""A tier keeps up with a rate if in the second half of the time the median delivery was not later than this, as
counted from when its message was due: what falls behind falls behind further with every second."""
_NS: Final = 1_000_000_000
_LEAD_S: Final = 0.5
"""Until the first message is due."""
_QUIET_S: Final = 1.0
"""After the last delivery."""


class AtRate(msgspec.Struct, frozen=True):
    """One rate, in messages per second; every client got every event of its channels once and in order."""

    rate: float
    deliveries_per_second: float
    messages: int
    """On the clock."""
    refused: int
    """Messages that the log did not take, of all."""
    moments: dict[str, Spread]
    """See `moments_of`."""
    busy: dict[str, float]
    """See `Stopwatch.busy`."""

    @property
    def late_half_s(self) -> float:
        """The median from when a message was due to its being read, in the second half of the time."""
        return self.moments["late_half"].percentiles["p50"]

    @property
    def kept_up(self) -> bool:
        """Whether the tier did; see `KEPT_UP_S`."""
        return not self.refused and self.late_half_s <= KEPT_UP_S


class Latencies(msgspec.Struct, frozen=True):
    """Rates that were tried."""

    at_rates: list[AtRate]
    clients: int
    memberships: int


def latencies(options: PipelineOptions, folder: Path, progress: Progress) -> Latencies:
    """Start the tier, and try one rate after another; a `BenchError` if events were lost, doubled or swapped."""
    clients, tried = max(options.clients, math.ceil(2 * options.readers)), list[AtRate]()
    population = Population(clients, options.channels, round(options.channels * options.readers), 1)
    progress(0.0, "the tier starts")
    with (
        tier(folder, population) as running,
        Worker("the clients", run_clients, ClientSettings(secret=running.secret)) as reading,
    ):
        reading.call(Clients.connect, running.port, clients)
        for at, multiple in enumerate(options.multiples, 1):
            rate = options.rate * multiple
            progress(at / (len(options.multiples) + 1), f"{rate:,.0f} messages a second")
            tried.append(_at_rate(options, rate, population, running, reading))
            if multiple >= 1 and not tried[-1].kept_up:
                break
    return Latencies(tried, clients, population.memberships)


def _at_rate(options: PipelineOptions, rate: float, population: Population, running: Tier, clients: Worker) -> AtRate:
    """Send at a rate to a tier that runs, and see when it arrives."""
    warm = round(rate * options.warm_up_seconds)
    stored = StoredEvents(warm + round(rate * options.seconds), options.channels, draw=round(rate))
    clients.call(Clients.begin, keep=True)
    with Worker("the generator", _generate_load, (running.nats_port, stored, rate)) as generator:
        generator.receive(str)
        start = time.monotonic_ns() + int(_LEAD_S * _NS)
        generator.send(start)
        _sleep_until(_planned_at(start, warm, rate))
        stopwatch = Stopwatch(running.pids | {"generator": generator.pid, "clients": clients.pid})
        _sleep_until(_planned_at(start, stored.events, rate))
        busy, published = stopwatch.busy(), generator.receive(Published)
    refused = published.refused()
    clients.call(Clients.until_quiet, _QUIET_S)
    deliveries = clients.call(Clients.apply, checked_deliveries, population, stored, refused)
    moments = moments_of(published, deliveries, start, rate, warm)
    delivered = moments["from_plan"].count / options.seconds
    return AtRate(rate, delivered, stored.events - warm, len(refused), moments, busy)


def _sleep_until(moment: int) -> None:
    time.sleep(max(0.0, (moment - time.monotonic_ns()) / _NS))


def _planned_at(start: int, index: int, rate: float) -> int:
    return start + int(index * _NS / rate)


class Published(NamedTuple):
    """When, in nanoseconds of CLOCK_MONOTONIC, by event, from the first."""

    sent: "array[int]"
    accepted: "array[int]"
    """When the log answered that it holds the event, at which a user gets 202; 0 where it refused."""

    def refused(self) -> list[int]:
        """The numbers of the events that the log did not take."""
        return [number for number, moment in enumerate(self.accepted, 1) if not moment]


def _generate_load(settings: tuple[int, StoredEvents, float], leader: Leader) -> Published:
    """Prepare everything, and send each message when it is due, whatever became of those before: an open loop."""
    port, stored, rate = settings
    commands, writer = list(stored.publish_commands()), EventWriter(port, stored)
    done, sent = 0, array("q", bytes(8 * stored.events))
    gc.disable()
    leader.send(READY)
    start = leader.receive()
    while done < stored.events:
        writer.read(max(0, _planned_at(start, done, rate) - time.monotonic_ns()) / _NS)
        # Where this process was late, all that became due meanwhile goes at once.
        now, begin = time.monotonic_ns(), done
        while done < stored.events and _planned_at(start, done, rate) <= now:
            sent[done] = now
            done += 1
        if done > begin:
            writer.send(b"".join(commands[begin:done]))
    writer.await_answers(stored.events)
    return Published(sent, writer.accepted)


Delivery = tuple[int, int]
"""An event's number, and when its frame was whole, in nanoseconds."""


class Deliveries(NamedTuple):
    """Every delivery; each client got every event of its channels, once and in order."""

    numbers: "array[int]"
    moments: "array[int]"


def checked_deliveries(
    received: list[list[Chunk]], population: Population, stored: StoredEvents, refused: list[int]
) -> Deliveries:
    """The deliveries to all clients; a `BenchError` if a client did not get what was stored and not refused."""
    deliveries = [list(deliveries_in(chunks)) for chunks in received]
    check_clients(deliveries, population, stored, set(refused))
    numbers = array("I", (number for each in deliveries for number, _ in each))
    return Deliveries(numbers, array("q", (moment for each in deliveries for _, moment in each)))


def deliveries_in(chunks: Iterable[Chunk]) -> Iterator[Delivery]:
    """The events that a client read; a `BenchError` if the server closed the connection."""
    new = b'{"type":"message.new"'
    return ((number_in(payload), moment) for payload, moment in frames_in(chunks) if payload.startswith(new))


def check_clients(
    deliveries: list[list[Delivery]], population: Population, stored: StoredEvents, refused: set[int]
) -> None:
    """Compare what each client got in each of its channels with what was sent there and not refused."""
    stored_in = stored.numbers_by(range(stored.channels))
    sent = {channel: [each for each in numbers if each not in refused] for channel, numbers in stored_in.items()}
    for client, mine in enumerate(deliveries):
        expected = {channel: sent[channel] for channel in population.numbers(client)}
        received = ((stored.chosen[number - 1], number) for number, _ in mine)
        check_groups(expected, received, f"channel {{}} at client {client}")


def moments_of(published: Published, deliveries: Deliveries, start: int, rate: float, warm: int) -> dict[str, Spread]:
    """The durations of a run on the clock, after the first `warm` events; the first was due at `start`, in nanoseconds.

    Only what came before the cause of it counts as 0.
    """
    sent, accepted = published
    planned = [_planned_at(start, index, rate) for index in range(len(sent))]
    on_clock = [(number - 1, moment) for number, moment in zip(*deliveries, strict=True) if number > warm]
    middle = (warm + len(sent)) // 2
    durations = {  # of deliveries: from accept, from when they were due; of messages: until accepted, until sent
        "from_accept": [max(0, moment - accepted[index]) for index, moment in on_clock],
        "from_plan": [moment - planned[index] for index, moment in on_clock],
        "accept": [accepted[index] - planned[index] for index in range(warm, len(sent)) if accepted[index]],
        "lateness": [sent[index] - planned[index] for index in range(warm, len(sent))],
        "late_half": [moment - planned[index] for index, moment in on_clock if index >= middle],
    }
    return {name: spread(nanoseconds) for name, nanoseconds in durations.items()}
