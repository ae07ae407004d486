"""The readers' side of the pipeline: which events came to each client, and when, checked after the clock."""

from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from benchmarks.live.delivery_check import check_groups
from benchmarks.live.stored_events import StoredEvents, number_in
from benchmarks.live.websocket_clients import Chunk, frames_in
from benchmarks.population import Population

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
    sent = [[number for number in numbers if number not in refused] for numbers in stored.numbers_by_channel()]
    for client, mine in enumerate(deliveries):
        expected = {channel: sent[channel] for channel in population.numbers(client)}
        received = ((stored.chosen[number - 1], number) for number, _ in mine)
        check_groups(expected, received, f"channel {{}} at client {client}")
