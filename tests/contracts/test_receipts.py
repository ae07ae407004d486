"""The contract of `fanout.ports.receipts.Receipts`, over every adapter: they are parts of the message stores."""

import pytest

from fanout.ids import new_message_id
from fanout.ports.receipts import MessageReceipt, Receipt, Receipts
from tests.support.store_worlds import MessageStore

FIRST, LATER = "2026-02-01T10:00:00.000Z", "2026-02-01T11:00:00.000Z"
MESSAGE, OTHER = new_message_id(), new_message_id()
LIMIT = 100


@pytest.fixture
def receipts(messages: MessageStore) -> Receipts:
    return messages


def stored(user_id: str, read_at: str = FIRST, message_id: str = MESSAGE) -> MessageReceipt:
    return MessageReceipt("general", message_id, Receipt(user_id, read_at))


async def test_the_receipts_of_a_message_are_sorted_by_user(receipts: Receipts) -> None:
    assert await receipts.receipts_of("general", MESSAGE, LIMIT) == []
    await receipts.write_receipts([stored("carol"), stored("alice"), stored("bob", LATER)])
    await receipts.write_receipts([])
    expected = [Receipt("alice", FIRST), Receipt("bob", LATER), Receipt("carol", FIRST)]
    assert await receipts.receipts_of("general", MESSAGE, LIMIT) == expected
    assert await receipts.receipts_of("general", MESSAGE, 2) == expected[:2]


async def test_each_message_of_each_channel_has_its_own(receipts: Receipts) -> None:
    await receipts.write_receipts([stored("alice"), stored("bob", message_id=OTHER)])
    assert await receipts.receipts_of("general", OTHER, LIMIT) == [Receipt("bob", FIRST)]
    assert await receipts.receipts_of("random", MESSAGE, LIMIT) == []


async def test_what_is_written_again_changes_nothing(receipts: Receipts) -> None:
    for _ in range(3):
        await receipts.write_receipts([stored("alice"), stored("alice")])
    assert await receipts.receipts_of("general", MESSAGE, LIMIT) == [Receipt("alice", FIRST)]


@pytest.mark.parametrize("in_order", [True, False])
async def test_the_first_time_stays(receipts: Receipts, *, in_order: bool) -> None:
    events = [stored("alice", FIRST), stored("alice", LATER)]
    for event in events if in_order else events[::-1]:
        await receipts.write_receipts([event])
    assert await receipts.receipts_of("general", MESSAGE, LIMIT) == [Receipt("alice", FIRST)]
