"""Accepted messages are found in the store and in what the writer has not stored yet, at a bounded cost."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from fanout import partition_of
from fanout.errors import Unavailable
from fanout.events import StoredMessage
from fanout.ids import new_message_id
from fanout.ports.log import StoredEvent
from fanout.ports.messages import IndexEntry, Position
from fanout.streams import MESSAGE_WRITER, MESSAGES
from fanout.subjects import message
from services.runtime import accepted_messages
from services.runtime.accepted_messages import AcceptedMessages
from tests.support.faulty import FaultyLog, FaultyMessages, faulty_log, faulty_messages
from tests.support.stored import in_history, stored_message

PARTITIONS = 4


@pytest.fixture
async def log() -> AsyncIterator[FaultyLog]:
    async with faulty_log(partitions=PARTITIONS) as log:
        yield log


@pytest.fixture
async def messages() -> AsyncIterator[FaultyMessages]:
    async with faulty_messages() as messages:
        yield messages


@pytest.fixture
def accepted(messages: FaultyMessages, log: FaultyLog) -> AcceptedMessages:
    return AcceptedMessages(messages, log)


async def fill(log: FaultyLog, count: int, channel: str = "general", **fields: object) -> list[str]:
    """Append messages of a channel that are not stored; their ids."""
    ids = [new_message_id() for _ in range(count)]
    for message_id in ids:
        payload = stored_message(channel, message_id=message_id, **fields)
        await log.append(message(channel), payload, msg_id=message_id)
    return ids


def _stored(message_id: str, seq: int = 1) -> StoredMessage:
    return msgspec.structs.replace(in_history(seq), message_id=message_id)


def unstored(seq: int, message_id: str, thread_id: str | None = None) -> IndexEntry:
    """Where a message of `fill` is."""
    return IndexEntry("general", Position(seq, message_id), thread_id, "ann")


async def test_a_stored_message_costs_one_read_of_the_store(
    accepted: AcceptedMessages, log: FaultyLog, messages: FaultyMessages
) -> None:
    stored = in_history(5, thread_id="msg_1")
    await messages.write([stored])
    log.down = True
    expected = IndexEntry("general", Position(5, stored.message_id), "msg_1", "alice")
    assert await accepted.find(stored.message_id) == await accepted.find(stored.message_id, "general") == expected
    assert messages.calls["index_entry"] == 2


@pytest.mark.parametrize("channel", [None, "general"])
async def test_a_message_that_is_not_stored_is_found_in_the_log(
    accepted: AcceptedMessages, log: FaultyLog, channel: str | None
) -> None:
    (root,) = await fill(log, 1)
    (reply,) = await fill(log, 1, thread_id=root)
    assert await accepted.find(root, channel) == unstored(1, root)
    assert await accepted.find(reply, channel) == unstored(2, reply, root)
    (later,) = await fill(log, 1)
    assert await accepted.find(later, channel) == unstored(3, later)
    assert await accepted.find(new_message_id(), channel) is None


async def test_what_is_no_message_id_is_not_looked_for(
    accepted: AcceptedMessages, log: FaultyLog, messages: FaultyMessages
) -> None:
    log.down = messages.down = True
    assert await accepted.find("made-up") is None


async def test_a_message_that_is_stored_between_the_two_looks_is_found(
    accepted: AcceptedMessages, log: FaultyLog, messages: FaultyMessages
) -> None:
    """The writer stores and acknowledges it after the store was asked and before the log says how far it has come."""
    (root,) = await fill(log, 1)
    writer = await log.consume(MESSAGES, MESSAGE_WRITER)
    acknowledged = log.acknowledged

    async def store_first(stream: str, durable: str) -> int:
        await messages.write([_stored(root)])
        await writer.ack(await writer.fetch())
        return await acknowledged(stream, durable)

    log.acknowledged = store_first  # type: ignore[method-assign]
    assert await accepted.find(root) == IndexEntry("general", Position(1, root), None, "alice")


async def test_each_event_is_read_once_however_many_messages_are_looked_up(
    accepted: AcceptedMessages, log: FaultyLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    entry_of = accepted_messages._entry

    def counted(event: StoredEvent) -> IndexEntry | None:
        read.append(event.seq)
        return entry_of(event)

    monkeypatch.setattr(accepted_messages, "_entry", counted)
    ids = await fill(log, 50)
    await asyncio.gather(*(accepted.find(each, "general") for each in ids))
    ids += await fill(log, 50)
    found = await asyncio.gather(*(accepted.find(each, "general") for each in ids))
    assert [each and each.position.message_id for each in found] == ids
    assert await accepted.find(new_message_id(), "general") is None
    assert read == list(range(1, 101))


async def test_only_the_partition_of_the_channel_is_read_where_it_is_known(
    accepted: AcceptedMessages, log: FaultyLog
) -> None:
    elsewhere = next(
        name for name in map(str, range(100)) if partition_of(name, PARTITIONS) != partition_of("general", PARTITIONS)
    )
    (message_id,) = await fill(log, 1, elsewhere)
    assert await accepted.find(message_id, "general") is None
    assert await accepted.find(message_id, elsewhere) == await accepted.find(message_id) is not None


async def test_what_is_stored_by_now_is_forgotten_and_found_in_the_store(
    accepted: AcceptedMessages, log: FaultyLog, messages: FaultyMessages
) -> None:
    ids = await fill(log, 5)
    writer = await log.consume(MESSAGES, MESSAGE_WRITER)
    assert await accepted.find(ids[4], "general") is not None
    await messages.write([_stored(each, seq) for seq, each in enumerate(ids[:4], 1)])
    await writer.ack((await writer.fetch())[:4])
    assert await accepted.find(new_message_id(), "general") is None
    (tail,) = accepted._tails.values()
    assert list(tail._entries) == ids[4:]
    assert await accepted.find(ids[0], "general") == IndexEntry("general", Position(1, ids[0]), None, "alice")


async def test_the_search_of_the_log_is_bounded_and_then_claims_nothing(
    accepted: AcceptedMessages, log: FaultyLog, messages: FaultyMessages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepted_messages, "MAX_TAIL", 3)
    ids = await fill(log, 4)
    assert await accepted.find(ids[2], "general") is not None
    for unknown in (ids[3], new_message_id()):
        with pytest.raises(Unavailable, match="behind"):
            await accepted.find(unknown, "general")
    writer = await log.consume(MESSAGES, MESSAGE_WRITER)
    await messages.write([_stored(each, seq) for seq, each in enumerate(ids[:2], 1)])
    await writer.ack((await writer.fetch())[:2])
    assert await accepted.find(ids[3], "general") == unstored(4, ids[3])
    assert await accepted.find(new_message_id(), "general") is None


async def test_an_event_that_cannot_be_read_is_passed_over(accepted: AcceptedMessages, log: FaultyLog) -> None:
    await log.append(message("general"), b"not json", msg_id="x")
    (message_id,) = await fill(log, 1)
    assert await accepted.find(message_id, "general") == unstored(2, message_id)


async def test_a_log_that_fails_while_it_is_read_is_read_on_from_there(
    accepted: AcceptedMessages, log: FaultyLog
) -> None:
    (message_id,) = await fill(log, 1)
    log.down = True
    with pytest.raises(Unavailable):
        await accepted.find(message_id, "general")
    log.down = False
    assert await accepted.find(message_id, "general") is not None
