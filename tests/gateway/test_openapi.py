"""The description of the API says what the API does."""

from typing import Any

import httpx
import pytest

CALLS = {
    ("/api/v1/chat.sendMessage", "post"): ("202", {"400", "401", "403", "413", "429", "503"}),
    ("/api/v1/channels.create", "post"): ("201", {"400", "401", "409", "413", "429", "503"}),
    ("/api/v1/channels.join", "post"): ("200", {"400", "401", "403", "404", "413", "429", "503"}),
    ("/api/v1/channels.leave", "post"): ("200", {"400", "401", "404", "413", "429", "503"}),
    ("/api/v1/channels.invite", "post"): ("200", {"400", "401", "403", "404", "413", "429", "503"}),
    ("/api/v1/channels.history", "get"): ("200", {"400", "401", "403", "429", "503"}),
    ("/api/v1/realtime.connect", "get"): ("200", {"401", "429", "503"}),
}


@pytest.fixture
async def document(http: httpx.AsyncClient) -> dict[str, Any]:
    response = await http.get("http://test/openapi.json")
    body: dict[str, Any] = response.json()
    return body


async def test_every_call_is_described_and_no_other(document: dict[str, Any]) -> None:
    described = {
        (path, method) for path, methods in document["paths"].items() for method in methods if path.startswith("/api/")
    }
    assert described == set(CALLS)
    assert {"/healthz", "/readyz", "/metrics"} <= set(document["paths"])


async def test_every_answer_and_error_has_its_schema(document: dict[str, Any]) -> None:
    for (path, method), (success, errors) in CALLS.items():
        responses = document["paths"][path][method]["responses"]
        assert set(responses) == {success} | errors
        assert "$ref" in responses[success]["content"]["application/json"]["schema"]
        for status in errors:
            schema = responses[status]["content"]["application/problem+json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/ProblemDetails"}


async def test_bodies_are_described_with_their_bounds(document: dict[str, Any]) -> None:
    schema = document["components"]["schemas"]["SendMessage"]
    assert schema["required"] == ["channel", "text"]
    assert schema["properties"]["text"]["maxLength"] == 40_000
    assert schema["properties"]["channel"]["pattern"] == "^[A-Za-z0-9_-]{1,128}$"


async def test_calls_need_a_token_and_operations_do_not(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation.get("security") == ([{"token": []}] if path.startswith("/api/") else None)


async def test_parameters_are_those_of_the_contract(document: dict[str, Any]) -> None:
    parameters = document["paths"]["/api/v1/channels.history"]["get"]["parameters"]
    assert {parameter["name"] for parameter in parameters} == {"channel", "before", "after", "cursor", "limit"}
