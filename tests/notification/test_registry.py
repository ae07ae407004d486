"""The sessions of an instance: what they hold goes with them."""

import pytest

from fanout.packed_ids import pack
from fanout.ports.authenticator import Identity
from services.notification.registry import Registry
from services.notification.session import Session
from tests.support.harness import Client

CHANNELS = [f"c{number}" for number in range(5)]


@pytest.fixture
def registry() -> Registry:
    return Registry()


async def come(registry: Registry, user_id: str) -> Session:
    session = Session(Client(user_id), Identity(user_id, expires_at=1e12), "phone", "notif-1", budget=1_000)
    registry.add(session)
    await registry.subscribe(session, pack(CHANNELS))
    return session


async def test_sessions_that_ended_leave_nothing_behind(registry: Registry) -> None:
    stays = await come(registry, "stays")
    for number in range(1_000):
        await registry.remove(await come(registry, f"user-{number}"))
    before = registry._engine.stats()["bytes_total"]
    for number in range(1_000, 20_000):
        await registry.remove(await come(registry, f"user-{number}"))
    assert registry._engine.stats()["bytes_total"] <= before
    assert registry._engine.occupied_instances() == {stays.session_id}


async def test_a_user_goes_with_the_last_session(registry: Registry) -> None:
    first, second = await come(registry, "ann"), await come(registry, "ann")
    await registry.remove(first)
    await registry.remove(first)
    assert registry.sessions_of("ann") == [second]
    assert registry.is_member("ann", "c0")
    await registry.remove(second)
    assert not registry.is_member("ann", "c0")
    assert (registry.users(), len(registry), registry.empty.is_set()) == ([], 0, True)
