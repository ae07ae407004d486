"""A log whose durable consumers deliver every event again after it was handled."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, cast

from fanout.ports.log import Consumer, Log, StoredEvent


class Redelivery:
    """Gives each handled event back once, so that the server delivers it again, to any worker.

    Attributes:
        given_back: the `seq`s of the events that came again, by stream and durable consumer.
    """

    def __init__(self) -> None:
        self.given_back: defaultdict[tuple[str, str], set[int]] = defaultdict(set)

    def of(self, log: Log) -> Log:
        """The log, with such consumers."""
        return cast("Log", _RedeliveringLog(log, self))


class _RedeliveringLog:
    def __init__(self, log: Log, redelivery: Redelivery) -> None:
        self._log = log
        self._redelivery = redelivery

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def consume(self, stream: str, durable: str) -> Consumer:
        consumer = await self._log.consume(stream, durable)
        return _RedeliveringConsumer(consumer, self._redelivery.given_back[stream, durable])


class _RedeliveringConsumer:
    def __init__(self, consumer: Consumer, given_back: set[int]) -> None:
        self._consumer = consumer
        self._given_back = given_back

    async def fetch(self) -> list[StoredEvent]:
        return await self._consumer.fetch()

    async def ack(self, events: Sequence[StoredEvent]) -> None:
        first = [event for event in events if event.seq not in self._given_back]
        again = [event for event in events if event.seq in self._given_back]
        self._given_back.update(event.seq for event in first)
        if first:
            await self._consumer.retry(first, 0)
        if again:
            await self._consumer.ack(again)

    async def retry(self, events: Sequence[StoredEvent], delay: float) -> None:
        await self._consumer.retry(events, delay)

    async def close(self) -> None:
        await self._consumer.close()
