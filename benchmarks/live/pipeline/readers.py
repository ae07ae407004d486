"""The readers: many WebSockets in one process, which records when it reads what, and checks it after the clock."""

import gc
import random
from array import array
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Final, NamedTuple

import msgspec

from benchmarks.drawing import channel_names
from benchmarks.live.delivery_check import check_deliveries
from benchmarks.live.stored_events import StoredEvents, number_in
from benchmarks.live.websocket_clients import Chunk, SocketReader, frames_in, open_sockets
from benchmarks.processes import READY, Leader

_QUIET_S: Final = 1.0

Delivery = tuple[int, int]
"""An event's number, and when its frame was whole, in nanoseconds."""


class Audience(msgspec.Struct, frozen=True, dict=True):
    """Clients, each of another user, in channels of unequal size: from one reader to nearly twice the mean."""

    clients: int
    channels: int
    readers: float
    """Mean number of readers of a channel; at most half of the clients."""

    @cached_property
    def names(self) -> list[str]:
        """The channels."""
        return channel_names(array("I", range(self.channels)))

    @cached_property
    def members(self) -> list[list[int]]:
        """The clients in each channel, by number."""
        choice = random.Random(1)  # noqa: S311 - the same each time
        sizes = [round(choice.uniform(1, 2 * self.readers - 1)) for _ in range(self.channels)]
        return [choice.sample(range(self.clients), min(size, self.clients)) for size in sizes]


class ReaderSettings(msgspec.Struct, frozen=True):
    """Who reads, where, and what."""

    port: int
    secret: str
    """Signs the tokens."""
    audience: Audience
    stored: StoredEvents


class Deliveries(NamedTuple):
    """Every delivery; each client got every event of its channels, once and in order."""

    numbers: "array[int]"
    moments: "array[int]"


def read_deliveries(settings: ReaderSettings, leader: Leader) -> Deliveries:
    """Connect all clients, read until the benchmark sends the refused events and all is silent, and check."""
    clients = ((client, settings.port) for client in range(settings.audience.clients))
    sockets = open_sockets(clients, settings.secret)
    reader = SocketReader(leader)
    reader.add(sockets)
    reader.begin(keep=True)
    gc.disable()
    leader.send(READY)
    reader.until_message()
    refused = set(leader.receive())
    reader.until_quiet(_QUIET_S)
    deliveries = [list(deliveries_in(reader.kept(each))) for each in sockets]
    check_clients(deliveries, settings.audience, settings.stored, refused)
    numbers = array("I", (number for each in deliveries for number, _ in each))
    return Deliveries(numbers, array("q", (moment for each in deliveries for _, moment in each)))


def deliveries_in(chunks: Iterable[Chunk]) -> Iterator[Delivery]:
    """The events that a client read; a `BenchError` if the server closed the connection."""
    new = b'{"type":"message.new"'
    return ((number_in(payload), moment) for payload, moment in frames_in(chunks) if payload.startswith(new))


def check_clients(
    deliveries: list[list[Delivery]], audience: Audience, stored: StoredEvents, refused: set[int]
) -> None:
    """Compare what each client got in each of its channels with what was sent there and not refused."""
    sent: list[list[int]] = [[] for _ in audience.names]
    for number, channel in enumerate(stored.chosen, 1):
        if number not in refused:
            sent[channel].append(number)
    expected: list[dict[int, list[int]]] = [{} for _ in range(audience.clients)]
    for channel, members in enumerate(audience.members):
        for client in members:
            expected[client][channel] = sent[channel]
    for client, due in enumerate(expected):
        received: dict[int, list[int]] = {channel: [] for channel in due}
        for number, _ in deliveries[client]:
            received.setdefault(stored.chosen[number - 1], []).append(number)
        for channel, numbers in received.items():
            check_deliveries(due.get(channel, []), numbers, f"channel {audience.names[channel]} at client {client}")
