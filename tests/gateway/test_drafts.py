"""Drafts by REST, through the whole gateway."""

from typing import Any

import httpx
import pytest

from fanout.ids import new_device_id
from tests.gateway.conftest import World

PATH = "/channels/general/draft"
DEVICE = new_device_id()


async def create_channel(http: httpx.AsyncClient) -> None:
    created = await http.post("/channels.create", json={"channel_id": "general", "name": "general"})
    assert created.status_code == 201


async def test_a_draft_is_put_read_and_deleted(http: httpx.AsyncClient) -> None:
    await create_channel(http)
    put = await http.put(PATH, json={"text": "Hey", "attachments": ["file_1"], "device_id": DEVICE})
    assert put.status_code == 200
    assert put.json() == {
        "channel_id": "general",
        "text": "Hey",
        "reply_to": None,
        "attachments": ["file_1"],
        "updated_at": put.json()["updated_at"],
        "device_id": DEVICE,
    }
    assert (await http.get(PATH)).json() == put.json()
    deleted = await http.delete(PATH, params={"base_updated_at": put.json()["updated_at"], "device_id": DEVICE})
    assert (deleted.status_code, deleted.json()["text"]) == (200, "")
    assert (await http.get(PATH)).json() == deleted.json()


async def test_a_stale_edit_is_a_conflict_with_the_draft_that_is_there(http: httpx.AsyncClient) -> None:
    await create_channel(http)
    put = await http.put(PATH, json={"text": "Hey"})
    stale = await http.put(PATH, json={"text": "stale", "base_updated_at": None})
    assert (stale.status_code, stale.headers["content-type"]) == (409, "application/problem+json")
    assert (stale.json()["code"], stale.json()["draft"]) == ("draft_conflict", put.json())


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid_request"),
        ({"text": "x" * 16_001}, "draft_too_long"),
        ({"text": "x", "device_id": "phone"}, "invalid_request"),
        ({"text": "x", "reply_to": "msg_1"}, "invalid_request"),
        ({"text": "x", "channel_id": "other"}, "invalid_request"),
        ({"text": "x", "attachments": {}}, "invalid_request"),
    ],
)
async def test_what_cannot_be_a_draft_is_refused(http: httpx.AsyncClient, body: dict[str, Any], code: str) -> None:
    await create_channel(http)
    answer = await http.put(PATH, json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert (await http.get(PATH)).json()["text"] == ""


async def test_only_members_have_drafts(http: httpx.AsyncClient) -> None:
    await create_channel(http)
    of_bob = await http.get(PATH, headers={"Authorization": "Bearer user:bob"})
    assert (of_bob.status_code, of_bob.json()["code"]) == (403, "not_a_member")


async def test_a_store_that_is_away_is_said(http: httpx.AsyncClient, world: World) -> None:
    await create_channel(http)
    world.unread.down = True
    answer = await http.put(PATH, json={"text": "Hey"})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
