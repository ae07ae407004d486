"""The readers: many WebSockets in one process, which records when it reads what, and checks it after the clock."""

import gc
from array import array
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from benchmarks.live.delivery_check import check_deliveries
from benchmarks.live.pipeline.audience import Audience
from benchmarks.live.stored_events import StoredEvents, number_in
from benchmarks.live.websocket_clients import Chunk, SocketReader, frames_in, open_sockets
from benchmarks.processes import READY, Leader

_QUIET_S: Final = 1.0
_MESSAGE: Final = b'{"type":"message.new"'

Delivery = tuple[int, int]
"""An event's number, and when its frame was whole, in nanoseconds."""


class ReaderSettings(msgspec.Struct, frozen=True):
    """Who reads, where, and what."""

    ports: list[int]
    """Of the notification instances; the clients are spread over them in turn."""
    secret: str
    """Signs the tokens."""
    audience: Audience
    stored: StoredEvents


class Deliveries(msgspec.Struct, frozen=True):
    """Every delivery; each client got every event of its channels, once and in order."""

    numbers: "array[int]"
    moments: "array[int]"

    def __iter__(self) -> Iterator[Delivery]:
        """One after another."""
        return zip(self.numbers, self.moments, strict=True)


def read_deliveries(settings: ReaderSettings, leader: Leader) -> Deliveries:
    """Connect all clients, and read until the benchmark sends the refused events and a second of silence has passed.

    Raises:
        BenchError: a client was not admitted, or was closed.
        WrongDeliveriesError: an event was lost for a client, came twice or out of order.
    """
    ports, clients = settings.ports, range(settings.audience.clients)
    sockets = open_sockets(((client, ports[client % len(ports)]) for client in clients), settings.secret)
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
    everything = [delivery for each in deliveries for delivery in each]
    return Deliveries(*(array(kind, [each[at] for each in everything]) for at, kind in enumerate("Iq")))


def deliveries_in(chunks: Iterable[Chunk]) -> Iterator[Delivery]:
    """The events that a client read.

    Raises:
        BenchError: the server closed the connection.
    """
    return ((number_in(payload), moment) for payload, moment in frames_in(chunks) if payload.startswith(_MESSAGE))


def check_clients(
    deliveries: list[list[Delivery]], audience: Audience, stored: StoredEvents, refused: set[int]
) -> None:
    """Compare what each client got in each of its channels with what was sent there.

    Args:
        deliveries: of each client, in the order in which they came.
        audience: who is in which channel.
        stored: what was sent.
        refused: the numbers of the events that the log did not take.

    Raises:
        WrongDeliveriesError: it is something else.
    """
    sent: list[list[int]] = [[] for _ in audience.names]
    for number, channel in enumerate(stored.chosen, 1):
        if number not in refused:
            sent[channel].append(number)
    for client, channels in enumerate(audience.channels_of_clients()):
        received: dict[int, list[int]] = {channel: [] for channel in channels}
        for number, _ in deliveries[client]:
            received.setdefault(stored.chosen[number - 1], []).append(number)
        for channel, numbers in received.items():
            where = f"channel {audience.names[channel]} at client {client}"
            check_deliveries(sent[channel] if channel in channels else [], numbers, where)
