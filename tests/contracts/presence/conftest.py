"""Each adapter of presence in turn, with two instances that hold a lease."""

from collections.abc import AsyncIterator

import pytest

from services.adapters.embedded.presence import EmbeddedPresence
from tests.support.faulty import FaultyPresence
from tests.support.presence_worlds import EmbeddedWorld, RedisWorld, World, lease_of
from tests.support.simulated_worlds import SIMULATED, SimulatedPresenceWorld

EMBEDDED: dict[str, type[EmbeddedPresence]] = {"embedded": EmbeddedPresence, "faulty": FaultyPresence}


@pytest.fixture(params=["embedded", "faulty", "redis", "redis with a prefix", SIMULATED])
def kind(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def server(request: pytest.FixtureRequest, kind: str) -> str | None:
    if kind in EMBEDDED or kind == SIMULATED:
        return None
    url: str = request.getfixturevalue("redis_url")
    return url


@pytest.fixture
async def world(server: str | None, kind: str) -> AsyncIterator[World]:
    prefix = "blue" if kind == "redis with a prefix" else ""
    world: World
    if kind == SIMULATED:
        world = await SimulatedPresenceWorld.open()
    else:
        world = EmbeddedWorld(EMBEDDED[kind]) if server is None else await RedisWorld.open(server, prefix)
    for instance_id in ("notif-1", "notif-2"):
        await world.leases.lease(lease_of(instance_id))
    yield world
    await world.close()
