"""How tests read from the log: with a bound on the wait, and no other notion of time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from fanout import partition_of, subjects
from fanout.ports.log import Log, StoredEvent

PATIENCE_S = 20.0
"""Far longer than anything takes; reached only by a test that fails."""

_T = TypeVar("_T")


class Fetches(Protocol):
    async def fetch(self) -> Sequence[StoredEvent]: ...


async def soon(result: Awaitable[_T]) -> _T:
    """`result`, or a failure in place of a test that hangs."""
    async with asyncio.timeout(PATIENCE_S):
        return await result


async def collect(reader: Fetches, count: int) -> list[StoredEvent]:
    """Fetch until there are `count` events."""
    events: list[StoredEvent] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(events) < count:
            events += await reader.fetch()
    return events


async def until(holds: Callable[[], Awaitable[_T | None]]) -> _T:
    """Ask again until the answer is not None."""
    async with asyncio.timeout(PATIENCE_S):
        while (answer := await holds()) is None:  # noqa: ASYNC110 - a port has no event for it
            await asyncio.sleep(0.01)
    return answer


async def append_messages(log: Log, channel: str, numbers: Iterable[int]) -> list[int]:
    """Append one message for each number, `{number}` as its payload; their sequences."""
    subject = subjects.message(channel)
    return [(await log.append(subject, str(number).encode(), msg_id=f"{channel}-{number}")).seq for number in numbers]


def channel_in(partition: int, partitions: int) -> str:
    """A channel of that partition."""
    names = (f"channel-{number}" for number in range(10_000))
    return next(name for name in names if partition_of(name, partitions) == partition)


def seqs(events: Iterable[StoredEvent]) -> list[int]:
    return [event.seq for event in events]


def payloads(events: Iterable[StoredEvent]) -> list[int]:
    """What `append_messages` put into them."""
    return [int(event.payload) for event in events]
