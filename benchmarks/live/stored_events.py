"""Message events as the command service stores them, numbered, and a stream that holds them."""

import asyncio
from array import array
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from typing import Final

import msgspec

from benchmarks.drawing import channel_names, draws
from benchmarks.errors import BenchError
from benchmarks.live.nats_client import ANSWER_WITHIN_S, NatsClient
from fanout import partition_of
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
_SENT_AT: Final = "2026-01-01T00:00:00.000Z"
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

    def numbers_by_partition(self, partitions: int) -> dict[int, list[int]]:
        """The numbers of the events of each partition, rising."""
        partition_of_channel = [partition_of(name, partitions) for name in self.names]
        numbers: dict[int, list[int]] = {partition: [] for partition in range(partitions)}
        for number, channel in enumerate(self.chosen, 1):
            numbers[partition_of_channel[channel]].append(number)
        return numbers

    def publish_commands(self, inbox: str) -> Iterator[bytes]:
        """The command that stores each event. The log answers to `{inbox}.{number}`."""
        for number, channel in enumerate(self.chosen, 1):
            yield _publish_command(number, self.names[channel], inbox)


def _publish_command(number: int, channel: str, inbox: str) -> bytes:
    event_id = new_event_id()
    headers = b"NATS/1.0\r\nNats-Msg-Id: %b\r\n\r\n" % event_id.encode()
    payload = event_payload(number, channel, event_id)
    words = f"HPUB {message(channel)} {inbox}.{number} {len(headers)} {len(headers) + len(payload)}"
    return b"%b\r\n%b%b\r\n" % (words.encode(), headers, payload)


def event_payload(number: int, channel: str, event_id: str, size: int = EVENT_BYTES) -> bytes:
    """A stored `message.new` of a given size, whose text begins with its number."""
    name = channel.encode()
    padding = _PADDING[: size - _BARE_BYTES - len(event_id) - 2 * len(name)]
    return _TEMPLATE % (event_id.encode(), name, name, number, padding)


def number_in(event: bytes) -> int:
    """The number of an event, as it is stored or as clients get it."""
    begin = event.index(_TEXT) + len(_TEXT)
    return int(event[begin : begin + _NUMBER_DIGITS])


def store_events(url: str, port: int, stored: StoredEvents) -> int:
    """Create the streams, and store all events.

    Args:
        url: of the server.
        port: of the same server on 127.0.0.1.
        stored: the events.

    Returns:
        The number of partitions.

    Raises:
        BenchError: an event was not stored.
    """
    partitions = asyncio.run(_open_log(url))[0]
    _Storing(port).run(stored)
    in_stream = asyncio.run(_open_log(url))[1]
    if in_stream != stored.events:
        raise BenchError(f"of {stored.events} events {in_stream} are in the stream")
    return partitions


async def _open_log(url: str) -> tuple[int, int]:
    """Create the streams where they are missing; the number of partitions, and the last sequence."""
    nc = await connect(url, name="fanout bench")
    log = await NatsLog.open(nc, EmbeddedDeployment("bench"), partitions=PARTITIONS)
    last = await log.last_seq(MESSAGES)
    await nc.close()
    return log.partitions, last


class _Storing:
    """Sends blocks of commands, and counts their answers."""

    def __init__(self, port: int) -> None:
        self._answered = 0
        self._client = NatsClient(port, self._on_answer)

    def run(self, stored: StoredEvents) -> None:
        self._client.subscribe([f"{_INBOX}.*"])
        commands, sent = stored.publish_commands(_INBOX), 0
        while block := list(islice(commands, _BLOCK)):
            self._client.send(b"".join(block))
            sent += len(block)
            self._await_answers(sent - _UNANSWERED)
        self._await_answers(sent)
        self._client.close()

    def _await_answers(self, wanted: int) -> None:
        while self._answered < wanted:
            if not self._client.read(ANSWER_WITHIN_S):
                raise BenchError(f"nats-server did not store an event within {ANSWER_WITHIN_S:.0f} s")

    def _on_answer(self, _subject: bytes, answer: bytes) -> None:
        if b'"error"' in answer or b'"duplicate"' in answer:
            raise BenchError(f"nats-server did not store an event: {answer.decode()}")
        self._answered += 1


def _template() -> bytes:
    """An event as the command service encodes it, with places for its id, channel (twice), number and padding."""
    body = Message("msg_00000000000000000000000000", "%b", "user-0000", f"%0{_NUMBER_DIGITS}d%b", _SENT_AT)
    return encode(MessageEvent("%b", MESSAGE_NEW, "%b", msgspec.Raw(encode(body))))


_TEMPLATE: Final = _template()
_BARE_BYTES: Final = len(_TEMPLATE % (b"", b"", b"", 0, b""))
_PADDING: Final = b"x" * (2 * EVENT_BYTES)
