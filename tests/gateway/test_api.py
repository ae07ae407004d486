"""The calls as a client makes them: what each takes, and every error that is documented."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fanout.errors import OutcomeUnknown
from fanout.events import StoredMessage, decode_message_event
from fanout.ids import check_message_id, new_message_id
from fanout.ports.log import Appended
from fanout.ports.presence import Lease
from fanout.streams import MESSAGES
from tests.gateway.conftest import MAX_BODY, World, problem
from tests.support.stored import in_history


@pytest.fixture
async def channel(http: httpx.AsyncClient, world: World) -> str:
    response = await http.post("channels.create", json={"channel_id": "general", "name": "General"})
    assert (response.status_code, response.json()) == (201, {"channel_id": "general"})
    world.clock.now += 60
    return "general"


async def test_a_message_is_accepted_once_the_log_holds_it(http: httpx.AsyncClient, world: World, channel: str) -> None:
    body = {"channel": channel, "text": "hello", "mentions": ["bob"], "attachments": [{"n": 1}]}
    response = await http.post("chat.sendMessage", json=body, headers={"X-Correlation-ID": "corr.1"})
    assert response.status_code == 202
    assert response.json()["correlation_id"] == response.headers["x-correlation-id"] == "corr.1"
    message = decode_message_event((await world.log.stored(MESSAGES))[0].payload, channel)
    assert message.message_id == check_message_id(response.json()["message_id"])


async def test_a_message_too_long_for_the_log_or_the_bus_is_413(
    http: httpx.AsyncClient, world: World, channel: str
) -> None:
    world.log.limit(10_000)
    response = await http.post("chat.sendMessage", json={"channel": channel, "text": "x" * 10_000})
    assert problem(response) == (413, "message_too_large")


async def test_a_retry_with_the_same_id_is_one_message(http: httpx.AsyncClient, world: World, channel: str) -> None:
    body = {"channel": channel, "text": "hello", "client_msg_id": "c-1"}
    ids = {(await http.post("chat.sendMessage", json=body)).json()["message_id"] for _ in range(3)}
    assert len(ids) == len(await world.log.stored(MESSAGES)) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"channel": "a.b"},
        {"channel": "general\n"},
        {"channel": "*"},
        {"channel": ">"},
        {"channel": ""},
        {"channel": "x" * 129},
        {"channel": None},
        {"text": ""},
        {"text": "x" * 40_001},
        {"text": 7},
        {"also_send_to_channel": "true"},
        {"mentions": ["a b"]},
        {"mentions": ["bob\n"]},
        {"mentions": ["bob"] * 101},
        {"mentions": "bob"},
        {"attachments": [{}] * 21},
        {"attachments": ["x" * 33_000]},
        {"attachments": [10**30]},
        {"attachments": {"a": 1}},
        {"client_msg_id": ""},
        {"client_msg_id": "a b"},
        {"client_msg_id": "a\n"},
        {"client_msg_id": "x" * 129},
        {"txet": "misspelt"},
    ],
    ids=lambda fields: str(fields)[:40],
)
async def test_bodies_that_can_never_succeed(
    http: httpx.AsyncClient, world: World, channel: str, fields: dict[str, Any]
) -> None:
    response = await http.post("chat.sendMessage", json={"channel": channel, "text": "hello", **fields})
    assert problem(response) == (400, "invalid_request")
    assert await world.log.stored(MESSAGES) == []


async def test_the_longest_text_is_taken(http: httpx.AsyncClient, channel: str) -> None:
    assert (await http.post("chat.sendMessage", json={"channel": channel, "text": "x" * 40_000})).is_success


@pytest.mark.parametrize(("depth", "accepted"), [(15, True), (17, False), (150, False)])
async def test_attachments_are_as_deep_as_every_reader_takes(
    http: httpx.AsyncClient, channel: str, depth: int, *, accepted: bool
) -> None:
    deep = "[" * depth + "]" * depth
    body = f'{{"channel": "{channel}", "text": "x", "attachments": {deep}}}'
    response = await http.post("chat.sendMessage", content=body)
    assert response.is_success is accepted


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b'{"text": "\xff"}',
        b'{"channel":"g","text":"\\ud800"}',
        b"[" * 90_000,
        b'{"attachments":' * 6_000,
    ],
    ids=["cut", "nonsense", "not utf-8", "lone surrogate", "deep arrays", "deep objects"],
)
async def test_what_is_no_json(http: httpx.AsyncClient, channel: str, body: bytes) -> None:
    status, code = problem(await http.post("chat.sendMessage", content=body))
    assert (status, code in {"malformed_json", "invalid_request"}) == (400, True)


async def test_a_missing_body(http: httpx.AsyncClient) -> None:
    assert problem(await http.post("chat.sendMessage")) == (400, "invalid_request")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.binary(max_size=64) | st.text(max_size=64).map(str.encode))
async def test_no_body_is_more_than_a_client_error(http: httpx.AsyncClient, world: World, body: bytes) -> None:
    world.clock.now += 60
    for path in ("chat.sendMessage", "channels.create", "channels.invite"):
        assert problem(await http.post(path, content=body))[0] == 400


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 10_000 + 1):
        yield b" " * 10_000


async def test_a_body_beyond_the_limit_declared_or_not(http: httpx.AsyncClient) -> None:
    assert problem(await http.post("chat.sendMessage", content=b" " * (MAX_BODY + 1))) == (413, "body_too_large")
    assert problem(await http.post("chat.sendMessage", content=chunks(MAX_BODY))) == (413, "body_too_large")


async def test_who_is_not_a_member(http: httpx.AsyncClient) -> None:
    body = {"channel": "elsewhere", "text": "hello"}
    assert problem(await http.post("chat.sendMessage", json=body)) == (403, "not_a_member")
    response = await http.get("channels.history", params={"channel": "elsewhere"})
    assert problem(response) == (403, "not_a_member")


async def test_a_reply_and_the_page_of_its_thread(http: httpx.AsyncClient, world: World, channel: str) -> None:
    body = {"channel": channel, "text": "hello"}
    thread = (await http.post("chat.sendMessage", json=body)).json()["message_id"]
    sent = await http.post("chat.sendMessage", json={**body, "thread_id": thread, "also_send_to_channel": True})
    assert sent.status_code == 202
    response = await http.get("threads.replies", params={"thread_id": thread, "limit": 2})
    nothing_yet = {"replies": [], "reply_count": 0, "upto_seq": 0, "newest_seq": 2}
    assert (response.status_code, response.json()) == (200, nothing_yet)
    (_, event) = await world.log.stored(MESSAGES)
    reply = StoredMessage.of(decode_message_event(event.payload, channel), event.seq)
    await world.messages.write([reply])
    found = (await http.get("threads.replies", params={"thread_id": thread})).json()
    assert (found["reply_count"], [each["message_id"] for each in found["replies"]]) == (1, [sent.json()["message_id"]])
    assert found["replies"][0]["also_send_to_channel"] is True


async def test_an_unknown_thread(http: httpx.AsyncClient, channel: str) -> None:
    body = {"channel": channel, "text": "hello", "thread_id": "made-up"}
    assert problem(await http.post("chat.sendMessage", json=body)) == (404, "unknown_thread")
    for thread in ("made-up", new_message_id()):
        assert problem(await http.get("threads.replies", params={"thread_id": thread})) == (404, "unknown_thread")
    assert problem(await http.get("threads.replies", params={"thread_id": "a.b"})) == (400, "invalid_request")


async def test_who_is_no_member_of_the_channel_reads_no_thread(http: httpx.AsyncClient, channel: str) -> None:
    thread = (await http.post("chat.sendMessage", json={"channel": channel, "text": "hi"})).json()["message_id"]
    for cursor in ({}, {"cursor": "anything"}):
        response = await http.get(
            "threads.replies",
            params={"thread_id": thread, **cursor},
            headers={"Authorization": "Bearer user:mallory"},
        )
        assert problem(response) == (403, "not_a_member")


async def test_joining_inviting_and_leaving(http: httpx.AsyncClient, world: World, channel: str) -> None:
    for path, body in (
        ("channels.join", {"channel": channel}),
        ("channels.invite", {"channel": channel, "user_ids": ["bob"]}),
        ("channels.leave", {"channel": channel}),
    ):
        response = await http.post(path, json=body)
        assert (response.status_code, response.json()) == (200, {"channel_id": channel})
    assert await world.memberships.members_of(channel) == ["bob"]


async def test_removing_others(http: httpx.AsyncClient, world: World, channel: str) -> None:
    await http.post("channels.invite", json={"channel": channel, "user_ids": ["bob", "carol"]})
    body = {"channel": channel, "user_ids": ["bob", "nobody"]}
    for _ in range(2):
        response = await http.post("channels.remove", json=body)
        assert (response.status_code, response.json()) == (200, {"channel_id": channel})
    assert await world.memberships.members_of(channel) == ["alice", "carol"]
    body["user_ids"] = ["dave"]
    for user, code in (("carol", "not_the_creator"), ("bob", "not_a_member")):
        refused = await http.post("channels.remove", json=body, headers={"Authorization": f"Bearer user:{user}"})
        assert problem(refused) == (403, code)


async def test_a_direct_message(http: httpx.AsyncClient) -> None:
    first = await http.post("channels.create", json={"kind": "dm", "members": ["bob"]})
    again = await http.post("channels.create", json={"kind": "dm", "members": ["alice", "bob"], "name": "us"})
    bob = {"Authorization": "Bearer user:bob"}
    other = await http.post("channels.create", json={"kind": "dm", "members": ["alice"]}, headers=bob)
    assert [answer.status_code for answer in (first, again, other)] == [201, 200, 200]
    assert first.json() == again.json() == other.json()
    channel = first.json()["channel_id"]
    sent = await http.post("chat.sendMessage", json={"channel": channel, "text": "hello"})
    assert sent.status_code == 202
    assert problem(await http.post("channels.leave", json={"channel": channel})) == (400, "dm_members_fixed")


@pytest.mark.parametrize("mention", ["a.b", "", "bob\n"])
async def test_a_mention_that_is_no_id(http: httpx.AsyncClient, channel: str, mention: str) -> None:
    body = {"channel": channel, "text": "hello", "mentions": ["bob", mention]}
    assert problem(await http.post("chat.sendMessage", json=body)) == (400, "invalid_request")


async def test_channels_that_are_there_or_not(http: httpx.AsyncClient, world: World, channel: str) -> None:
    again = await http.post("channels.create", json={"channel_id": channel, "name": "General"})
    assert problem(again) == (409, "channel_exists")
    for path in ("channels.join", "channels.leave"):
        world.clock.now += 60
        response = await http.post(path, json={"channel": "elsewhere"})
        assert problem(response) == (404, "channel_not_found")


async def test_the_history_as_pages(http: httpx.AsyncClient, world: World, channel: str) -> None:
    ids = [new_message_id() for _ in range(3)]
    await world.messages.write([StoredMessage(i, channel, "alice", "hi", "t", seq=n) for n, i in enumerate(ids, 1)])
    world.log.outcomes |= {"acknowledged": 3, "last_seq": 4}
    first = (await http.get("channels.history", params={"channel": channel, "limit": 2})).json()
    assert first["messages"][0] == {
        "message_id": ids[2],
        "channel_id": channel,
        "sender_id": "alice",
        "text": "hi",
        "sent_at": "t",
        "seq": 3,
    }
    assert (first["upto_seq"], first["newest_seq"]) == (3, 4)
    params = {"channel": channel, "cursor": first["cursor"]}
    second = (await http.get("channels.history", params=params)).json()
    assert [message["message_id"] for message in second["messages"]] == [ids[0]]
    assert "cursor" not in second


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({}, "invalid_request"),
        ({"channel": "a.b"}, "invalid_request"),
        ({"channel": "g", "limit": "0"}, "invalid_request"),
        ({"channel": "g", "limit": "201"}, "invalid_request"),
        ({"channel": "g", "limit": "x"}, "invalid_request"),
        ({"channel": "g", "before": "yesterday"}, "invalid_request"),
        ({"channel": "g", "before": "null"}, "invalid_request"),
        ({"channel": "g", "limit": ["1", "2"]}, "invalid_request"),
        ({"channel": "g", "colour": "red"}, "invalid_request"),
        ({"channel": "g", "before": "-1"}, "invalid_request"),
        ({"channel": "g", "after": "9007199254740992"}, "invalid_request"),
        ({"channel": "g", "before": "msg_" + "0" * 26, "after": "msg_" + "0" * 26}, "invalid_request"),
    ],
)
async def test_queries_that_can_never_succeed(http: httpx.AsyncClient, params: dict[str, Any], code: str) -> None:
    assert problem(await http.get("channels.history", params=params)) == (400, code)


async def test_a_cursor_leads_on_in_its_own_channel_only(http: httpx.AsyncClient, world: World, channel: str) -> None:
    await http.post("channels.create", json={"channel_id": "other", "name": "Other"})
    await world.messages.write([in_history(seq, channel) for seq in (1, 2)])
    first = (await http.get("channels.history", params={"channel": channel, "limit": 1})).json()
    elsewhere = await http.get("channels.history", params={"channel": "other", "cursor": first["cursor"]})
    assert problem(elsewhere) == (400, "bad_cursor")


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"cursor": "x"}, "bad_cursor"),
        ({"cursor": ""}, "bad_cursor"),
        ({"after": "msg_" + "0" * 26}, "unknown_message"),
        ({"before": "msg_" + "0" * 26}, "unknown_message"),
    ],
)
async def test_what_leads_nowhere_is_said_to_members_only(
    http: httpx.AsyncClient, channel: str, params: dict[str, str], code: str
) -> None:
    assert problem(await http.get("channels.history", params={"channel": channel, **params})) == (400, code)
    response = await http.get("channels.history", params={"channel": "elsewhere", **params})
    assert problem(response) == (403, "not_a_member")


@pytest.mark.parametrize("start", ["2", "id"])
async def test_paging_from_a_message_or_a_seq(http: httpx.AsyncClient, world: World, channel: str, start: str) -> None:
    messages = [in_history(seq, channel) for seq in (1, 2, 3)]
    await world.messages.write(messages)
    bound = messages[1].message_id if start == "id" else start
    for direction, found in (("before", [1]), ("after", [3])):
        page = (await http.get("channels.history", params={"channel": channel, direction: bound})).json()
        assert [message["seq"] for message in page["messages"]] == found


@pytest.mark.parametrize(
    "call", ["chat.sendMessage", "channels.create", "channels.join", "channels.leave", "channels.invite"]
)
async def test_no_call_takes_a_query_parameter_that_it_does_not_know(http: httpx.AsyncClient, call: str) -> None:
    response = await http.post(call, params={"colour": "red"}, json={})
    assert problem(response) == (400, "invalid_request")
    assert response.json()["detail"] == "unknown field 'colour'"


async def test_where_to_connect(http: httpx.AsyncClient, world: World) -> None:
    nowhere = await http.get("realtime.connect")
    assert problem(nowhere) == (503, "unavailable")
    assert "no notification instance takes connections now" in nowhere.json()["detail"]
    assert int(nowhere.headers["retry-after"]) > 0
    await world.presence.lease(Lease("n1", "1", "ws://n1/ws", "t", 0, 10))
    assert (await http.get("realtime.connect")).json() == {"url": "ws://n1/ws"}


async def test_a_log_that_gives_no_answer_is_503_that_says_so(
    http: httpx.AsyncClient, world: World, channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stored all the same, and the repeat with the same `client_msg_id` makes no second one."""
    answer = world.log.append

    async def unanswered(subject: str, payload: bytes, *, msg_id: str) -> Appended:
        await answer(subject, payload, msg_id=msg_id)
        raise OutcomeUnknown("no answer")

    body = {"channel": channel, "text": "x", "client_msg_id": "c1"}
    monkeypatch.setattr(world.log, "append", unanswered)
    response = await http.post("chat.sendMessage", json=body)
    assert problem(response) == (503, "outcome_unknown")
    assert int(response.headers["retry-after"]) > 0
    detail = response.json()["detail"]
    assert ("may have been done" in detail, "client_msg_id" in detail, "nothing" in detail) == (True, True, False)
    monkeypatch.undo()
    assert (await http.post("chat.sendMessage", json=body)).status_code == 202
    assert len(await world.log.stored(MESSAGES)) == 1


@pytest.mark.parametrize("call", ["channels.leave", "channels.invite"])
async def test_a_change_whose_word_is_not_out_yet_is_503_that_says_so(
    http: httpx.AsyncClient, world: World, channel: str, call: str
) -> None:
    world.log.down = True
    body: dict[str, Any] = {"channel": channel} | ({"user_ids": ["bob"]} if call == "channels.invite" else {})
    response = await http.post(call, json=body)
    assert problem(response) == (503, "outcome_unknown")
    assert "may have been done" in response.json()["detail"]


async def test_a_call_that_only_reads_has_done_nothing(
    http: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unanswered() -> Any:
        raise OutcomeUnknown("no answer")

    monkeypatch.setattr(world.presence, "leases", unanswered)
    assert problem(await http.get("realtime.connect")) == (503, "unavailable")


async def test_a_log_that_is_down_is_503_with_nothing_done(http: httpx.AsyncClient, world: World, channel: str) -> None:
    world.log.down = True
    response = await http.post("chat.sendMessage", json={"channel": channel, "text": "x"})
    assert problem(response) == (503, "unavailable")
    assert int(response.headers["retry-after"]) > 0
    assert await world.log.stored(MESSAGES) == []
