from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout.errors import CallRejected, Unavailable
from fanout.ports.messages import Position
from services.query.cursors import Cursors, Direction, Scope, Start
from tests.support.faulty import FaultyMessages, faulty_messages

SCOPE = Scope("alice", "channels.history", "general")
POSITION = Position((1 << 53) - 1, "msg_01JD5T6Q9FZ0Y4W3V2B1N0M8K7")


@pytest.fixture
async def messages() -> AsyncIterator[FaultyMessages]:
    async with faulty_messages() as messages:
        yield messages


async def refused(messages: FaultyMessages, cursor: str, scope: Scope = SCOPE) -> None:
    with pytest.raises(CallRejected) as caught:
        await Cursors(messages).take(scope, cursor)
    assert caught.value.error_code.code == "bad_cursor"


@pytest.mark.parametrize("direction", ["before", "after"])
@pytest.mark.parametrize("gap_after", [None, 0, 7])
async def test_what_is_given_is_taken(messages: FaultyMessages, direction: Direction, gap_after: int | None) -> None:
    cursor = await Cursors(messages).give(SCOPE, direction, POSITION, gap_after)
    assert await Cursors(messages).take(SCOPE, cursor) == Start(direction, POSITION, gap_after)


@pytest.mark.parametrize(
    "scope",
    [
        SCOPE._replace(user_id="bob"),
        SCOPE._replace(call="threads.replies"),
        SCOPE._replace(about="random"),
        Scope("alicechannels.history", "", "general"),
    ],
)
async def test_it_is_taken_in_its_own_scope_only(messages: FaultyMessages, scope: Scope) -> None:
    await refused(messages, await Cursors(messages).give(SCOPE, "before", POSITION), scope)


async def test_no_character_of_it_can_be_changed(messages: FaultyMessages) -> None:
    cursor = await Cursors(messages).give(SCOPE, "before", POSITION)
    for at in range(len(cursor) - 1):  # the last one has bits that say nothing
        await refused(messages, cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :])


@pytest.mark.parametrize("cursor", ["", "!", "x", "YmVmb3JlOng", "A" * 22, "é", "A" * 60_000])
async def test_what_is_none(messages: FaultyMessages, cursor: str) -> None:
    await refused(messages, cursor)


@given(st.text(max_size=60))
async def test_no_text_is_more_than_a_bad_cursor(cursor: str) -> None:
    async with faulty_messages() as messages:
        await refused(messages, cursor)


async def test_another_stores_cursor_is_none(messages: FaultyMessages) -> None:
    async with faulty_messages() as others:
        await refused(messages, await Cursors(others).give(SCOPE, "before", POSITION))


async def test_without_the_key_nothing_is_refused_or_given(messages: FaultyMessages) -> None:
    messages.down = True
    with pytest.raises(Unavailable):
        await Cursors(messages).give(SCOPE, "before", POSITION)
    with pytest.raises(Unavailable):
        await Cursors(messages).take(SCOPE, "A" * 40)
