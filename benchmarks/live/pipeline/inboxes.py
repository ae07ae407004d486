"""The inboxes of the instances, in one process: it keeps what comes, and checks it after the clock."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Literal

import msgspec

from benchmarks.live.delivery_check import check_deliveries
from benchmarks.live.nats_client import NatsClient
from benchmarks.live.stored_events import StoredEvents, number_in
from benchmarks.processes import READY, Leader
from fanout import decode_batch
from fanout.lanes import Lane
from fanout.subjects import instance_events

Form = Literal["batches", "frames"]
"""What an inbox gets: the engine's batches, or the JSON of one event for clients."""
Numbered = tuple[int, int]
"""The partition of an event, and its number."""


class InboxSettings(msgspec.Struct, frozen=True):
    """Whose inboxes, and what should come."""

    port: int
    """Of nats-server."""
    instances: list[str]
    form: Form
    stored: StoredEvents
    partitions: int


def receive_inboxes(settings: InboxSettings, leader: Leader) -> int:
    """Receive until the benchmark sends a message, then check.

    Returns:
        How many events came.

    Raises:
        WrongDeliveriesError: an event was lost, came twice or out of order.
    """
    inboxes: defaultdict[bytes, list[bytes]] = defaultdict(list)
    client = NatsClient(settings.port, lambda subject, payload: inboxes[subject].append(payload))
    client.subscribe(map(instance_events, settings.instances))
    leader.send(READY)
    client.read_until_message(leader)
    client.flush()  # what the server had for this connection comes before its answer
    expected = settings.stored.numbers_by_partition(settings.partitions)
    for instance in settings.instances:
        check_inbox(read_inbox(settings.form, inboxes[instance_events(instance).encode()]), expected, instance)
    return settings.stored.events * len(settings.instances)


def read_inbox(form: Form, messages: Iterable[bytes]) -> Iterator[Numbered]:
    """The events that an inbox got, in order; one whose sequence is not its number becomes 0, which no event has."""
    return _in_batches(messages) if form == "batches" else _in_frames(messages)


def check_inbox(received: Iterable[Numbered], expected: Mapping[int, Sequence[int]], instance: str) -> None:
    """Compare what one instance got with what it should have got.

    Args:
        received: in the order in which they came.
        expected: the numbers of the events of each partition, in order.
        instance: for the error's text.

    Raises:
        WrongDeliveriesError: it is something else.
    """
    by_partition: dict[int, list[int]] = {partition: [] for partition in expected}
    for partition, number in received:
        by_partition[partition].append(number)
    for partition, numbers in expected.items():
        check_deliveries(numbers, by_partition[partition], f"partition {partition} at {instance}")


def _in_batches(batches: Iterable[bytes]) -> Iterator[Numbered]:
    partition_of_lane = cache(lambda lane: Lane.of_number(lane).part)
    for batch in batches:
        for event in decode_batch(batch):
            if event.channel is not None:  # a mark says how far a lane has come, and carries no event
                yield partition_of_lane(event.lane), _same(event.seq, number_in(event.event))


def _in_frames(frames: Iterable[bytes]) -> Iterator[Numbered]:
    decode = msgspec.json.Decoder(_Numbers).decode
    for frame in frames:
        numbers = decode(frame)
        yield numbers.part, _same(numbers.seq, number_in(frame))


class _Numbers(msgspec.Struct, frozen=True):
    seq: int
    part: int


def _same(seq: int, number: int) -> int:
    return number if number == seq else 0
