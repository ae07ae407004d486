from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout.api import Forbidden, HistoryRequest, InvalidRequest, NoInstance
from fanout.errors import InvalidId
from fanout.events import Message
from fanout.ids import new_message_id
from fanout.ports.memberships import Channel
from fanout.ports.presence import Lease
from services.query.service import QueryService
from tests.support.fakes import FakeMemberships, FakeMessages, FakePresence

IDS = [new_message_id() for _ in range(7)]


@pytest.fixture
async def queries() -> QueryService:
    return await filled(IDS)


async def filled(ids: list[str]) -> QueryService:
    memberships, messages = FakeMemberships(), FakeMessages()
    await memberships.create(Channel("general", "g", private=False, created_by="alice", created_at="t"), ["alice"])
    await messages.write([Message(message_id, "general", "alice", "hi", "t") for message_id in ids])
    return QueryService(memberships, messages, FakePresence())


async def page(queries: QueryService, **start: object) -> tuple[list[str], str | None]:
    history = await queries.history("alice", HistoryRequest("general", **start))  # type: ignore[arg-type]
    return [message.message_id for message in history.messages], history.cursor


async def test_newest_first_and_whole_where_it_fits(queries: QueryService) -> None:
    assert await page(queries) == (IDS[::-1], None)
    assert await page(queries, limit=7) == (IDS[::-1], None)


async def test_before_and_after(queries: QueryService) -> None:
    assert await page(queries, before=IDS[2]) == (IDS[1::-1], None)
    assert await page(queries, after=IDS[4]) == (IDS[:4:-1], None)
    assert (await page(queries, after=IDS[0], limit=2))[0] == [IDS[2], IDS[1]]


@given(st.integers(0, 12), st.integers(1, 5), st.sampled_from(["before", "after"]))
async def test_the_cursor_leads_through_everything_once(count: int, limit: int, direction: str) -> None:
    ids = [new_message_id() for _ in range(count)]
    outside = "msg_" + ("7ZZZZZZZZZZZZZZZZZZZZZZZZZ" if direction == "before" else "0" * 26)
    queries = await filled(ids)
    seen, cursor = await page(queries, limit=limit, **{direction: outside})
    while cursor is not None:
        more, cursor = await page(queries, limit=limit, cursor=cursor)
        seen = seen + more if direction == "before" else more + seen
    assert seen == ids[::-1]


@pytest.mark.parametrize(
    "cursor", ["", "!", "x", "YmVmb3JlOng", "bm93aGVyZTptc2dfMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA", "é"]
)
async def test_a_cursor_of_no_page(queries: QueryService, cursor: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await page(queries, cursor=cursor)
    assert caught.value.code == "invalid_cursor"


def cursor_of(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "text", ["other:before:{}", "before:{}", "general:sideways:{}", "general:before:{}:more", "general:before:x"]
)
async def test_a_cursor_that_leads_elsewhere(queries: QueryService, text: str) -> None:
    assert await page(queries, cursor=cursor_of(f"general:before:{IDS[1]}")) == ([IDS[0]], None)
    with pytest.raises(InvalidRequest) as caught:
        await page(queries, cursor=cursor_of(text.format(IDS[1])))
    assert caught.value.code == "invalid_cursor"


@given(st.text(max_size=40))
async def test_no_text_breaks_the_reading_of_cursors(cursor: str) -> None:
    with pytest.raises(InvalidRequest):
        await page(await filled([]), cursor=cursor)


@pytest.mark.parametrize("start", [{"before": IDS[0], "after": IDS[1]}, {"after": IDS[0], "cursor": "x"}])
async def test_a_request_that_contradicts_itself(start: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        HistoryRequest("general", **start)  # type: ignore[arg-type]


@pytest.mark.parametrize("fields", [{"channel": "a.b"}, {"before": "x"}, {"after": "msg_x"}, {"after": IDS[0] + "\n"}])
async def test_ids_are_checked(fields: dict[str, str]) -> None:
    with pytest.raises(InvalidId):
        HistoryRequest(**{"channel": "general", **fields})  # type: ignore[arg-type]


async def test_only_members_read(queries: QueryService) -> None:
    for channel in ("general", "no-such-channel"):
        with pytest.raises(Forbidden):
            await queries.history("mallory", HistoryRequest(channel))


def lease(name: str, connections: int, capacity: int) -> Lease:
    return Lease(name, "1", f"ws://{name}/ws", "t", connections, capacity)


async def connected(*leases: Lease) -> str:
    presence = FakePresence()
    for held in leases:
        await presence.lease(held)
    return (await QueryService(FakeMemberships(), FakeMessages(), presence).connect()).url


async def test_the_instance_with_most_room() -> None:
    assert await connected(lease("a", 10, 100), lease("b", 900, 1000), lease("c", 5, 60)) == "ws://b/ws"


async def test_equals_share_by_chance() -> None:
    given = {await connected(lease("a", 0, 10), lease("b", 0, 10)) for _ in range(100)}
    assert given == {"ws://a/ws", "ws://b/ws"}


@pytest.mark.parametrize(
    ("leases", "why"),
    [((), "no notification instance is up"), ((lease("a", 10, 10),), "full"), ((lease("a", 11, 10),), "full")],
)
async def test_no_room_anywhere(leases: tuple[Lease, ...], why: str) -> None:
    with pytest.raises(NoInstance, match=why):
        await connected(*leases)
