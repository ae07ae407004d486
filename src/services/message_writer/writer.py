"""Writes every message of the log to the message store, once however often it comes, acknowledged after the write."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from prometheus_client import Counter

from fanout import InvalidEvent, Unavailable
from fanout.events import StoredMessage, decode_message_event
from fanout.ports.log import Consumer, Log, Stored
from fanout.ports.messages import LogPlace, Messages
from fanout.subjects import MESSAGE_WRITER, MESSAGES, channel_of
from services.runtime.tasks import Tasks, retry_forever

log = structlog.get_logger(__name__)

RETRY_AFTER_S = 1.0

MESSAGES_WRITTEN = Counter("fanout_messages_written_total", "Messages written to the store, repeats included")
MESSAGES_REJECTED = Counter("fanout_messages_rejected_total", "Stored events that the writer sent to the dead letters")


class MessageWriter:
    """One worker of the durable consumer `message-writer`."""

    def __init__(self, events: Log, messages: Messages) -> None:
        self._log = events
        self._messages = messages

    async def run(self) -> None:
        """Write for ever; cancel it to stop: what was not acknowledged comes again."""
        await retry_forever(self._recall, "comparing the log with what was stored of it")
        consumer = await retry_forever(
            lambda: self._log.consume(MESSAGES, MESSAGE_WRITER), "joining the message writers"
        )
        try:
            while True:
                await self._write(consumer, await consumer.fetch())
        finally:
            await consumer.close()

    async def _recall(self) -> None:
        """Notice a log that went back while no writer ran."""
        if (place := await self._messages.newest_place()) is not None:
            await self._log.recall(MESSAGES, *place)

    async def _write(self, consumer: Consumer, events: list[Stored]) -> None:
        messages = await self._decode(events)
        try:
            await self._messages.write(messages, _newest(events))
        except Unavailable as error:
            log.warning("message store away, the events come again", reason=str(error), events=len(events))
            await consumer.retry(events, RETRY_AFTER_S)
            await asyncio.sleep(RETRY_AFTER_S)
            return
        MESSAGES_WRITTEN.inc(len(messages))
        await retry_forever(lambda: consumer.ack(events), "acknowledging written messages")

    async def _decode(self, events: list[Stored]) -> list[StoredMessage]:
        messages = []
        for event in events:
            try:
                message = decode_message_event(event.payload, channel_of(event.subject))
                messages.append(StoredMessage.of(message, event.seq))
            except InvalidEvent as error:
                await self._dead_letter(event, str(error))
        return messages

    async def _dead_letter(self, event: Stored, reason: str) -> None:
        MESSAGES_REJECTED.inc()
        log.warning("event cannot be stored", seq=event.seq, subject=event.subject, reason=reason)
        await retry_forever(lambda: self._log.dead_letter(MESSAGES, event, reason), "dead-lettering an event")


def _newest(events: list[Stored]) -> LogPlace | None:
    newest = max(events, key=lambda event: event.seq)
    return LogPlace(newest.seq, newest.stored_ns) if newest.stored_ns else None


@asynccontextmanager
async def running_writer(
    events: Log, messages: Messages, on_failure: Callable[[BaseException], None]
) -> AsyncIterator[MessageWriter]:
    """Run a writer for the length of the context."""
    async with Tasks(on_failure) as tasks:
        writer = MessageWriter(events, messages)
        tasks.start(writer.run(), MESSAGE_WRITER)
        yield writer
