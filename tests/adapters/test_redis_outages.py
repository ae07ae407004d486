"""Presence through the outages of its server: refused, killed, frozen, restarted, emptied."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from fanout.errors import Unavailable
from fanout.ports.presence import DeviceConnection, Lease
from services.adapters.redis import client
from services.adapters.redis.presence import RedisPresence
from tests.support.reading import PATIENCE_S, until
from tests.support.servers import RedisServer, free_port

DEVICE = "dev_desktop_01HZ0000000000000000000000"
CONNECTION = DeviceConnection("alice", DEVICE, "notif-1", "2026-02-01T10:30:00.000Z")
NEWEST = replace(CONNECTION, order=1 << 52)
LEASE = Lease("notif-1", "incarnation", "ws://127.0.0.1:8081/ws", "2026-02-01T10:00:00.000Z", 0, 10)
IMPATIENT_S = 0.5
"""Soon over where the server is frozen, and enough for one that is not."""


@pytest.fixture
async def presence(redis_server: RedisServer) -> AsyncIterator[RedisPresence]:
    opened = await RedisPresence.open(redis_server.url)
    yield opened
    await opened.close()


async def _answers(presence: RedisPresence) -> bool | None:
    try:
        await presence.ping()
    except Unavailable:
        return None
    return True


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await RedisPresence.open(f"redis://127.0.0.1:{free_port()}")


async def test_a_database_that_the_server_has_not_is_unavailable(redis_url: str) -> None:
    with pytest.raises(Unavailable, match=rf"at {redis_url}/99: DB index is out of range"):
        await RedisPresence.open(f"{redis_url}/99")


async def test_a_server_of_another_kind_is_unavailable_and_no_password_is_quoted(nats_url: str) -> None:
    address = nats_url.removeprefix("nats://")
    with pytest.raises(Unavailable) as caught:
        await RedisPresence.open(f"redis://user:hunter2@{address}/0?password=hunter2")
    assert f"at redis://{address}/0: " in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_a_url_of_something_else_is_an_error() -> None:
    with pytest.raises(ValueError, match="scheme"):
        await RedisPresence.open("http://127.0.0.1")


async def test_a_server_that_takes_no_writes_for_now_is_unavailable(
    presence: RedisPresence, redis_server: RedisServer
) -> None:
    """Its replicas are away, or its disk is full: that ends by itself, as any outage."""
    async with Redis.from_url(redis_server.url) as other:
        await presence.connect(CONNECTION)
        await other.config_set("min-replicas-to-write", 1)
        writes = [
            presence.connect(CONNECTION),
            presence.renew([NEWEST]),
            presence.disconnect(CONNECTION, last=True),
            presence.lease(LEASE),
            presence.release("notif-1"),
        ]
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert [type(result) for result in results] == [Unavailable] * len(writes)
        await other.config_set("min-replicas-to-write", 0)
        await presence.lease(LEASE)


@pytest.mark.parametrize("refused", ["-@write", "-@scripting", "resetkeys"])
async def test_permissions_that_were_taken_away_are_an_outage(
    presence: RedisPresence, redis_server: RedisServer, refused: str
) -> None:
    await presence.lease(LEASE)
    admin: Any
    async with Redis.from_url(redis_server.url) as admin:
        await admin.execute_command("ACL", "SETUSER", "admin", "on", ">secret", "~*", "&*", "+@all")
        await admin.execute_command("ACL", "SETUSER", "default", refused)
        for call in (presence.connect(CONNECTION), presence.renew([NEWEST]), presence.lease(LEASE)):
            with pytest.raises(Unavailable):
                await call
        await admin.execute_command("AUTH", "admin", "secret")
        await admin.execute_command("ACL", "SETUSER", "default", "~*", "+@all")
    await presence.lease(LEASE)


async def test_without_a_permission_for_the_channel_all_is_recorded_and_nothing_published(
    presence: RedisPresence, redis_server: RedisServer
) -> None:
    admin: Any
    async with Redis.from_url(redis_server.url) as admin:
        await admin.execute_command("ACL", "SETUSER", "admin", "on", ">secret", "~*", "&*", "+@all")
        await admin.execute_command("ACL", "SETUSER", "default", "resetchannels")
        await presence.connect(CONNECTION)
        await presence.lease(LEASE)
        assert await presence.locations_of("alice") == {"notif-1"}
        await presence.disconnect(CONNECTION, last=True)
        assert await presence.locations_of("alice") == frozenset()
        await admin.execute_command("AUTH", "admin", "secret")
        await admin.execute_command("ACL", "SETUSER", "default", "allchannels")


async def test_a_password_that_was_changed_is_an_outage(presence: RedisPresence, redis_server: RedisServer) -> None:
    admin: Any
    async with Redis.from_url(redis_server.url) as admin:
        await admin.config_set("requirepass", "secret")
        await admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        for call in (presence.leases(), presence.connect(CONNECTION), presence.renew([CONNECTION])):
            with pytest.raises(Unavailable):
                await call


@pytest.mark.parametrize(
    "said",
    [
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        "Command # 1 (EVALSHA abc 3 conn:a) of pipeline caused error: NOREPLICAS Not enough good replicas to write.",
    ],
)
def test_what_it_says_while_it_cannot_write(said: str) -> None:
    with pytest.raises(Unavailable), client.reaching("anything"):
        raise ResponseError(said)


def test_a_call_that_is_wrong_is_no_outage() -> None:
    with pytest.raises(ResponseError), client.reaching("anything"):
        raise ResponseError("ERR wrong number of arguments for 'hset' command")


async def test_after_a_restart_the_next_call_succeeds(presence: RedisPresence, redis_server: RedisServer) -> None:
    await presence.lease(LEASE)
    await asyncio.gather(*(presence.ping() for _ in range(5)))
    redis_server.restart()
    await presence.lease(LEASE)
    assert await presence.leases() == {"notif-1": LEASE}


async def test_a_frozen_server_is_unavailable_within_the_timeout_and_back_after(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TIMEOUT_S", IMPATIENT_S)
    presence = await RedisPresence.open(redis_server.url)
    redis_server.pause()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(Unavailable):
            await presence.connect(CONNECTION)
        with pytest.raises(Unavailable):
            await presence.ping()
    redis_server.resume()
    await until(lambda: _answers(presence))
    await presence.close()
