"""Message events as the command service stores them, numbered, and a stream that is filled with them."""

import asyncio
from array import array
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from typing import Final

import msgspec

from benchmarks.drawing import channel_names, draws
from benchmarks.errors import BenchError
from benchmarks.live.wire import open_wire
from fanout import partition_of
from fanout.events import MESSAGE_NEW, Message, MessageEvent, encode, timestamp
from fanout.ids import new_event_id, new_message_id
from fanout.subjects import MESSAGES, message
from services.adapters.embedded.deployment import EmbeddedDeployment
from services.adapters.nats.connection import connect
from services.adapters.nats.log import NatsLog
from services.runtime.settings import Settings

EVENT_BYTES: Final = 300
"""Of an event as it is stored."""
NUMBER_DIGITS: Final = 10
PARTITIONS: Final[int] = Settings.model_fields["partitions"].default
"""Of the stream, as the settings have them unless told."""
_SENDERS: Final = 1_000
_MARK: Final = b'"text":"'
_BLOCK: Final = 250
_UNANSWERED: Final = 4_000
"""Events on their way to the stream at most: it refuses more than 10,000."""
_INBOX: Final = "bench.stored"
_ANSWER_WITHIN_S: Final = 30.0


class Feed(msgspec.Struct, frozen=True, dict=True):
    """Events for channels drawn at random, numbered from 1: of a new stream the number is the sequence."""

    events: int
    channels: int
    draw: int = 0
    """Which draw of them it is."""

    @cached_property
    def names(self) -> list[str]:
        """The channels."""
        return channel_names(array("I", range(self.channels)))

    @cached_property
    def chosen(self) -> "array[int]":
        """The channel of each event, as its place in `names`."""
        return draws(self.draw, self.channels, self.events, 0.0)

    def numbers_by_part(self, partitions: int) -> dict[int, list[int]]:
        """The numbers of the events of each partition, rising."""
        part_of = [partition_of(name, partitions) for name in self.names]
        numbers: dict[int, list[int]] = {part: [] for part in range(partitions)}
        for number, channel in enumerate(self.chosen, 1):
            numbers[part_of[channel]].append(number)
        return numbers

    def commands(self, inbox: str) -> Iterator[bytes]:
        """What stores each event: with its id for the log to know a repeat by, and a subject for the answer."""
        for number, channel in enumerate(self.chosen, 1):
            yield stored_by(number, self.names[channel], inbox)


def stored_by(number: int, channel: str, inbox: str) -> bytes:
    """The command that stores an event; it is answered to `{inbox}.{number}`."""
    event_id = new_event_id()
    headers = b"NATS/1.0\r\nNats-Msg-Id: %b\r\n\r\n" % event_id.encode()
    payload = event_payload(number, channel, event_id)
    words = f"HPUB {message(channel)} {inbox}.{number} {len(headers)} {len(headers) + len(payload)}"
    return b"%b\r\n%b%b\r\n" % (words.encode(), headers, payload)


def event_payload(number: int, channel: str, event_id: str) -> bytes:
    """A stored `message.new` whose text begins with its number."""
    bare = _payload(number, channel, event_id, "")
    return _payload(number, channel, event_id, "x" * (EVENT_BYTES - len(bare)))


def number_in(event: bytes) -> int:
    """The number of an event, stored or as clients see it."""
    begin = event.index(_MARK) + len(_MARK)
    return int(event[begin : begin + NUMBER_DIGITS])


def fill(url: str, port: int, feed: Feed) -> int:
    """Create the streams, and store all events of a feed.

    Args:
        url: the server.
        port: of the same server on 127.0.0.1.
        feed: what is stored.

    Returns:
        the number of partitions.

    Raises:
        BenchError: something was not stored.
    """
    return asyncio.run(_fill(url, port, feed))


async def _fill(url: str, port: int, feed: Feed) -> int:
    nc = await connect(url, name="fanout bench")
    log = await NatsLog.open(nc, EmbeddedDeployment("bench"), partitions=PARTITIONS)
    await _Storing(feed).run(port)
    stored = await log.last_seq(MESSAGES)
    await nc.close()
    if stored != feed.events:
        raise BenchError(f"of {feed.events} events {stored} are in the stream")
    return log.partitions


class _Storing:
    """Blocks of commands, and their answers counted."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._answered = 0
        self._refused: bytes | None = None
        self._news = asyncio.Event()

    async def run(self, port: int) -> None:
        wire = await open_wire(port, self._hear)
        await wire.subscribe([f"{_INBOX}.*"])
        commands, sent = self._feed.commands(_INBOX), 0
        while block := list(islice(commands, _BLOCK)):
            await wire.write(b"".join(block))
            sent += len(block)
            await self._until(sent - _UNANSWERED)
        await self._until(sent)
        wire.close()

    def _hear(self, _subject: bytes, answer: bytes) -> None:
        if b'"error"' in answer or b'"duplicate"' in answer:
            self._refused = answer
        self._answered += 1
        self._news.set()

    async def _until(self, answered: int) -> None:
        while self._answered < answered:
            self._news.clear()
            try:
                async with asyncio.timeout(_ANSWER_WITHIN_S):
                    await self._news.wait()
            except TimeoutError:
                raise BenchError(f"nats-server did not store an event within {_ANSWER_WITHIN_S:.0f} s") from None
            if self._refused is not None:
                raise BenchError(f"nats-server did not store an event: {self._refused.decode()}")


def _payload(number: int, channel: str, event_id: str, padding: str) -> bytes:
    body = Message(
        message_id=new_message_id(),
        channel_id=channel,
        sender_id=f"user-{number % _SENDERS:04d}",
        text=f"{number:0{NUMBER_DIGITS}d}{padding}",
        sent_at=timestamp(),
    )
    return encode(MessageEvent(event_id, MESSAGE_NEW, channel, msgspec.Raw(encode(body))))
