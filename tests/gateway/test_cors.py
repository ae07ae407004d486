"""Web pages of the origins that are named may call, and of no other."""

import httpx
import pytest

from fanout.ports.presence import Lease
from tests.gateway.conftest import World, as_user

PAGE = "https://chat.example"
CALL = "realtime.connect"


async def preflight(
    http: httpx.AsyncClient, origin: str, path: str = "chat.sendMessage", method: str = "POST"
) -> httpx.Response:
    asked = {
        "Authorization": "",
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization, content-type, x-correlation-id",
    }
    return await http.options(path, headers=asked)


async def test_a_preflight_needs_no_token_and_says_what_may_be_sent(world: World) -> None:
    world.origins = (PAGE, "http://localhost:3000")
    async with as_user(world, "alice") as http:
        for origin in world.origins:
            response = await preflight(http, origin)
            assert response.status_code == 204
            assert response.headers["access-control-allow-origin"] == origin
            assert response.headers["vary"] == "Origin"
            assert response.headers["access-control-allow-methods"] == "POST"
            allowed = response.headers["access-control-allow-headers"].lower().split(", ")
            assert {"authorization", "content-type", "x-correlation-id"} <= set(allowed)


@pytest.mark.parametrize(
    ("path", "allowed"), [("chat.sendMessage", {"POST"}), ("channels.history", {"GET", "HEAD"}), ("nowhere", set())]
)
async def test_a_path_allows_exactly_the_methods_that_it_has(world: World, path: str, allowed: set[str]) -> None:
    world.origins = (PAGE,)
    async with as_user(world, "alice") as http:
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "BREW", ""):
            response = await preflight(http, PAGE, path, method)
            assert response.status_code == (204 if method in allowed else 400)
            named = response.headers.get("access-control-allow-methods", "")
            assert named == (", ".join(sorted(allowed)) if method in allowed else "")


async def test_a_header_that_no_call_takes_is_refused(world: World) -> None:
    world.origins = (PAGE,)
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-other"}
    async with as_user(world, "alice") as http:
        response = await http.options("chat.sendMessage", headers=asked)
    assert (response.status_code, response.json()["code"]) == (400, "cors_refused")
    assert response.json()["detail"] == "the page asks for a header that this call does not take"


@pytest.mark.parametrize("path", ["chat.sendMessage", "nowhere"])
async def test_a_method_that_the_path_does_not_take_is_named_as_the_cause(world: World, path: str) -> None:
    world.origins = (PAGE,)
    async with as_user(world, "alice") as http:
        response = await preflight(http, PAGE, path, "PUT")
    assert (response.status_code, response.json()["code"]) == (400, "cors_refused")
    assert response.json()["detail"] == "this path does not take the method that the page asks for"


async def test_any_other_page_is_refused(world: World) -> None:
    world.origins = (PAGE,)
    async with as_user(world, "alice") as http:
        for origin in ("https://evil.example", "https://chatxexample", f"{PAGE}.evil.example", "null"):
            refused = await preflight(http, origin)
            assert refused.status_code == 400
            assert refused.json()["detail"] == "a page of this origin may not make this call"
            assert "access-control-allow-origin" not in refused.headers
            assert "access-control-allow-origin" not in (await http.get(CALL, headers={"Origin": origin})).headers


async def test_a_page_reads_answers_and_what_goes_with_them(world: World) -> None:
    world.origins = (PAGE,)
    await world.presence.lease(Lease("n1", "1", "ws://n1/ws", "t", 0, 10))
    async with as_user(world, "alice") as http:
        response = await http.get(CALL, headers={"Origin": PAGE})
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == PAGE
    exposed = set(response.headers["access-control-expose-headers"].split(", "))
    assert exposed == {"Retry-After", "WWW-Authenticate", "X-Correlation-ID"}


@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("GET", "channels.history", "user:alice", 400),
        ("GET", CALL, "nonsense", 401),
        ("GET", "channels.history?channel=elsewhere", "user:alice", 403),
        ("GET", "nowhere", "user:alice", 404),
        ("GET", "chat.sendMessage", "user:alice", 405),
        ("GET", CALL, "user:alice", 503),
    ],
)
async def test_a_page_reads_errors_too(world: World, method: str, path: str, token: str, status: int) -> None:
    world.origins = (PAGE,)
    async with as_user(world, "alice") as http:
        headers = {"Origin": PAGE, "Authorization": f"Bearer {token}"}
        response = await http.request(method, path, headers=headers)
    assert response.status_code == status
    assert response.headers["access-control-allow-origin"] == PAGE
    assert response.json()["code"]


async def test_a_page_reads_that_it_failed_unexpectedly(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken() -> None:
        raise KeyError("an inside story")

    monkeypatch.setattr(world.presence, "leases", broken)
    world.origins = ("*",)
    async with as_user(world, "alice") as http:
        response = await http.get(CALL, headers={"Origin": PAGE})
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (500, "*")


async def test_without_the_setting_no_page_may_call(http: httpx.AsyncClient) -> None:
    for response in (await preflight(http, PAGE), await http.get(CALL, headers={"Origin": PAGE})):
        assert not [name for name in response.headers if name.startswith("access-control")]
