"""Writes every message of the log to the message store. A message that is delivered twice is stored once."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from prometheus_client import Counter

from fanout.events import StoredMessage, decode_message_event
from fanout.ports.log import Log, StoredEvent
from fanout.ports.messages import LogPlace, Messages
from fanout.streams import MESSAGE_WRITER, MESSAGES
from fanout.subjects import channel_of
from services.runtime.consumer import Consumption, running_consumer

MESSAGES_WRITTEN: Final = Counter("fanout_messages_written_total", "Messages written to the store, repeats included")


class MessageWriter:
    """The handler of the durable consumer `message-writer`."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    def decode(self, event: StoredEvent) -> StoredMessage:
        """The message of an event, with its position in the log.

        Raises:
            InvalidEvent: it is no message event.
        """
        message = decode_message_event(event.payload, channel_of(event.subject))
        return StoredMessage.of(message, event.seq)

    async def handle(self, messages: Sequence[StoredMessage], newest: StoredEvent) -> None:
        """Write messages, and store the position that the writers have reached.

        Raises:
            Unavailable: the store cannot be reached.
        """
        place = LogPlace(newest.seq, newest.stored_ns) if newest.stored_ns else None
        await self._messages.write(messages, place)
        MESSAGES_WRITTEN.inc(len(messages))


def running_writer(
    events: Log, messages: Messages, on_failure: Callable[[BaseException], None]
) -> AbstractAsyncContextManager[None]:
    """Run a writer for the length of the context.

    Args:
        events: the log.
        messages: the store.
        on_failure: is called with an error that ends the writer.
    """
    writer = MessageWriter(messages)
    consumption = Consumption(MESSAGES, MESSAGE_WRITER, writer.decode, writer.handle, messages.newest_place)
    return running_consumer(consumption, events, on_failure)
