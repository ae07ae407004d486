"""The contract of `fanout.ports.messages.Messages`, over every adapter."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fanout.events import Message
from fanout.ids import new_message_id
from fanout.ports.messages import Messages
from services.adapters.sqlite.messages import SqliteMessages


@pytest.fixture(params=["sqlite"])
async def messages(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Messages]:
    store = await SqliteMessages.open(tmp_path / "messages.db")
    yield store
    await store.close()


def _message(text: str, channel_id: str = "general") -> Message:
    return Message(
        message_id=new_message_id(),
        channel_id=channel_id,
        sender_id="alice",
        text=text,
        sent_at="2026-02-01T10:00:00.000Z",
    )


def _thread_of(count: int, channel_id: str = "general") -> list[Message]:
    return [_message(f"message {number}", channel_id) for number in range(count)]


async def test_a_message_is_found_whole(messages: Messages) -> None:
    message = Message(
        message_id=new_message_id(),
        channel_id="general",
        sender_id="alice",
        text="Grüße, \u4e16\u754c \U0001f44b\nand 'quotes' \x00",
        sent_at="2026-02-01T10:00:00.000Z",
        thread_id=new_message_id(),
        mentions=["bob", "carol"],
        attachments=[{"url": "https://example.org/a.png", "size": 3}, None, 1.5],
        client_msg_id="c-1",
    )
    await messages.write([message])
    assert await messages.history("general") == [message]


async def test_what_a_message_lacks_it_lacks_when_it_is_found(messages: Messages) -> None:
    message = _message("plain")
    await messages.write([message])
    assert await messages.history("general") == [message]


async def test_history_is_newest_first(messages: Messages) -> None:
    written = _thread_of(5)
    await messages.write([written[index] for index in (2, 0, 4, 1, 3)])
    assert await messages.history("general") == written[::-1]


async def test_history_is_of_one_channel(messages: Messages) -> None:
    here, there = _message("here"), _message("there", "random")
    await messages.write([here, there])
    assert await messages.history("general") == [here]
    assert await messages.history("nowhere") == []


async def test_a_message_written_twice_is_there_once(messages: Messages) -> None:
    written = _thread_of(3)
    await messages.write(written)
    await messages.write(written[1:])
    await messages.write([written[0], written[0]])
    assert await messages.history("general") == written[::-1]


async def test_what_is_there_already_is_not_changed(messages: Messages) -> None:
    first = _message("first")
    other = Message(first.message_id, "general", "eve", "forged", "2026-02-01T12:00:00.000Z")
    await messages.write([first])
    await messages.write([other])
    assert await messages.history("general") == [first]


async def test_a_page_holds_at_most_the_limit(messages: Messages) -> None:
    written = _thread_of(60)
    await messages.write(written)
    assert await messages.history("general", limit=2) == written[:-3:-1]
    assert await messages.history("general") == written[:9:-1]


async def test_pages_before_an_id_go_back_without_gap_or_overlap(messages: Messages) -> None:
    written = _thread_of(7)
    await messages.write(written)
    pages: list[Message] = []
    while page := await messages.history("general", before=pages[-1].message_id if pages else None, limit=3):
        pages += page
    assert pages == written[::-1]


async def test_pages_after_an_id_are_the_oldest_after_it_newest_first(messages: Messages) -> None:
    written = _thread_of(7)
    await messages.write(written)
    assert await messages.history("general", after=written[1].message_id, limit=3) == [*written[4:1:-1]]


async def test_pages_after_an_id_go_on_to_the_end(messages: Messages) -> None:
    written = _thread_of(7)
    await messages.write(written)
    caught_up = [written[0]]
    while page := await messages.history("general", after=caught_up[-1].message_id, limit=4):
        caught_up += page[::-1]
    assert caught_up == written


async def test_a_page_lies_between_two_ids(messages: Messages) -> None:
    written = _thread_of(7)
    await messages.write(written)
    page = await messages.history("general", after=written[1].message_id, before=written[4].message_id)
    assert page == [written[3], written[2]]


async def test_the_bounds_need_not_be_there(messages: Messages) -> None:
    earlier, message, later = new_message_id(), _message("between"), new_message_id()
    await messages.write([message])
    assert await messages.history("general", after=earlier, before=later) == [message]
    assert await messages.history("general", before=earlier) == []
    assert await messages.history("general", after=later) == []


async def test_a_limit_of_zero_is_an_empty_page(messages: Messages) -> None:
    await messages.write(_thread_of(2))
    assert await messages.history("general", limit=0) == []


async def test_writing_nothing_is_fine(messages: Messages) -> None:
    await messages.write([])
    assert await messages.history("general") == []


async def test_many_writers_at_once_lose_nothing(messages: Messages) -> None:
    written = _thread_of(200)
    await asyncio.gather(*(messages.write([message]) for message in written))
    assert await messages.history("general", limit=1_000) == written[::-1]


async def test_an_open_store_answers(messages: Messages) -> None:
    await messages.ping()
