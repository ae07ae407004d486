"""The description of the API says what the API does."""

import inspect
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, cast

import httpx
import pytest

from fanout.api.history import MAX_PAGE_BYTES
from fanout.api.messages import DEDUP_WINDOW_S
from fanout.streams import MESSAGES, STREAMS
from services.gateway.table import table
from services.runtime import claims, tokens

EVERY = {
    400: {"invalid_request"},
    401: set(re.findall(r'"(token_[a-z]+)"', inspect.getsource(tokens) + inspect.getsource(claims))),
    429: {"rate_limited"},
    503: {"unavailable"},
}
BODY = {
    400: {"invalid_request", "malformed_json"},
    413: {"body_too_large"},
    503: {"unavailable", "outcome_unknown"},
}
FIXED = {400: {*BODY[400], "dm_members_fixed"}}
CALLS: dict[tuple[str, str], tuple[int, dict[int, set[str]]]] = {
    ("chat.sendMessage", "post"): (
        202,
        {
            400: {"invalid_request", "malformed_json"},
            403: {"not_a_member"},
            404: {"unknown_thread"},
            413: {"body_too_large", "message_too_large"},
            503: BODY[503],
        },
    ),
    ("channels.create", "post"): (201, {**BODY, 409: {"channel_exists"}}),
    ("channels.join", "post"): (200, {**BODY, 404: {"channel_not_found"}}),
    ("channels.leave", "post"): (200, {**BODY, **FIXED, 404: {"channel_not_found"}}),
    ("channels.invite", "post"): (200, {**BODY, **FIXED, 403: {"not_a_member"}}),
    ("channels.remove", "post"): (200, {**BODY, **FIXED, 403: {"not_a_member", "not_the_creator"}}),
    ("channels.history", "get"): (
        200,
        {400: {"invalid_request", "bad_cursor", "unknown_message"}, 403: {"not_a_member"}},
    ),
    ("threads.replies", "get"): (
        200,
        {400: {"invalid_request", "bad_cursor"}, 403: {"not_a_member"}, 404: {"unknown_thread"}},
    ),
    ("messages.receipts", "get"): (
        200,
        {400: {"invalid_request"}, 403: {"not_a_member"}, 404: {"message_not_found"}},
    ),
    ("devices.register", "post"): (200, {**BODY, 409: {"device_taken"}}),
    ("devices.list", "get"): (200, {400: {"invalid_request"}}),
    ("devices.remove", "post"): (200, {**BODY, 404: {"device_not_found"}}),
    ("realtime.connect", "get"): (200, {}),
}
ID = "^[A-Za-z0-9_-]{1,128}$"
TABLE = table(*[cast("Any", None)] * 6)


@pytest.fixture
async def document(http: httpx.AsyncClient) -> dict[str, Any]:
    await http.get("http://test/openapi.json")
    response = await http.get("http://test/openapi.json")
    body: dict[str, Any] = response.json()
    return body


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


async def test_every_call_is_described_and_no_other(document: dict[str, Any]) -> None:
    described = {(path, method) for path, method, _ in operations(document) if path.startswith("/api/")}
    assert described == {(served.call.route, served.call.method.lower()) for served in TABLE}
    assert described >= {(f"/api/v1/{name}", method) for name, method in CALLS}
    assert {"/healthz", "/readyz", "/metrics"} <= set(document["paths"])


async def test_operations_are_named_as_the_calls_are(document: dict[str, Any]) -> None:
    for path, _, operation in operations(document):
        if "{" not in path:  # a path with parts is shared by several calls
            assert operation["operationId"] == path.removeprefix("/api/v1").removeprefix("/")
        assert operation["summary"]


async def test_a_direct_message_that_is_there_already_is_described(document: dict[str, Any]) -> None:
    assert {"200", "201"} <= set(document["paths"]["/api/v1/channels.create"]["post"]["responses"])
    assert document["components"]["schemas"]["CreateChannel"].get("required", []) == []


@pytest.mark.parametrize(("name", "method"), CALLS)
async def test_each_call_names_the_codes_that_it_can_give(document: dict[str, Any], name: str, method: str) -> None:
    success, own = CALLS[name, method]
    responses = dict(document["paths"][f"/api/v1/{name}"][method]["responses"])
    answer = responses.pop(str(success))
    assert "$ref" in answer["content"]["application/json"]["schema"]
    assert answer["description"] != HTTPStatus(success).description
    for status in [status for status in responses if status.startswith("2")]:
        assert responses.pop(status)["content"] == answer["content"]
    described = {int(status): set(re.findall(r"`(\w+)`", told["description"])) for status, told in responses.items()}
    assert described == {**EVERY, **own}
    for told in responses.values():
        schema = told["content"]["application/problem+json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/ProblemDetails"}


async def test_every_reference_leads_to_a_schema(document: dict[str, Any]) -> None:
    referenced = set(re.findall(r"'\$ref': '#/components/schemas/(\w+)'", str(document)))
    assert referenced == set(document["components"]["schemas"])


async def test_bodies_are_described_with_their_bounds(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    message = schemas["SendMessage"]
    assert message["required"] == ["channel", "text"]
    assert message["additionalProperties"] is False
    assert message["properties"]["text"]["maxLength"] == 40_000
    assert message["properties"]["channel"]["pattern"] == ID
    lists = {
        "mentions": (message["properties"]["mentions"]["anyOf"][0], 100),
        "members": (schemas["CreateChannel"]["properties"]["members"], 500),
        "user_ids": (schemas["InviteRequest"]["properties"]["user_ids"], 500),
    }
    for schema, most in lists.values():
        assert (schema["items"]["pattern"], schema["maxItems"]) == (ID, most)
    assert schemas["InviteRequest"]["properties"]["user_ids"]["minItems"] == 1


async def test_the_dedup_window_is_said_and_true(document: dict[str, Any]) -> None:
    assert DEDUP_WINDOW_S == STREAMS[MESSAGES].dedup_s == 120
    client_msg_id = document["components"]["schemas"]["SendMessage"]["properties"]["client_msg_id"]["anyOf"][0]
    assert "2 minutes" in client_msg_id["description"]
    assert client_msg_id["pattern"]


async def test_the_bytes_of_a_page_are_said_and_true(document: dict[str, Any]) -> None:
    assert MAX_PAGE_BYTES == 1 << 20
    assert "1 MiB" in document["paths"]["/api/v1/channels.history"]["get"]["description"]


async def test_the_history_says_its_places(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert {"messages", "upto_seq"} == set(schemas["History"]["required"])
    assert {"messages", "upto_seq", "newest_seq", "cursor"} == set(schemas["History"]["properties"])
    assert "seq" in schemas["StoredMessage"]["required"]


async def test_times_are_times(document: dict[str, Any]) -> None:
    assert document["components"]["schemas"]["StoredMessage"]["properties"]["sent_at"]["format"] == "date-time"


async def test_headers_of_errors_are_described(document: dict[str, Any]) -> None:
    for path, _, operation in operations(document):
        for status, header in (("401", "WWW-Authenticate"), ("429", "Retry-After"), ("503", "Retry-After")):
            if path.startswith("/api/"):
                assert operation["responses"][status]["headers"][header]["description"]


async def test_calls_need_a_token_and_operations_do_not(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, _, operation in operations(document):
        assert operation.get("security") == ([{"token": []}] if path.startswith("/api/") else None)


async def test_parameters_are_those_of_the_contract(document: dict[str, Any]) -> None:
    listed = document["paths"]["/api/v1/channels.history"]["get"]["parameters"]
    parameters = {parameter["name"]: parameter for parameter in listed}
    assert set(parameters) == {"channel", "before", "after", "cursor", "limit"}
    assert all(parameter["in"] == "query" and parameter["description"] for parameter in listed)
    assert [name for name, parameter in parameters.items() if parameter["required"]] == ["channel"]
    assert parameters["channel"]["schema"]["pattern"] == ID
    for name in ("before", "after"):
        assert parameters[name]["schema"] == {
            "type": "string",
            "pattern": "^(msg_[0-7][0-9A-HJKMNP-TV-Z]{25}|[0-9]{1,16})$",
        }
    assert parameters["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
