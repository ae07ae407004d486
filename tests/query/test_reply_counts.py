"""Replies are counted exactly, and those that were counted are not counted again."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from fanout.errors import Unavailable
from fanout.events import StoredMessage
from fanout.ids import new_message_id
from services.query import reply_counts
from services.query.reply_counts import RECOUNTED_AFTER_S, ReplyCounts
from tests.support.faulty import FaultyMessages, faulty_messages
from tests.support.stored import in_history

THREAD = new_message_id()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def messages() -> AsyncIterator[FaultyMessages]:
    async with faulty_messages() as messages:
        yield messages


@pytest.fixture
def counts(messages: FaultyMessages, clock: Clock) -> ReplyCounts:
    return ReplyCounts(messages, clock)


def replies(*seqs: int, thread_id: str = THREAD) -> list[StoredMessage]:
    return [in_history(seq, thread_id=thread_id) for seq in seqs]


async def test_every_row_counts_wherever_the_writers_are(messages: FaultyMessages, counts: ReplyCounts) -> None:
    await messages.write(replies(2, 3, 7))
    for stored in (0, 2, 2, 5, 9):
        assert await counts.count(THREAD, stored) == 3
    await messages.write([*replies(10, 11), *replies(12, thread_id=new_message_id())])
    for stored in (9, 10, 20):
        assert await counts.count(THREAD, stored) == 5


async def test_a_reply_that_is_stored_late_above_what_the_writers_acknowledged_counts(
    messages: FaultyMessages, counts: ReplyCounts
) -> None:
    await messages.write(replies(2, 7))
    assert await counts.count(THREAD, 4) == 2
    await messages.write(replies(5))
    assert await counts.count(THREAD, 4) == 3
    assert await counts.count(THREAD, 9) == 3


async def test_what_was_counted_is_not_counted_again_until_it_is_old(
    messages: FaultyMessages, counts: ReplyCounts, clock: Clock
) -> None:
    written = replies(2, 3)
    await messages.write(written)
    assert await counts.count(THREAD, 5) == 2
    # A log that went back moves a message that was counted. No other change of a row below 5 is possible.
    await messages.write([msgspec.structs.replace(written[0], seq=9)])
    assert await counts.count(THREAD, 5) == 3  # so the rows up to 5 were not read again
    clock.now += RECOUNTED_AFTER_S
    assert await counts.count(THREAD, 9) == 2


async def test_an_error_is_not_remembered(messages: FaultyMessages, counts: ReplyCounts) -> None:
    await messages.write(replies(2))
    messages.down = True
    with pytest.raises(Unavailable):
        await counts.count(THREAD, 5)
    messages.down = False
    assert await counts.count(THREAD, 5) == 1


async def test_the_threads_that_are_remembered_are_bounded(
    counts: ReplyCounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply_counts, "_REMEMBERED", 3)
    threads = [new_message_id() for _ in range(5)]
    for thread in threads:
        await counts.count(thread, 1)
    assert list(counts._counted) == threads[2:]
