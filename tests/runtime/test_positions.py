import asyncio
from collections.abc import AsyncIterator

import pytest

from fanout.errors import CallRejected, Unavailable
from fanout.ids import new_message_id
from fanout.ports.messages import Position
from fanout.streams import MESSAGE_WRITER, MESSAGES
from fanout.subjects import message
from services.runtime import positions as positions_module
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


async def fill(log: FaultyLog, count: int) -> list[str]:
    """Append so many messages of a channel, none of which is stored; their ids."""
    ids = [new_message_id() for _ in range(count)]
    for message_id in ids:
        await log.append(message("general"), stored_message("general", message_id=message_id), msg_id=message_id)
    return ids


async def test_a_stored_message_is_found_without_the_log(log: FaultyLog, messages: FaultyMessages) -> None:
    stored = in_history(5)
    await messages.write([stored])
    log.down = True
    assert await Positions(messages, log).find("general", stored.message_id, 0) == Position(5, stored.message_id)


async def test_a_message_that_is_not_stored_is_found_in_the_log(log: FaultyLog, messages: FaultyMessages) -> None:
    ids = await fill(log, 3)
    assert await Positions(messages, log).find("general", ids[1], 0) == Position(2, ids[1])


async def test_an_event_that_cannot_be_read_is_passed_over(log: FaultyLog, messages: FaultyMessages) -> None:
    await log.append(message("general"), b"not json", msg_id="x")
    message_id = new_message_id()
    await log.append(message("general"), stored_message("general", message_id=message_id), msg_id="y")
    assert await Positions(messages, log).find("general", message_id, 0) == Position(2, message_id)


async def test_the_search_of_the_log_is_bounded_and_then_claims_nothing(
    log: FaultyLog, messages: FaultyMessages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions_module, "MAX_TAIL", 3)
    ids = await fill(log, 4)
    positions = Positions(messages, log)
    assert await positions.find("general", ids[2], 0) == Position(3, ids[2])
    with pytest.raises(Unavailable, match="behind"):
        await positions.find("general", ids[3], 0)
    with pytest.raises(CallRejected):
        await positions.find("general", new_message_id(), 2)


async def test_a_log_that_does_not_answer_does_not_hold_up_the_history(
    log: FaultyLog, messages: FaultyMessages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions_module, "LOG_ANSWERS_WITHIN_S", 0.01)
    await fill(log, 1)
    log.blocked = True
    assert await Positions(messages, log).ends() == Ends(0, None)


async def test_what_the_log_said_last_of_the_store_holds_while_it_is_away(
    log: FaultyLog, messages: FaultyMessages
) -> None:
    await fill(log, 9)
    positions = Positions(messages, log)
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
    positions = Positions(messages, log)
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
    positions = Positions(messages, log)
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
    positions = Positions(messages, log)
    log.blocked = True
    first = asyncio.create_task(positions.ends())
    await asyncio.sleep(0.01)
    assert log.calls["last_seq"] == 1
    second = asyncio.create_task(positions.ends())
    assert [await first, await second] == [Ends(0, None)] * 2
    log.blocked = False
    assert await positions.ends() == Ends(0, 0)
