"""Whoever sent a request that cannot succeed is told the field, and what it must be."""

from typing import Any

import httpx
import msgspec
import pytest

from fanout.api.channels import ChannelRequest, CreateChannel, InviteRequest, RemoveRequest
from fanout.api.common import Request
from fanout.api.devices import RegisterDevice
from fanout.api.history import HistoryRequest
from fanout.api.messages import SendMessage
from services.gateway.wording import SHOWN_NAMES, faults, form

ID = "1 to 128 characters of A-Z, a-z, 0-9, '_' or '-'"
GOOD = {"channel": "general", "text": "hello"}


@pytest.mark.parametrize(
    "kind", [SendMessage, CreateChannel, ChannelRequest, InviteRequest, RemoveRequest, HistoryRequest, RegisterDevice]
)
def test_there_are_words_for_every_field(kind: type[Request]) -> None:
    for field in msgspec.structs.fields(kind):
        assert form(msgspec.inspect.type_info(field.type))


def test_a_type_without_words_is_noticed() -> None:
    with pytest.raises(TypeError):
        form(msgspec.inspect.type_info(bytes))


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"channel": "a.b"}, f"channel must be {ID}"),
        ({"channel": "general\n"}, f"channel must be {ID}"),
        ({"channel": None}, f"channel must be {ID}"),
        ({"text": ""}, "text must be 1 to 40,000 characters"),
        ({"text": 7}, "text must be 1 to 40,000 characters"),
        ({"also_send_to_channel": "true"}, "also_send_to_channel must be true or false"),
        ({"mentions": ["a b"]}, f"mentions must be a list of 0 to 100, each {ID}"),
        ({"attachments": {}}, "attachments must be a list of 0 to 20"),
        ({"attachments": [10**30]}, "attachments must hold no number beyond 64 bits"),
        (
            {"client_msg_id": "a b"},
            "client_msg_id must be 1 to 128 characters of A-Z, a-z, 0-9 and _ . : ~ + / = -",
        ),
        ({"colour": "red"}, "unknown field 'colour'"),
        ({"colour": "red", "text": ""}, "unknown field 'colour'; text must be 1 to 40,000 characters"),
        ({"x" * 1000: 1}, f"unknown field '{'x' * 40}'"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_a_body_must_be(http: httpx.AsyncClient, fields: dict[str, Any], detail: str) -> None:
    response = await http.post("chat.sendMessage", json={**GOOD, **fields})
    assert (response.status_code, response.json()["detail"]) == (400, detail)


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"kind": "group"}, "kind must be 'channel' or 'dm'"),
        ({"members": ["bob"]}, "name is missing"),
        ({"name": ""}, "name must be 1 to 200 characters"),
        ({"name": "x", "channel_id": f"dm_{'0' * 40}"}, "channel_id has the form of a direct message's, which the"),
        ({"kind": "dm"}, "members must name exactly one user beside the caller"),
        ({"kind": "dm", "members": ["alice"]}, "members must name exactly one user beside the caller"),
        ({"kind": "dm", "members": ["bob", "carol"]}, "members must name exactly one user beside the caller"),
        (
            {"kind": "dm", "members": ["bob"], "channel_id": "us"},
            "the platform makes the channel_id of a direct",
        ),
    ],
)
async def test_what_a_new_channel_must_be(http: httpx.AsyncClient, fields: dict[str, Any], detail: str) -> None:
    response = await http.post("channels.create", json=fields)
    assert (response.status_code, response.json()["detail"][: len(detail)]) == (400, detail)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"{}", "channel is missing; text is missing"),
        (b"[]", "the body must be a JSON object"),
        (b"null", "the body must be a JSON object"),
        (b"", "a JSON body is needed"),
        (b'{"text": 1, {', "the body is not JSON that this server reads"),
    ],
)
async def test_what_is_no_such_body(http: httpx.AsyncClient, body: bytes, detail: str) -> None:
    response = await http.post("chat.sendMessage", content=body)
    assert (response.status_code, response.json()["detail"]) == (400, detail)


@pytest.mark.parametrize(
    ("params", "detail"),
    [
        ({}, "channel is missing"),
        ({"channel": "a b"}, f"channel must be {ID}"),
        ({"channel": "g", "limit": "0"}, "limit must be a whole number from 1 to 200"),
        ({"channel": "g", "limit": "many"}, "limit must be a whole number from 1 to 200"),
        ({"channel": "g", "before": "x"}, "before must be msg_ followed by a ULID, or a seq"),
        ({"channel": "g", "after": ""}, "after must be msg_ followed by a ULID, or a seq"),
        ({"channel": "g", "colour": "red"}, "unknown field 'colour'"),
        ({"channel": ["g", "h"]}, "give each parameter once"),
    ],
)
async def test_what_a_query_must_be(http: httpx.AsyncClient, params: dict[str, Any], detail: str) -> None:
    response = await http.get("channels.history", params=params)
    assert (response.status_code, response.json()["detail"]) == (400, detail)


def test_what_is_said_back_is_bounded() -> None:
    assert len(faults({str(n): n for n in range(1000)} | GOOD, SendMessage, strict=True)) == SHOWN_NAMES
