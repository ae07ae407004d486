"""The instances of a drain: their inboxes in one process, which keeps what comes and looks at it after the clock."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Literal

import msgspec
import uvloop

from benchmarks.live.arrivals import check_arrivals
from benchmarks.live.feed import Feed, number_in
from benchmarks.live.parts import Stage
from benchmarks.live.wire import open_wire
from fanout import decode_batch
from fanout.lanes import Lane
from fanout.subjects import instance_events

Form = Literal["batches", "frames"]
"""What an inbox gets: the engine's batches, or the JSON of one event for clients."""


Arrival = tuple[int, int]
"""The partition of an event, and its number."""


class SinkSettings(msgspec.Struct, frozen=True):
    """Whose inboxes, and what should come."""

    port: int
    """Of nats-server."""
    instances: list[str]
    form: Form
    feed: Feed
    partitions: int


class Sunk(msgspec.Struct, frozen=True):
    """What came; all of it was found to be there, once, and in order."""

    messages: int
    events: int
    bytes: int


def sink(settings: SinkSettings, stage: Stage) -> Sunk:
    """Take what comes until the cue, then check it.

    Raises:
        WrongArrivalsError: something was lost, came twice or out of order.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        inboxes = runner.run(_receive(settings, stage))
    expected = settings.feed.numbers_by_part(settings.partitions)
    for instance in settings.instances:
        check_inbox(read_inbox(settings.form, inboxes[instance_events(instance).encode()]), expected, instance)
    received = [message for inbox in inboxes.values() for message in inbox]
    return Sunk(len(received), settings.feed.events * len(settings.instances), sum(map(len, received)))


def read_inbox(form: Form, messages: Iterable[bytes]) -> Iterator[Arrival]:
    """The events in what an inbox got, in order; one that has another's number arrives as 0, which no event has."""
    return _of_batches(messages) if form == "batches" else _of_frames(messages)


def check_inbox(arrivals: Iterable[Arrival], expected: Mapping[int, Sequence[int]], instance: str) -> None:
    """Compare what one instance got with what it should have got.

    Args:
        arrivals: in the order in which they came.
        expected: the numbers of the events of each partition, in order.
        instance: for the error's text.

    Raises:
        WrongArrivalsError: it is something else.
    """
    arrived: dict[int, list[int]] = {part: [] for part in expected}
    for part, number in arrivals:
        arrived[part].append(number)
    for part, numbers in expected.items():
        check_arrivals(numbers, arrived[part], f"partition {part} at {instance}")


async def _receive(settings: SinkSettings, stage: Stage) -> dict[bytes, list[bytes]]:
    inboxes: defaultdict[bytes, list[bytes]] = defaultdict(list)
    wire = await open_wire(settings.port, lambda subject, payload: inboxes[subject].append(payload))
    await wire.subscribe(map(instance_events, settings.instances))
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(stage.cue_fd, over.set)
    stage.ready()
    await over.wait()
    asyncio.get_running_loop().remove_reader(stage.cue_fd)
    await wire.settle()  # what the server had for this connection came before its answer
    wire.close()
    return inboxes


def _of_batches(batches: Iterable[bytes]) -> Iterator[Arrival]:
    part_of = cache(lambda lane: Lane.of_number(lane).part)
    for batch in batches:
        for record in decode_batch(batch):
            if record.channel is not None:  # a mark says how far a lane has come, and brings nothing
                yield part_of(record.lane), _same(record.seq, number_in(record.event))


def _of_frames(frames: Iterable[bytes]) -> Iterator[Arrival]:
    decode = msgspec.json.Decoder(_Numbers).decode
    for frame in frames:
        numbers = decode(frame)
        yield numbers.part, _same(numbers.seq, number_in(frame))


class _Numbers(msgspec.Struct, frozen=True):
    seq: int
    part: int


def _same(seq: int, number: int) -> int:
    return number if number == seq else 0
