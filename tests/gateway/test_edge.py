"""What every request meets: tokens, the rate limit, correlation ids, figures, and the ends of the map."""

import logging
from typing import Any

import httpx
import jwt
import pytest
import structlog

from fanout.ids import check_id
from fanout.ports.presence import Lease
from services.gateway.app import gateway_app
from services.runtime.tokens import TokenVerifier, sign
from tests.gateway.conftest import World, as_user

SECRET = "a-secret-that-is-long-enough-for-hs256"
CALL = "realtime.connect"
LEASE = Lease("n1", "1", "ws://n1/ws", "t", 0, 10)


def challenge(response: httpx.Response) -> tuple[int, str, str]:
    return response.status_code, response.json()["code"], response.headers["www-authenticate"]


@pytest.mark.parametrize("header", ["", "Basic abc", "user:alice", "Bearer", "Bearer "])
async def test_no_bearer_token(http: httpx.AsyncClient, header: str) -> None:
    response = await http.get(CALL, headers={"Authorization": header})
    assert challenge(response) == (401, "token_missing", "Bearer")


async def test_a_token_that_is_refused(http: httpx.AsyncClient) -> None:
    response = await http.get(CALL, headers={"Authorization": "Bearer nonsense"})
    assert challenge(response) == (401, "token_malformed", 'Bearer error="invalid_token"')
    missing = await http.get(CALL, headers={"Authorization": ""})
    assert missing.json()["detail"] == response.json()["detail"]


async def test_a_token_that_cannot_be_checked_now(http: httpx.AsyncClient, world: World) -> None:
    await world.presence.lease(LEASE)
    assert (await http.get(CALL)).status_code == 200
    world.authenticator.down = True
    assert (await http.get(CALL)).status_code == 503


async def test_the_real_verifier_behind_the_same_door(world: World) -> None:
    world.authenticator = TokenVerifier(("HS256",), secret=SECRET)  # type: ignore[assignment]
    async with as_user(world, "ignored") as http:
        await world.presence.lease(LEASE)
        for token, status in ((sign(SECRET, "alice", 60), 200), (sign(SECRET, "alice", -60), 401)):
            response = await http.get(CALL, headers={"authorization": f"bearer {token}"})
            assert response.status_code == status


async def test_the_rate_limit_is_per_user_and_says_when_to_come_again(http: httpx.AsyncClient, world: World) -> None:
    paths = [CALL, "channels.history", CALL, "channels.history", CALL]
    assert 429 not in [(await http.get(path)).status_code for path in paths]
    refused = await http.get("channels.history")
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert refused.headers["retry-after"] == "1"
    other = await http.get("channels.history", headers={"Authorization": "Bearer user:bob"})
    assert other.status_code == 400
    world.clock.now += float(refused.headers["retry-after"])
    assert (await http.get("channels.history")).status_code == 400


@pytest.mark.parametrize("given", ["corr-1", "4bf92f35-77b3.4da6_a3ce", "x" * 128])
async def test_a_valid_correlation_id_is_kept(http: httpx.AsyncClient, given: str) -> None:
    response = await http.get("nowhere", headers={"X-Correlation-ID": given})
    assert response.headers["x-correlation-id"] == response.json()["correlation_id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "é", "<script>"])
async def test_any_other_is_replaced(http: httpx.AsyncClient, given: str) -> None:
    response = await http.get("nowhere", headers={b"X-Correlation-ID": given.encode()})
    assert check_id(response.headers["x-correlation-id"], "correlation") != given


async def test_unknown_paths_and_methods_are_problems(http: httpx.AsyncClient) -> None:
    for path in ("nowhere", "/nowhere", "/"):
        response = await http.get(f"http://test{path}" if path.startswith("/") else path)
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    wrong = await http.get("chat.sendMessage")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert "POST" in wrong.headers["allow"]


async def test_an_unexpected_error_is_logged_once_and_says_nothing_outside(
    http: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> Any:
        raise KeyError("an inside story")

    monkeypatch.setattr(world.presence, "leases", broken)
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        response = await http.get(CALL, headers={"X-Correlation-ID": "corr-1"})
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert "inside story" not in response.text
    (failure,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert (failure["correlation_id"], type(failure["exc_info"])) == ("corr-1", KeyError)


async def test_a_client_that_goes_away_is_no_error_of_ours(world: World) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/api/v1/chat.sendMessage",
        "raw_path": b"/api/v1/chat.sendMessage",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"authorization", b"Bearer user:alice")],
        "client": None,
        "server": None,
    }
    with structlog.testing.capture_logs() as logs:
        await gateway_app(world.gateway())(scope, receive, send)
    assert [entry for entry in logs if entry["log_level"] == "error"] == []
    assert sent[0]["status"] == 400


async def test_every_request_is_a_log_line_without_its_token(
    http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as logs:
        await http.get(CALL, params={"token": "query-secret"}, headers={"X-Correlation-ID": "corr-1"})
    (line,) = [entry for entry in logs if entry["event"] == "request"]
    assert (line["method"], line["path"], line["status"], line["user"]) == ("GET", f"/api/v1/{CALL}", 400, "alice")
    written = str(logs) + "".join(r.getMessage() for r in caplog.records if r.name != "httpx")
    assert "user:alice" not in written
    assert "query-secret" not in written


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (CALL, "no notification instance takes connections now; try again"),
        ("channels.history?channel=general", "switched off"),
        ("http://test/readyz", "log: Unavailable"),
    ],
)
async def test_the_log_line_of_a_503_names_the_reason(
    http: httpx.AsyncClient, world: World, call: str, reason: str
) -> None:
    world.memberships.down = world.log.down = True
    world.health.add("log", world.log.ping)
    with structlog.testing.capture_logs() as logs:
        assert (await http.get(call)).status_code == 503
    (line,) = [entry for entry in logs if entry["event"] == "request"]
    assert line["reason"] == reason


async def test_the_log_line_of_a_success_has_no_reason(http: httpx.AsyncClient) -> None:
    with structlog.testing.capture_logs() as logs:
        await http.get("http://test/readyz")
    (line,) = [entry for entry in logs if entry["event"] == "request"]
    assert "reason" not in line


async def test_figures_are_by_route_and_never_by_what_a_client_wrote(http: httpx.AsyncClient, world: World) -> None:
    await http.get(CALL)
    for name in ("a", "b", "c"):
        await http.request("BREW", f"nowhere-{name}")
    text = (await http.get("http://test/metrics")).text
    assert f'fanout_http_requests_total{{method="GET",route="/api/v1/{CALL}",status="503"}} 1.0' in text
    assert 'fanout_http_requests_total{method="other",route="unmatched",status="404"} 3.0' in text
    assert f'fanout_http_request_seconds_count{{method="GET",route="/api/v1/{CALL}"}} 1.0' in text
    assert "nowhere" not in text


async def test_operations_need_no_token(http: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
        response = await http.get(f"http://test{path}", headers={"Authorization": ""})
        assert response.status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/healthz", "/readyz", "/metrics", "/openapi.json", "/nowhere", f"/api/v1/{CALL}", "/api/v1/chat.sendMessage"],
)
async def test_head_is_answered_as_get_is_without_the_body(http: httpx.AsyncClient, world: World, path: str) -> None:
    await world.presence.lease(LEASE)
    await http.get(f"http://test{path}")  # so that all figures are there
    get, head = await http.get(f"http://test{path}"), await http.head(f"http://test{path}")
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert "x-correlation-id" in head.headers


async def test_a_head_is_recorded_as_one(http: httpx.AsyncClient, world: World) -> None:
    await world.presence.lease(LEASE)
    with structlog.testing.capture_logs() as logs:
        assert (await http.head(CALL)).status_code == 200
    (line,) = [entry for entry in logs if entry["event"] == "request"]
    assert (line["method"], line["user"]) == ("HEAD", "alice")
    assert f'method="HEAD",route="/api/v1/{CALL}",status="200"' in (await http.get("http://test/metrics")).text


async def test_a_degraded_gateway_is_ready(http: httpx.AsyncClient, world: World) -> None:
    world.health.add("presence", world.presence.ping, required=False)
    world.presence.down = True
    response = await http.get("http://test/readyz")
    told = {"ready": True, "degraded": True, "checks": {"presence": "Unavailable"}}
    assert (response.status_code, response.json()) == (200, told)


async def test_a_user_outside_the_charset_is_told_so(world: World) -> None:
    world.authenticator = TokenVerifier(("HS256",), secret=SECRET)  # type: ignore[assignment]
    token = jwt.encode({"sub": "auth0|alice", "exp": 4e9}, SECRET.encode().ljust(64, b"\0"))
    async with as_user(world, "ignored") as http:
        response = await http.get(CALL, headers={"authorization": f"bearer {token}"})
    assert challenge(response) == (401, "token_user", 'Bearer error="invalid_token"')
    assert "sub is no user id" in response.json()["detail"]


async def test_a_dependency_that_is_down_is_named(http: httpx.AsyncClient, world: World) -> None:
    world.health.add("log", world.log.ping)
    world.log.down = True
    response = await http.get("http://test/readyz")
    assert (response.status_code, response.json()) == (
        503,
        {
            "ready": False,
            "degraded": False,
            "checks": {"log": "Unavailable"},
        },
    )
