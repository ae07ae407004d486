"""Whatever a client sends, it gets the documented answer, and the service goes on."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from fanout.ids import new_device_id
from tests.support.clients import Caller, listening, open_listener, open_raw
from tests.support.cluster import Cluster, Service, token

pytestmark = pytest.mark.system

ALG_NONE = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_up(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """Every service in one process, for tests that leave nothing behind: no channel, and nobody connected."""
    cluster = Cluster(tmp_path_factory.mktemp("shared_up"))
    try:
        yield await cluster.start("up", "up")
    finally:
        await cluster.kill()


def auth(**fields: Any) -> str:
    return json.dumps({"type": "auth", "token": token("alice"), "device_id": new_device_id(), **fields})


async def close_code(up: Service, first: str | bytes) -> int | None:
    listener = await open_raw(up.ws_url, first)
    code = await listener.is_closed()
    async with listening(up.ws_url, "witness") as [witness]:
        assert witness.of_type("auth.ok"), "the service no longer admits anybody"
    return code


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(token("alice", ttl=-60), id="expired"),
        pytest.param(token("alice", secret="another secret, of somebody else entirely"), id="another key"),
        pytest.param(token("alice", algorithm="HS512"), id="another algorithm"),
        pytest.param(ALG_NONE, id="alg none"),
        pytest.param(token("no spaces in ids"), id="no user id"),
        pytest.param("nonsense", id="malformed"),
        pytest.param(None, id="missing"),
    ],
)
async def test_a_bad_token_is_refused_everywhere_and_never_logged(shared_up: Service, bad: str | None) -> None:
    assert await close_code(shared_up, auth(token=bad)) == 4401
    async with httpx.AsyncClient() as client:
        headers = {"Authorization": f"Bearer {bad}"} if bad else {}
        response = await client.get(f"{shared_up.url}/api/v1/realtime.connect", headers=headers)
    assert response.status_code == 401
    assert response.headers["content-type"].startswith("application/problem+json")
    assert bad is None or bad not in shared_up.text()


@pytest.mark.parametrize(
    ("first", "code"),
    [
        pytest.param("not json", 4400, id="no JSON"),
        pytest.param(b"\x00\x01", 4400, id="binary"),
        pytest.param('["auth"]', 4400, id="no object"),
        pytest.param('{"type": 7}', 4400, id="type of a wrong type"),
        pytest.param('{"type": "auth", "x": ' + "[" * 8_000 + "]" * 8_000 + "}", 4400, id="too deep"),
        pytest.param(json.dumps({"type": "\N{GRINNING FACE}" * 64}, ensure_ascii=False), 4400, id="a long reason"),
        pytest.param('{"type": "ping"}', 4401, id="another frame first"),
        pytest.param(auth(device_id="phone"), 4400, id="bad device id"),
        pytest.param(auth(device_id=None), 4400, id="no device id"),
        pytest.param(json.dumps({"type": "auth", "padding": "x" * 16_400}), 1009, id="too big"),
    ],
)
async def test_a_bad_first_frame_closes_with_its_code(shared_up: Service, first: str | bytes, code: int) -> None:
    assert await close_code(shared_up, first) == code


@pytest.mark.parametrize(
    ("frame", "code", "kind"),
    [
        pytest.param({"type": "dance"}, "unknown_type", "dance", id="unknown type"),
        pytest.param({"type": "typing.start"}, "invalid_frame", "typing.start", id="field missing"),
        pytest.param({"type": "typing.start", "channel_id": 5}, "invalid_frame", "typing.start", id="wrong type"),
        pytest.param({"type": "typing.start", "channel_id": "a.>"}, "invalid_id", "typing.start", id="bad id"),
        pytest.param(
            {"type": "typing.start", "channel_id": "other"}, "not_a_member", "typing.start", id="not a member"
        ),
        pytest.param({"type": "heartbeat", "state": "asleep"}, "invalid_frame", "heartbeat", id="unknown state"),
        pytest.param(json.loads(auth()), "already_authenticated", "auth", id="auth twice"),
    ],
)
async def test_a_bad_frame_is_answered_and_the_connection_lives_on(
    shared_up: Service, frame: dict[str, Any], code: str, kind: str
) -> None:
    async with listening(shared_up.ws_url, "alice") as [alice]:
        await alice.connection.send(json.dumps(frame))
        error = await alice.receives("error")
        assert (error["code"], error["offending_type"]) == (code, kind)
        assert error["message"]
        await alice.send("ping")
        await alice.receives("pong")


async def test_malformed_and_oversized_frames_close_an_open_connection(shared_up: Service) -> None:
    async with listening(shared_up.ws_url, "alice", "bob", "carol") as listeners:
        frames: list[str | bytes] = ["{", b"binary", "x" * 700_000]
        for listener, frame in zip(listeners, frames, strict=True):
            await listener.connection.send(frame)
        assert [await listener.is_closed() for listener in listeners] == [4400, 4400, 1009]


async def test_a_heartbeat_is_answered_with_what_was_delivered(up: Service, caller: Caller) -> None:
    await caller.create("alice", "general")
    async with listening(up.ws_url, "alice") as [alice]:
        await caller.say("alice", "general", "one")
        frame = await alice.receives("message.new")
        await alice.send("heartbeat", state="idle", focused_channel="general")
        answer = await alice.receives("heartbeat.ok")
        assert answer["seq"] >= frame["seq"]


async def test_a_device_that_connects_again_replaces_its_connection(shared_up: Service) -> None:
    device = new_device_id()
    old = await open_listener(shared_up.ws_url, "alice", device_id=device)
    async with listening(shared_up.ws_url, "alice", device_id=device) as [new]:
        assert await old.is_closed() == 4409
        await new.send("ping")
        await new.receives("pong")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param({"channel": "general", "text": ""}, 400, id="empty text"),
        pytest.param({"channel": "general", "text": "x" * 40_001}, 400, id="text too long"),
        pytest.param({"channel": "a.b", "text": "x"}, 400, id="dot in the channel"),
        pytest.param({"channel": "general", "text": 7}, 400, id="text of a wrong type"),
        pytest.param({"channel": "general", "text": "x", "colour": "red"}, 400, id="unknown field"),
        pytest.param({"channel": "nowhere", "text": "x"}, 403, id="no such channel, so no member"),
        pytest.param({"channel": "general", "text": "x", "attachments": ["y" * 800_000]}, 413, id="body too big"),
    ],
)
async def test_a_bad_request_gets_its_problem_and_leaves_no_event(
    up: Service, caller: Caller, body: dict[str, Any], status: int
) -> None:
    await caller.create("alice", "general")
    async with listening(up.ws_url, "alice") as [alice]:
        response = await caller.post("alice", "chat.sendMessage", **body)
        assert response.status_code == status
        problem = response.json()
        assert problem["status"] == status
        assert problem["code"]
        assert problem["correlation_id"]
        await caller.say("alice", "general", "good")
        await alice.until(lambda: alice.texts() == ["good"])


async def test_a_non_member_can_neither_post_nor_read(up: Service, caller: Caller) -> None:
    await caller.create("alice", "general")
    assert (await caller.post("eve", "chat.sendMessage", channel="general", text="x")).status_code == 403
    assert (await caller.get("eve", "channels.history", channel="general")).status_code == 403


async def test_the_longest_text_and_every_character_arrive(up: Service, caller: Caller) -> None:
    await caller.create("alice", "general")
    text = "\N{GRINNING FACE}" * 39_990 + '"\\\u2028\n\t\x7f</'
    async with listening(up.ws_url, "alice") as [alice]:
        await caller.say("alice", "general", text)
        await alice.until(lambda: alice.texts() == [text])
