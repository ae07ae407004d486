import asyncio
from collections.abc import AsyncIterator

import pytest

from fanout.errors import CallRejected
from fanout.ids import new_message_id
from fanout.ports.messages import Position
from fanout.streams import MESSAGE_WRITER, MESSAGES
from fanout.subjects import message
from services.runtime import positions as positions_module
from services.runtime.accepted_messages import AcceptedMessages
from services.runtime.positions import Ends, Positions
from tests.support.faulty import FaultyLog, FaultyMessages, faulty_log, faulty_messages
from tests.support.reading import collect
from tests.support.stored import in_history, stored_message


@pytest.fixture
async def log() -> AsyncIterator[FaultyLog]:
    async with faulty_log() as log:
        yield log


@pytest.fixture
async def messages() -> AsyncIterator[FaultyMessages]:
    async with faulty_messages() as messages:
        yield messages


def positions_of(messages: FaultyMessages, log: FaultyLog) -> Positions:
    return Positions(log, AcceptedMessages(messages, log))


async def fill(log: FaultyLog, count: int) -> list[str]:
    """Append so many messages of a channel, none of which is stored; their ids."""
    ids = [new_message_id() for _ in range(count)]
    for message_id in ids:
        await log.append(message("general"), stored_message("general", message_id=message_id), msg_id=message_id)
    return ids


async def test_a_message_is_found_in_its_channel_stored_or_not(log: FaultyLog, messages: FaultyMessages) -> None:
    positions, stored = positions_of(messages, log), in_history(5)
    await messages.write([stored])
    (unstored,) = await fill(log, 1)
    assert (await positions.find("general", stored.message_id)).position == Position(5, stored.message_id)
    assert (await positions.find("general", unstored)).position == Position(1, unstored)
    for channel, message_id in (("random", stored.message_id), ("random", unstored), ("general", new_message_id())):
        with pytest.raises(CallRejected) as caught:
            await positions.find(channel, message_id)
        assert caught.value.error_code.code == "unknown_message"


async def test_a_log_that_does_not_answer_does_not_hold_up_the_history(
    log: FaultyLog, messages: FaultyMessages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions_module, "LOG_ANSWERS_WITHIN_S", 0.01)
    await fill(log, 1)
    log.blocked = True
    assert await positions_of(messages, log).ends() == Ends(0, None)


async def test_what_the_log_said_last_of_the_store_holds_while_it_is_away(
    log: FaultyLog, messages: FaultyMessages
) -> None:
    await fill(log, 9)
    positions = positions_of(messages, log)
    for acknowledged, stored in ((4, 4), (7, 7), (0, 7)):  # 0: the writers' consumer was made again
        log.outcomes["acknowledged"] = acknowledged
        assert await positions.ends() == Ends(stored, 9)
    log.down = True
    assert await positions.ends() == Ends(7, None)
    log.down = False
    assert await positions.ends() == Ends(7, 9)


async def test_those_who_ask_at_the_same_time_share_the_questions(log: FaultyLog, messages: FaultyMessages) -> None:
    writer = await log.consume(MESSAGES, MESSAGE_WRITER)
    await fill(log, 4)
    *three, last = await collect(writer, 4)
    await writer.ack(three)
    positions = positions_of(messages, log)
    first, *rest = [asyncio.create_task(positions.ends()) for _ in range(50)]
    await asyncio.sleep(0)
    first.cancel()
    assert await asyncio.gather(*rest) == [Ends(3, 4)] * 49
    assert (log.calls["acknowledged"], log.calls["last_seq"]) == (1, 1)
    await writer.ack([last])
    assert await positions.ends() == Ends(4, 4)


async def test_who_asks_while_the_log_is_asked_hears_of_what_it_has_stored_since(
    log: FaultyLog, messages: FaultyMessages
) -> None:
    """The log has answered the first question, and its answer is under way."""
    asked, answer = asyncio.Event(), asyncio.Event()
    acknowledged = log.acknowledged

    async def slowly(stream: str, durable: str) -> int:
        asked.set()
        await answer.wait()
        return await acknowledged(stream, durable)

    log.acknowledged = slowly  # type: ignore[method-assign]
    await fill(log, 1)
    positions = positions_of(messages, log)
    first = asyncio.create_task(positions.ends())
    await asked.wait()
    await asyncio.sleep(0.01)
    await fill(log, 1)
    rest = [asyncio.create_task(positions.ends()) for _ in range(50)]
    await asyncio.sleep(0.01)
    assert log.calls["last_seq"] == 1
    answer.set()
    assert (await first).newest == 1
    assert [ends.newest for ends in await asyncio.gather(*rest)] == [2] * 50
    assert log.calls["last_seq"] == 2


async def test_who_asks_while_a_silent_log_is_asked_is_answered_without_it(
    log: FaultyLog, messages: FaultyMessages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions_module, "LOG_ANSWERS_WITHIN_S", 0.05)
    positions = positions_of(messages, log)
    log.blocked = True
    first = asyncio.create_task(positions.ends())
    await asyncio.sleep(0.01)
    assert log.calls["last_seq"] == 1
    second = asyncio.create_task(positions.ends())
    assert [await first, await second] == [Ends(0, None)] * 2
    log.blocked = False
    assert await positions.ends() == Ends(0, 0)
