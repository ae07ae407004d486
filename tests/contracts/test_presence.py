"""The contract of `fanout.ports.presence.Presence`, over every adapter."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from fanout.keys import CONNECTION_TTL_S, LEASE_TTL_S, PRESENCE_CHANGES, PresenceChange
from fanout.ports.presence import Connection, Lease, Presence
from services.adapters.embedded.presence import EmbeddedPresence
from services.adapters.redis.presence import RedisPresence
from services.runtime.skipping import HANDLERS_FAILED
from tests.support.faulty import FaultyPresence
from tests.support.observing import until
from tests.support.reading import PATIENCE_S

LAPTOP = "dev_desktop_01HZ0000000000000000000000"
PHONE = "dev_ios_01HZ0000000000000000000000"
AT_LAPTOP = Connection(
    "alice", LAPTOP, "notif-1", "2026-02-01T10:30:00.000Z", "idle", "general", "2026-02-01T10:31:00.000Z"
)
AT_PHONE = Connection("alice", PHONE, "notif-2", "2026-02-01T10:30:00.000Z")


class World(ABC):
    """One adapter, and the power to let time pass for it."""

    presence: Presence

    @abstractmethod
    async def elapse(self, seconds: float) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...


class EmbeddedWorld(World):
    def __init__(self, adapter: type[EmbeddedPresence]) -> None:
        self._now = 1_000.0
        self._presence = adapter(clock=lambda: self._now)
        self.presence = self._presence

    async def elapse(self, seconds: float) -> None:
        self._now += seconds

    async def close(self) -> None:
        await self._presence.close()


class RedisWorld(World):
    """Moves every time in the server towards its end, instead of waiting."""

    def __init__(self, presence: RedisPresence, client: Redis) -> None:
        self._presence = presence
        self._client = client
        self.presence = presence

    @classmethod
    async def open(cls, url: str, prefix: str) -> "RedisWorld":
        client = Redis.from_url(url, decode_responses=True, protocol=2)
        await client.flushdb()
        return cls(await RedisPresence.open(url, prefix=prefix, deployment="dep_test"), client)

    async def elapse(self, seconds: float) -> None:
        async for key in self._client.scan_iter():
            left = await self._client.pttl(key)
            if left >= 0:
                await self._client.pexpire(key, int(left - seconds * 1000))
        async for key in self._client.scan_iter("*presence:user:*"):
            for name in map(str, await self._client.hkeys(key)):
                if name.startswith("on:"):
                    await self._client.hincrby(key, name, -int(seconds))

    async def close(self) -> None:
        await self._presence.close()
        await self._client.aclose()


EMBEDDED: dict[str, type[EmbeddedPresence]] = {"embedded": EmbeddedPresence, "faulty": FaultyPresence}


@pytest.fixture(params=["embedded", "faulty", "redis", "redis with a prefix"])
def kind(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def server(request: pytest.FixtureRequest, kind: str) -> str | None:
    if kind in EMBEDDED:
        return None
    url: str = request.getfixturevalue("redis_url")
    return url


@pytest.fixture
async def world(server: str | None, kind: str) -> AsyncIterator[World]:
    prefix = "blue" if kind == "redis with a prefix" else ""
    world = EmbeddedWorld(EMBEDDED[kind]) if server is None else await RedisWorld.open(server, prefix)
    for instance_id in ("notif-1", "notif-2"):
        await world.presence.lease(_lease(instance_id))
    yield world
    await world.close()


@pytest.fixture
def presence(world: World) -> Presence:
    return world.presence


def _lease(instance_id: str, *, connections: int = 0) -> Lease:
    return Lease(
        instance_id=instance_id,
        incarnation="01HZ0000000000000000000001",
        address="ws://127.0.0.1:8081/ws",
        started_at="2026-02-01T10:00:00.000Z",
        connections=connections,
        capacity=10_000,
    )


class Heard:
    """Collects hints, and waits for as many as are expected."""

    def __init__(self) -> None:
        self.changes: list[PresenceChange] = []
        self._more = asyncio.Event()

    def __call__(self, change: PresenceChange) -> None:
        self.changes.append(change)
        self._more.set()

    async def until(self, count: int) -> list[PresenceChange]:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.changes) < count:
                self._more.clear()
                await self._more.wait()
        return self.changes


async def test_a_strangers_first_connection_had_no_instance_before(presence: Presence) -> None:
    assert await presence.connect(AT_LAPTOP) is None


async def test_a_connection_is_found_whole(presence: Presence) -> None:
    await presence.connect(AT_LAPTOP)
    assert await presence.connections_of("alice") == [AT_LAPTOP]


async def test_a_connection_without_a_focused_channel_is_found_whole(presence: Presence) -> None:
    await presence.connect(AT_PHONE)
    assert await presence.connections_of("alice") == [AT_PHONE]


async def test_connections_come_by_device_id(presence: Presence) -> None:
    await presence.connect(AT_PHONE)
    await presence.connect(AT_LAPTOP)
    assert await presence.connections_of("alice") == [AT_LAPTOP, AT_PHONE]


async def test_connections_are_of_one_user(presence: Presence) -> None:
    await presence.connect(AT_LAPTOP)
    assert await presence.connections_of("bob") == []
    assert await presence.locations_of("bob") == frozenset()


async def test_a_user_is_on_every_instance_that_holds_a_device(presence: Presence) -> None:
    await presence.connect(AT_LAPTOP)
    await presence.connect(AT_PHONE)
    assert await presence.locations_of("alice") == {"notif-1", "notif-2"}


async def test_a_device_that_moves_names_the_instance_it_left(presence: Presence) -> None:
    await presence.connect(AT_LAPTOP)
    moved = replace(AT_LAPTOP, instance_id="notif-2", connected_at="2026-02-01T10:40:00.000Z")
    assert await presence.connect(moved) == "notif-1"
    assert await presence.connections_of("alice") == [moved]


async def test_another_device_of_the_user_is_no_move(presence: Presence) -> None:
    await presence.connect(AT_LAPTOP)
    assert await presence.connect(AT_PHONE) is None


async def test_a_disconnected_device_is_forgotten(presence: Presence) -> None:
    await presence.connect(AT_LAPTOP)
    await presence.disconnect(AT_LAPTOP, last=True)
    assert await presence.connections_of("alice") == []
    assert await presence.locations_of("alice") == frozenset()
    assert await presence.connect(AT_LAPTOP) is None


async def test_while_others_remain_on_the_instance_the_user_stays(presence: Presence) -> None:
    second = replace(AT_PHONE, instance_id="notif-1")
    await presence.connect(AT_LAPTOP)
    await presence.connect(second)
    await presence.disconnect(AT_LAPTOP, last=False)
    assert await presence.connections_of("alice") == [second]
    assert await presence.locations_of("alice") == {"notif-1"}


async def test_a_user_leaves_each_instance_on_its_own(presence: Presence) -> None:
    await presence.connect(AT_LAPTOP)
    await presence.connect(AT_PHONE)
    await presence.disconnect(AT_LAPTOP, last=True)
    assert await presence.locations_of("alice") == {"notif-2"}
    assert await presence.connections_of("alice") == [AT_PHONE]


async def test_a_late_disconnect_does_not_wipe_a_device_that_reconnected_elsewhere(presence: Presence) -> None:
    moved = replace(AT_LAPTOP, instance_id="notif-2", connected_at="2026-02-01T10:40:00.000Z")
    await presence.connect(AT_LAPTOP)
    await presence.connect(moved)
    await presence.disconnect(AT_LAPTOP, last=True)
    assert await presence.connections_of("alice") == [moved]
    assert await presence.locations_of("alice") == {"notif-2"}


async def test_a_late_disconnect_does_not_wipe_a_device_that_reconnected_to_the_same_instance(
    presence: Presence,
) -> None:
    again = replace(AT_LAPTOP, connected_at="2026-02-01T10:40:00.000Z")
    await presence.connect(AT_LAPTOP)
    await presence.connect(again)
    await presence.disconnect(AT_LAPTOP, last=False)
    assert await presence.connections_of("alice") == [again]


async def test_disconnecting_a_stranger_changes_nothing(presence: Presence) -> None:
    await presence.disconnect(AT_LAPTOP, last=True)
    assert await presence.connections_of("alice") == []


async def test_a_connection_ends_by_itself(world: World) -> None:
    await world.presence.connect(AT_LAPTOP)
    await world.elapse(CONNECTION_TTL_S + 1)
    await world.presence.lease(_lease("notif-1"))
    assert await world.presence.connections_of("alice") == []
    assert await world.presence.locations_of("alice") == frozenset()
    assert await world.presence.connect(AT_LAPTOP) is None


async def test_a_renewed_connection_lives_on(world: World) -> None:
    await world.presence.connect(AT_LAPTOP)
    await world.elapse(CONNECTION_TTL_S - 20)
    await world.presence.renew([AT_LAPTOP])
    await world.elapse(CONNECTION_TTL_S - 20)
    await world.presence.lease(_lease("notif-1"))
    assert await world.presence.connections_of("alice") == [AT_LAPTOP]
    assert await world.presence.locations_of("alice") == {"notif-1"}


async def test_an_instance_that_renews_nothing_is_no_longer_where_the_user_is(world: World) -> None:
    await world.presence.connect(AT_LAPTOP)
    await world.presence.connect(AT_PHONE)
    await world.elapse(CONNECTION_TTL_S - 20)
    await world.presence.renew([AT_PHONE])
    await world.elapse(40)
    for instance_id in ("notif-1", "notif-2"):
        await world.presence.lease(_lease(instance_id))
    assert await world.presence.locations_of("alice") == {"notif-2"}
    assert await world.presence.connections_of("alice") == [AT_PHONE]


async def test_renewing_brings_the_device_state_up_to_date(presence: Presence) -> None:
    now_active = replace(
        AT_LAPTOP, client_state="active", focused_channel=None, last_activity="2026-02-01T11:00:00.000Z"
    )
    await presence.connect(AT_LAPTOP)
    await presence.renew([now_active])
    assert await presence.connections_of("alice") == [now_active]


async def test_renewing_rewrites_what_was_lost(world: World) -> None:
    await world.presence.connect(AT_LAPTOP)
    await world.elapse(CONNECTION_TTL_S + 1)
    await world.presence.lease(_lease("notif-1"))
    await world.presence.renew([AT_LAPTOP])
    assert await world.presence.connections_of("alice") == [AT_LAPTOP]
    assert await world.presence.locations_of("alice") == {"notif-1"}


async def test_renewing_does_not_take_back_a_device_that_moved(presence: Presence) -> None:
    moved = replace(AT_LAPTOP, instance_id="notif-2", connected_at="2026-02-01T10:40:00.000Z")
    await presence.connect(AT_LAPTOP)
    await presence.connect(moved)
    await presence.renew([AT_LAPTOP])
    assert await presence.connections_of("alice") == [moved]


async def test_a_moved_device_wins_over_a_ghost_that_was_rewritten_first(world: World) -> None:
    moved = replace(AT_LAPTOP, instance_id="notif-2", connected_at="2026-02-01T10:40:00.000Z")
    await world.presence.renew([AT_LAPTOP])
    await world.presence.renew([moved])
    assert await world.presence.connections_of("alice") == [moved]


async def test_thousands_are_renewed_in_one_call(presence: Presence) -> None:
    many = [replace(AT_LAPTOP, user_id=f"user-{number}") for number in range(1_201)]
    await presence.renew(many)
    for connection in (many[0], many[600], many[-1]):
        assert await presence.connections_of(connection.user_id) == [connection]


async def test_renewing_nothing_is_fine(presence: Presence) -> None:
    await presence.renew([])
    await presence.announce([])


async def test_an_instance_without_a_lease_is_not_where_a_user_is(presence: Presence) -> None:
    await presence.connect(AT_LAPTOP)
    await presence.connect(AT_PHONE)
    await presence.release("notif-1")
    assert await presence.locations_of("alice") == {"notif-2"}


async def test_leases_are_found_whole(presence: Presence) -> None:
    assert await presence.leases() == {"notif-1": _lease("notif-1"), "notif-2": _lease("notif-2")}


async def test_a_lease_renewed_says_what_is_true_now(presence: Presence) -> None:
    await presence.lease(_lease("notif-1", connections=7))
    assert (await presence.leases())["notif-1"].connections == 7


async def test_a_lease_ends_by_itself(world: World) -> None:
    await world.elapse(LEASE_TTL_S - 2)
    await world.presence.lease(_lease("notif-2"))
    await world.elapse(3)
    assert set(await world.presence.leases()) == {"notif-2"}


async def test_a_lease_that_ended_can_be_taken_again(world: World) -> None:
    await world.elapse(LEASE_TTL_S + 1)
    assert await world.presence.leases() == {}
    await world.presence.lease(_lease("notif-1"))
    assert set(await world.presence.leases()) == {"notif-1"}


async def test_a_released_lease_ends_at_once(presence: Presence) -> None:
    await presence.release("notif-1")
    await presence.release("never-there")
    assert set(await presence.leases()) == {"notif-2"}


async def test_every_watcher_hears_every_hint_in_order(presence: Presence) -> None:
    first, second = Heard(), Heard()
    watches = [await presence.watch(first), await presence.watch(second)]
    changes = [
        PresenceChange("alice", online=True, instance_id="notif-1"),
        PresenceChange("bob", online=True, instance_id="notif-2"),
        PresenceChange("alice", online=False, instance_id="notif-1"),
    ]
    await presence.announce(changes)
    assert await first.until(3) == changes
    assert await second.until(3) == changes
    for watch in watches:
        await watch.close()


async def test_a_closed_watch_hears_nothing(presence: Presence) -> None:
    closed, open_ = Heard(), Heard()
    watch = await presence.watch(closed)
    other = await presence.watch(open_)
    await watch.close()
    await presence.announce([PresenceChange("alice", online=True, instance_id="notif-1")])
    await open_.until(1)
    assert closed.changes == []
    await other.close()


async def test_connecting_renewing_and_disconnecting_give_no_hint(presence: Presence) -> None:
    heard = Heard()
    watch = await presence.watch(heard)
    await presence.connect(AT_LAPTOP)
    await presence.renew([AT_LAPTOP])
    await presence.disconnect(AT_LAPTOP, last=True)
    mark = PresenceChange("mark", online=True, instance_id="notif-1")
    await presence.announce([mark])
    assert await heard.until(1) == [mark]
    await watch.close()


async def test_an_open_presence_answers(presence: Presence) -> None:
    await presence.ping()


async def test_a_handler_that_fails_loses_its_hint_and_no_other(presence: Presence) -> None:
    heard = list[PresenceChange]()

    def fail_once(change: PresenceChange) -> None:
        heard.append(change)
        if len(heard) == 1:
            raise LookupError("broken")

    failed = HANDLERS_FAILED.labels(PRESENCE_CHANGES)._value.get()
    watch = await presence.watch(fail_once)
    await presence.announce([PresenceChange("alice", online, "notif-1") for online in (True, False)])
    await until(lambda: [change.online for change in heard] == [True, False])
    assert HANDLERS_FAILED.labels(PRESENCE_CHANGES)._value.get() == failed + 1
    await watch.close()
