"""A request finds its route by path and method, and every error is a problem."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
import structlog

from fanout.error_codes import NOT_A_MEMBER
from fanout.errors import CallRejected, OutcomeUnknown, Unavailable
from services.runtime.exchange import Exchange, Response
from services.runtime.router import Responder, Route, Router


def exchange(method: str, path: str) -> Exchange:
    async def receive() -> Any:
        raise AssertionError

    return Exchange({"method": method, "path": path, "query_string": b"", "headers": []}, receive, "corr-1")


def saying(text: str) -> Responder:
    async def respond(_exchange: Exchange, parts: Mapping[str, str]) -> Response:
        return Response(200, f"{text} {dict(parts)}".encode(), b"text/plain")

    return respond


def failing(error: Exception) -> Responder:
    async def respond(_exchange: Exchange, _parts: Mapping[str, str]) -> Response:
        raise error

    return respond


ROUTER = Router(
    [
        Route("GET", "/list", saying("list")),
        Route("GET", "/channels/{channel_id}/draft", saying("draft")),
        Route("PUT", "/channels/{channel_id}/draft", saying("save")),
        Route("POST", "/channels.join", saying("join")),
        Route("GET", "/users/{user_id}", saying("user")),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "answer", "route"),
    [
        ("GET", "/list", "list {}", "/list"),
        ("HEAD", "/list", "list {}", "/list"),
        ("GET", "/list/", "list {}", "/list"),
        ("GET", "//list//", "list {}", "/list"),
        ("POST", "/channels.join", "join {}", "/channels.join"),
        ("GET", "/channels/c1/draft", "draft {'channel_id': 'c1'}", "/channels/{channel_id}/draft"),
        ("PUT", "/channels/c1/draft", "save {'channel_id': 'c1'}", "/channels/{channel_id}/draft"),
        ("GET", "/channels/a.b/draft", "draft {'channel_id': 'a.b'}", "/channels/{channel_id}/draft"),
        ("GET", "/channels/{channel_id}/draft", "draft {'channel_id': '{channel_id}'}", "/channels/{channel_id}/draft"),
    ],
)
async def test_a_route_is_found(method: str, path: str, answer: str, route: str) -> None:
    asked = exchange(method, path)
    response = await ROUTER.respond(asked)
    assert (response.status, response.body.decode(), asked.route) == (200, answer, route)


@pytest.mark.parametrize(
    "path",
    ["", "/", "/nowhere", "/channels", "/channels//draft", "/channels/a/b/draft", "/channelsXjoin", "/users/a/b"],
)
async def test_nothing_else_is_found(path: str) -> None:
    asked = exchange("GET", path)
    assert ((await ROUTER.respond(asked)).status, asked.route, ROUTER.methods(path)) == (404, "", ())


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/list", b"GET, HEAD, OPTIONS"),
        ("/channels.join", b"OPTIONS, POST"),
        ("/channels/c1/draft", b"GET, HEAD, OPTIONS, PUT"),
    ],
)
async def test_what_a_path_takes_is_said(path: str, allow: bytes) -> None:
    options = await ROUTER.respond(exchange("OPTIONS", path))
    assert options == Response(204, headers=((b"allow", allow),))
    refused = await ROUTER.respond(exchange("DELETE", path))
    assert (refused.status, dict(refused.headers)[b"allow"]) == (405, allow)
    assert ", ".join(ROUTER.methods(path)).encode() == allow


def test_two_routes_for_one_method_and_path_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="GET /list has two routes"):
        Router([Route("GET", "/list", saying("a")), Route("GET", "/list", saying("b"))])


@pytest.mark.parametrize(
    ("method", "error", "status", "code", "reason"),
    [
        ("GET", CallRejected(NOT_A_MEMBER), 403, "not_a_member", ""),
        ("POST", Unavailable("host 10.0.0.1 is away"), 503, "unavailable", "host 10.0.0.1 is away"),
        ("POST", OutcomeUnknown("no answer"), 503, "outcome_unknown", "no answer"),
        ("GET", OutcomeUnknown("no answer"), 503, "unavailable", "no answer"),
        ("GET", OutcomeUnknown(), 503, "unavailable", "OutcomeUnknown"),
        ("GET", KeyError("an inside story"), 500, "internal", ""),
    ],
)
async def test_errors_are_problems(method: str, error: Exception, status: int, code: str, reason: str) -> None:
    asked = exchange(method, "/")
    router = Router([Route(method, "", failing(error))])
    with structlog.testing.capture_logs() as logs:
        response = await router.respond(asked)
    body = msgspec.json.decode(response.body)
    assert (response.status, body["code"], body["correlation_id"]) == (status, code, "corr-1")
    assert (response.media_type, asked.reason) == (b"application/problem+json", reason)
    assert not {"10.0.0.1", "inside story"} & set(body["detail"].split())
    assert [entry["exc_info"] for entry in logs] == ([error] if status == 500 else [])
