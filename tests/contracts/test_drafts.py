"""The contract of `fanout.ports.drafts.Drafts`, over every adapter."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fanout import Unavailable
from fanout.ports.drafts import Base, Draft, DraftContent
from fanout.ports.unread import ReadPosition
from services.adapters.redis.user_state import RedisUserState
from services.adapters.sqlite.user_state import SqliteUserState
from tests.support.user_states import USER_STATES, opened_user_state

UserState = RedisUserState | SqliteUserState
HELLO = DraftContent("Hello", "msg_1", ["file_1", {"name": "a.png"}])
EIGHT, NINE, TEN = (f"2126-02-01T{hour}:00:00.000Z" for hour in ("08", "09", "10"))


@pytest.fixture(params=USER_STATES)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[UserState]:
    async with opened_user_state(request) as opened:
        yield opened


async def draft_of(store: UserState, channel: str = "c") -> Draft:
    (draft,) = await store.drafts("alice", [channel])
    return draft


async def test_a_draft_that_never_was_has_neither_content_nor_time(store: UserState) -> None:
    assert await draft_of(store) == Draft()


async def test_a_draft_is_what_was_saved_last(store: UserState) -> None:
    await store.save_draft("alice", "c", DraftContent("Hell"), now=EIGHT, device_id="phone")
    saved = await store.save_draft("alice", "c", HELLO, now=NINE, device_id="desktop")
    assert (saved.draft, saved.is_refused) == (Draft(HELLO, NINE, "desktop"), False)
    assert await draft_of(store) == saved.draft


async def test_drafts_of_several_channels_come_in_the_order_asked_for(store: UserState) -> None:
    await store.save_draft("alice", "a", DraftContent("1"), now=EIGHT)
    await store.save_draft("alice", "c", DraftContent("2"), now=EIGHT)
    await store.save_draft("bob", "b", DraftContent("his"), now=EIGHT)
    contents = [draft.content for draft in await store.drafts("alice", ["c", "b", "a"])]
    assert contents == [DraftContent("2"), None, DraftContent("1")]
    assert await store.drafts("alice", []) == []


async def test_a_deletion_is_remembered_with_its_time(store: UserState) -> None:
    await store.save_draft("alice", "c", HELLO, now=EIGHT)
    saved = await store.save_draft("alice", "c", None, now=NINE, device_id="desktop")
    assert saved.draft == Draft(None, NINE, "desktop") == await draft_of(store)


async def test_the_last_to_arrive_wins_though_its_clock_is_behind(store: UserState) -> None:
    await store.save_draft("alice", "c", HELLO, now=NINE)
    later = DraftContent("later")
    saved = await store.save_draft("alice", "c", later, now=EIGHT)
    assert saved.draft == Draft(later, "2126-02-01T09:00:00.001Z") == await draft_of(store)


@pytest.mark.parametrize(("base", "is_refused"), [(NINE, False), (EIGHT, True), (TEN, True), (None, True)])
async def test_an_edit_of_another_draft_than_the_base_is_refused(
    store: UserState, base: str | None, *, is_refused: bool
) -> None:
    await store.save_draft("alice", "c", HELLO, now=NINE)
    mine = DraftContent("mine")
    saved = await store.save_draft("alice", "c", mine, now=TEN, base=Base(base))
    assert saved.is_refused == is_refused
    assert saved.draft == (Draft(HELLO, NINE) if is_refused else Draft(mine, TEN)) == await draft_of(store)


@pytest.mark.parametrize(("base", "is_refused"), [(EIGHT, True), (None, True), (NINE, False)])
async def test_a_deletion_refuses_what_was_written_before_it(
    store: UserState, base: str | None, *, is_refused: bool
) -> None:
    await store.save_draft("alice", "c", HELLO, now=EIGHT)
    await store.save_draft("alice", "c", None, now=NINE)
    saved = await store.save_draft("alice", "c", DraftContent("before"), now=TEN, base=Base(base))
    assert saved.is_refused == is_refused
    assert (await draft_of(store)).content == (None if is_refused else DraftContent("before"))


async def test_a_first_draft_may_say_that_there_was_none(store: UserState) -> None:
    assert not (await store.save_draft("alice", "c", HELLO, now=EIGHT, base=Base(None))).is_refused


async def test_of_two_edits_of_one_base_one_is_refused(store: UserState) -> None:
    await store.save_draft("alice", "c", HELLO, now=EIGHT)
    edits = (
        store.save_draft("alice", "c", DraftContent(text), now=NINE, base=Base(EIGHT)) for text in ("one", "other")
    )
    one, other = await asyncio.gather(*edits)
    assert one.is_refused != other.is_refused
    assert one.draft == other.draft == await draft_of(store)


async def test_leaving_the_channel_ends_the_draft(store: UserState) -> None:
    await store.joined("alice", "c", 1, ReadPosition())
    await store.save_draft("alice", "c", HELLO, now=EIGHT)
    await store.save_draft("alice", "d", HELLO, now=EIGHT)
    await store.left("alice", "c", 2)
    assert [draft.content for draft in await store.drafts("alice", ["c", "d"])] == [None, HELLO]
    with pytest.raises(Unavailable):
        await store.save_draft("alice", "c", HELLO, now=NINE)
    await store.joined("alice", "c", 3, ReadPosition())
    assert not (await store.save_draft("alice", "c", HELLO, now=NINE)).is_refused


async def test_a_text_of_any_kind_comes_back(store: UserState) -> None:
    content = DraftContent("ünïcode \n\0 🦊 ' \" " + "x" * 16_000, None, [{"deep": [1, None, True]}])
    await store.save_draft("alice", "c", content, now=EIGHT)
    assert (await draft_of(store)).content == content
