"""What the edges say is true: bounds, states, and answers while a server stands still."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from fanout.ids import new_device_id
from tests.support.clients import WITHIN_S, Caller, listening, open_listener, open_raw
from tests.support.cluster import Cluster, Service, token
from tests.support.issuer import new_key, running_issuer
from tests.support.observing import eventually
from tests.support.servers import NatsServer, RedisServer

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Cluster]:
    cluster = Cluster(tmp_path)
    yield cluster
    await cluster.kill()


async def readiness(service: Service) -> tuple[int, bool, dict[str, str]]:
    async with httpx.AsyncClient() as http:
        response = await http.get(f"{service.url}/readyz", timeout=WITHIN_S)
    return response.status_code, response.json()["degraded"], response.json()["checks"]


async def test_what_a_log_that_stood_still_was_sent_may_be_done_and_its_repeat_makes_no_second_one(
    cluster: Cluster, nats_server: NatsServer
) -> None:
    await cluster.start_all({"message-writer": 1, "fanout": 1, "notification": 1, "gateway": 1})
    caller = Caller(cluster.services["gateway-1"].url)
    await caller.create("alice", "room", "bob")
    bob = await open_listener(cluster.services["notification-1"].ws_url, "bob")
    body = {"channel": "room", "text": "hello", "client_msg_id": "c1"}

    async def say_hello() -> httpx.Response:
        return await caller.post("alice", "chat.sendMessage", **body)

    nats_server.pause()
    answer = await say_hello()
    nats_server.resume()
    assert (answer.status_code, answer.json()["code"]) == (503, "outcome_unknown")
    await bob.until(lambda: bob.texts() == ["hello"])

    async def accepted() -> bool:
        return (await say_hello()).status_code == 202

    await eventually(accepted, WITHIN_S)
    await caller.say("alice", "room", "the next")
    await bob.until(lambda: bob.texts()[-1:] == ["the next"])
    assert bob.texts() == ["hello", "the next"]
    await bob.close()
    await caller.close()


async def test_a_gateway_without_redis_is_degraded_and_an_instance_is_not_ready(
    cluster: Cluster, redis_server: RedisServer
) -> None:
    await cluster.start_all({"notification": 1, "gateway": 1})
    gateway, instance = cluster.services["gateway-1"], cluster.services["notification-1"]
    assert (await readiness(gateway))[:2] == (200, False)
    redis_server.kill()
    await eventually(lambda: is_in_state(gateway, (200, True)), WITHIN_S)
    await eventually(lambda: is_in_state(instance, (503, False)), WITHIN_S)
    assert (await readiness(gateway))[2]["presence"] != "ok"
    redis_server.start()
    await eventually(lambda: is_in_state(gateway, (200, False)), WITHIN_S)


async def is_in_state(service: Service, state: tuple[int, bool]) -> bool:
    return (await readiness(service))[:2] == state


async def test_a_gateway_needs_keys_and_does_without_their_issuer(alone: Cluster) -> None:
    with running_issuer() as issuer:
        issuer.status = 503
        own = {"JWKS_URL": issuer.url, "JWT_ALGORITHMS": "ES256", "JWT_AUDIENCE": "chat", "JWT_ISSUER": "me"}
        up = await alone.start("up", "up", **own)
        status, _, checks = await readiness(up)
        assert (status, checks["keys"]) == (503, "Unavailable")
        issuer.publish(one=new_key("ES256"))
        issuer.status = 200
        await eventually(lambda: is_in_state(up, (200, False)), WITHIN_S)
        issuer.status = 503
        await eventually(lambda: is_in_state(up, (200, True)), WITHIN_S)
        good = issuer.token("one", "ES256", aud=["chat"], iss="me")
        others = {
            "token_audience": issuer.token("one", "ES256", aud="other", iss="me"),
            "token_issuer": issuer.token("one", "ES256", aud="chat", iss="other"),
            "token_user": issuer.token("one", "ES256", aud="chat", iss="me", sub="auth0|alice"),
        }
        async with httpx.AsyncClient(base_url=f"{up.url}/api/v1/") as http:

            async def call(bearer: str) -> httpx.Response:
                return await http.get("realtime.connect", headers={"Authorization": f"Bearer {bearer}"})

            assert (await call(good)).status_code == 200
            for code, bad in others.items():
                refused = await call(bad)
                assert (refused.status_code, refused.json()["code"]) == (401, code)
                frame = {"type": "auth", "token": bad, "device_id": new_device_id()}
                listener = await open_raw(up.ws_url, json.dumps(frame))
                assert await listener.is_closed() == 4401
                assert (listener.connection.close_reason or "").startswith(f"{code}: ")


def auth_of(user_id: str) -> str:
    return json.dumps({"type": "auth", "token": token(user_id), "device_id": new_device_id()})


async def test_one_user_and_strangers_fill_no_instance(alone: Cluster) -> None:
    up = await alone.start("up", "up", MAX_UNAUTHENTICATED="2", MAX_USER_SOCKETS="2", AUTH_TIMEOUT_S="120")
    async with listening(up.ws_url, "alice", "alice") as devices:
        third = await open_raw(up.ws_url, auth_of("alice"))
        assert await third.is_closed() == 1013
        assert "retry_after_ms=" in (third.connection.close_reason or "")
        mute = [await connect(up.ws_url) for _ in range(3)]
        async with asyncio.timeout(WITHIN_S):
            await mute[2].wait_closed()
        assert mute[2].close_code == 1013
        await mute[0].close()

        async def let_in() -> bool:
            bob = await open_raw(up.ws_url, auth_of("bob"))
            await bob.until(lambda: bool(bob.frames) or bob.close_code is not None)
            await bob.close()
            return bool(bob.of_type("auth.ok"))

        await eventually(let_in, WITHIN_S)
        await mute[1].close()
        assert all(device.close_code is None for device in devices)


async def test_a_frame_may_be_as_large_as_all_that_rest_takes_once_the_client_is_known(up: Service) -> None:
    async with listening(up.ws_url, "alice") as [alice]:
        await alice.send("ping", padding="x" * 600_000)
        await alice.receives("pong")
    stranger = await open_raw(up.ws_url, json.dumps({"type": "auth", "token": "x" * 17_000}))
    assert await stranger.is_closed() == 1009


async def test_head_is_answered_where_get_is(up: Service) -> None:
    async with httpx.AsyncClient(base_url=up.url) as http:
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
            head = await http.head(path)
            assert (head.status_code, head.content) == (200, b"")
            assert int(head.headers["content-length"]) > 0
        assert (await http.get("/healthz")).status_code == 200, "on the same connection"


async def test_sigterm_takes_new_work_for_the_grace_while_readyz_says_no(alone: Cluster) -> None:
    up = await alone.start("up", "up", DRAIN_GRACE_S="12", DRAIN_TIMEOUT_S="5")
    caller = Caller(up.url)
    await caller.create("alice", "general")
    stopping = asyncio.create_task(up.stop())
    async with listening(up.ws_url, "alice") as [alice]:
        await eventually(lambda: is_in_state(up, (503, False)), WITHIN_S)
        await caller.say("alice", "general", "still here")
        await alice.until(lambda: alice.texts() == ["still here"])
        assert await alice.is_closed() == 1012
    assert await stopping == 0
    await caller.close()
