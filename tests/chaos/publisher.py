"""Publishes messages to the log as the command service does, in blocks, and writes down what was accepted.

It speaks NATS itself, so that publishing costs the storm little. An event whose answer did not come in time is
published again, by the same id, until one comes.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, Self

import orjson

from tests.chaos.framing import NatsFrame, NatsFrames

ANSWERS_WITHIN_S = 2.0
_TRY_AGAIN_AFTER_S = 0.1
_INBOX = "_INBOX.storm"
_READ_AT_ONCE = 1 << 18


class Event(NamedTuple):
    """One message to be accepted."""

    channel: str
    message_id: str
    event_id: str
    """What the log knows it by when it is published twice."""
    payload: bytes

    def command(self, reply: str) -> bytes:
        """As NATS's HPUB."""
        headers = f"NATS/1.0\r\nNats-Msg-Id: {self.event_id}\r\n\r\n".encode()
        subject = f"messages.send.{self.channel}"
        sizes = f"{len(headers)} {len(headers) + len(self.payload)}"
        return b"HPUB %b %b %b\r\n%b%b\r\n" % (subject.encode(), reply.encode(), sizes.encode(), headers, self.payload)


class Publisher:
    """Has events accepted, and keeps the journal of those that were."""

    def __init__(self, port: int, journal: Path) -> None:
        self.repeated = 0
        """Events that were published more than once."""
        self._port = port
        self._journal = journal.open("w", buffering=1 << 16)
        self._link: _Link | None = None
        self._serial = 0

    async def have_accepted(self, events: Iterable[Event]) -> None:
        """Return when the log has all of them."""
        waiting = list(events)
        while waiting:
            waiting = await self._try(waiting)
            if waiting:
                self.repeated += len(waiting)
                await asyncio.sleep(_TRY_AGAIN_AFTER_S)

    def close(self) -> None:
        """End the journal and the connection."""
        self._journal.close()
        self._unlink()

    async def _try(self, events: list[Event]) -> list[Event]:
        """Publish a block; those of it that have no good answer."""
        try:
            if self._link is None:
                self._link = await _Link.open(self._port)
            return await self._publish(self._link, events)
        except OSError:  # a timeout is one too
            self._unlink()
            return events

    async def _publish(self, link: "_Link", events: list[Event]) -> list[Event]:
        waiting: dict[str, Event] = {}
        for event in events:
            self._serial += 1
            waiting[f"{_INBOX}.{self._serial}"] = event
        link.send(b"".join(event.command(reply) for reply, event in waiting.items()))
        refused: list[Event] = []
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                while waiting:
                    refused += self._read_answers(waiting, await link.messages())
        except OSError:
            self._unlink()
        return [*refused, *waiting.values()]

    def _read_answers(self, waiting: dict[str, Event], answers: list[NatsFrame]) -> list[Event]:
        """Take out of `waiting` what these answer; the events that they refuse."""
        refused = []
        for answer in answers:
            event: Event | None = waiting.pop(answer.subject.decode(), None)
            if event is not None and not self._accept(event, answer):
                refused.append(event)
        return refused

    def _accept(self, event: Event, answer: NatsFrame) -> bool:
        """Write an event down, if this is the log's word that it has it."""
        if not answer.payload.startswith(b"{"):
            return False  # a status: no stream hears yet
        acknowledged = orjson.loads(answer.payload)
        if "seq" not in acknowledged:
            return False
        self._journal.write(f"{acknowledged['seq']} {event.channel} {event.message_id}\n")
        return True

    def _unlink(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None


class _Link:
    """One connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._frames = NatsFrames()

    @classmethod
    async def open(cls, port: int) -> Self:
        link = cls(*await asyncio.open_connection("127.0.0.1", port))
        options = {"verbose": False, "headers": True, "no_responders": True, "name": "storm"}
        link.send(b"CONNECT %b\r\nSUB %b.* 1\r\n" % (orjson.dumps(options), _INBOX.encode()))
        return link

    def send(self, commands: bytes) -> None:
        self._writer.write(commands)

    async def messages(self) -> list[NatsFrame]:
        """What came; raises `ConnectionError` at the end."""
        data = await self._reader.read(_READ_AT_ONCE)
        if not data:
            raise ConnectionError("the server closed the connection")
        frames = self._frames.feed(data)
        if any(frame.line == b"PING" for frame in frames):
            self.send(b"PONG\r\n")
        return [frame for frame in frames if frame.subject]

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def publishing(port: int, journal: Path) -> AsyncIterator[Publisher]:
    """A publisher for the length of the context, after which its journal is whole."""
    publisher = Publisher(port, journal)
    try:
        yield publisher
    finally:
        publisher.close()
