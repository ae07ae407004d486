"""Numbered message events as the command service stores them, a stream that holds them, and a check of deliveries."""

import asyncio
from array import array
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Final

import msgspec

from benchmarks.drawing import channel_names, draws
from benchmarks.errors import BenchError
from benchmarks.live.nats_client import NatsClient
from fanout.events import MESSAGE_NEW, Message, MessageEvent, encode
from fanout.ids import new_event_id
from fanout.streams import MESSAGES
from fanout.subjects import message
from services.adapters.embedded.deployment import EmbeddedDeployment
from services.adapters.nats.connection import connect
from services.adapters.nats.log import NatsLog
from services.runtime.settings import Settings

EVENT_BYTES: Final = 300
"""The size of a stored event."""
PARTITIONS: Final[int] = Settings.model_fields["partitions"].default
_NUMBER_DIGITS: Final = 10
_TEXT: Final = b'"text":"'
_BLOCK: Final = 250
_UNANSWERED: Final = 4_000
"""The most events on their way to the stream: it refuses more than 10,000."""
_INBOX: Final = "bench.stored"


class StoredEvents(msgspec.Struct, frozen=True, dict=True):
    """Events in channels drawn at random, numbered from 1: in a new stream the number is the sequence."""

    events: int
    channels: int
    draw: int = 0
    """The seed of the draw."""

    @cached_property
    def names(self) -> list[str]:
        """The channels."""
        return channel_names(array("I", range(self.channels)))

    @cached_property
    def chosen(self) -> "array[int]":
        """The channel of each event, as an index into `names`."""
        return draws(self.draw, self.channels, self.events, 0.0)

    def numbers_by(self, groups: Sequence[int]) -> dict[int, list[int]]:
        """The numbers of the events, rising, by group: `groups` has the group of each channel."""
        numbers: dict[int, list[int]] = {group: [] for group in groups}
        for number, channel in enumerate(self.chosen, 1):
            numbers[groups[channel]].append(number)
        return numbers

    def publish_commands(self) -> Iterator[bytes]:
        """The command that stores each event, whose answer goes to the inbox of an `EventWriter`."""
        for number, channel in enumerate(self.chosen, 1):
            event_id, name = new_event_id(), self.names[channel]
            headers = b"NATS/1.0\r\nNats-Msg-Id: %b\r\n\r\n" % event_id.encode()
            payload = event_payload(number, name, event_id)
            words = f"HPUB {message(name)} {_INBOX}.{number} {len(headers)} {len(headers) + len(payload)}"
            yield b"%b\r\n%b%b\r\n" % (words.encode(), headers, payload)


def event_payload(number: int, channel: str, event_id: str) -> bytes:
    """A `message.new` as the command service stores it, whose text begins with its number."""
    text = f"{number:0{_NUMBER_DIGITS}d}"
    missing = EVENT_BYTES - len(_encoded(text, channel, event_id))
    return _encoded(text + "x" * missing, channel, event_id)


def _encoded(text: str, channel: str, event_id: str) -> bytes:
    message_id = event_id.replace("evt", "msg", 1)  # of its own, since instances drop a message that they have had
    body = Message(message_id, channel, "user-0000", text, "2026-01-01T00:00:00.000Z")
    return encode(MessageEvent(event_id, MESSAGE_NEW, channel, msgspec.Raw(encode(body))))


def number_in(event: bytes) -> int:
    """The number of an event, as it is stored or as clients get it."""
    begin = event.index(_TEXT) + len(_TEXT)
    return int(event[begin : begin + _NUMBER_DIGITS])


class WrongDeliveriesError(BenchError):
    """An event was lost, came twice or out of order, so no figure counts."""


def check_deliveries(expected: Sequence[Hashable], received: Sequence[Hashable], where: str) -> None:
    """Compare events by their numbers, or by anything else that tells them apart; each is expected once.

    Raises:
        WrongDeliveriesError: they differ; the text says how and `where`, and names an event.
    """
    if list(received) == list(expected):
        return
    came = Counter(received)
    lost = [event for event in expected if event not in came]
    foreign = came.keys() - set(expected)
    twice = [event for event, times in came.items() if times > 1]
    if lost:
        how = f"{lost[0]} was lost, as were {len(lost) - 1} others of {len(expected)}"
    elif foreign:
        how = f"{foreign.pop()} came, which is for others"
    elif twice:
        how = f"{twice[0]} came more than once, as did {len(twice) - 1} others of {len(expected)}"
    else:
        how = f"{next(event for event, due in zip(received, expected, strict=True) if event != due)} came out of order"
    raise WrongDeliveriesError(f"{where}: event {how}")


def check_groups(expected: Mapping[int, Sequence[int]], received: Iterable[tuple[int, int]], where: str) -> None:
    """Compare the events of each group, which have an order only within it; raises as `check_deliveries`.

    Args:
        expected: the events by group.
        received: the group of each event, and the event.
        where: `{}` in it stands for the group.
    """
    by_group: dict[int, list[int]] = {group: [] for group in expected}
    for group, event in received:
        by_group.setdefault(group, []).append(event)
    for group, events in by_group.items():
        check_deliveries(expected.get(group, ()), events, where.format(group))


class EventWriter(NatsClient):
    """Stores events. The caller sends the commands; this notes the answers of the log."""

    def __init__(self, port: int, stored: StoredEvents) -> None:
        super().__init__(port, self._on_answer)
        self.answers = 0
        self.accepted = array("q", bytes(8 * stored.events))
        """When the log's word came that it holds the event, by event, in nanoseconds; 0 where it refused or is due."""
        self.subscribe([f"{_INBOX}.*"])

    def await_answers(self, wanted: int) -> None:
        """Return when so many have come."""
        self.read_until(lambda: self.answers >= wanted)

    def _on_answer(self, subject: bytes, answer: bytes) -> None:
        self.answers += 1
        if b'"error"' not in answer:
            self.accepted[int(subject.rpartition(b".")[2]) - 1] = self.received_at


def store_events(port: int, stored: StoredEvents) -> None:
    """Create the streams, and store all events; a `BenchError` if one was not stored."""
    asyncio.run(_last_seq(port))
    writer, commands, sent = EventWriter(port, stored), stored.publish_commands(), 0
    while block := list(islice(commands, _BLOCK)):
        writer.send(b"".join(block))
        sent += len(block)
        writer.await_answers(sent - _UNANSWERED)
    writer.await_answers(sent)
    if (last := asyncio.run(_last_seq(port))) != sent or not all(writer.accepted):
        raise BenchError(f"of {sent} events {last} are in the stream")


async def _last_seq(port: int) -> int:
    """The last sequence of the stream of messages; the streams are created where they are missing."""
    nc = await connect(f"nats://127.0.0.1:{port}", name="fanout bench")
    log = await NatsLog.open(nc, EmbeddedDeployment("bench"), partitions=PARTITIONS)
    last = await log.last_seq(MESSAGES)
    await log.close()
    await nc.close()
    return last
