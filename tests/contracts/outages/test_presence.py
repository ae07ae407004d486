"""Presence through the outages of its server, real and simulated: killed, frozen, restarted, emptied, full."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from typing import Any

import pytest

from fanout.errors import Unavailable
from fanout.ports.presence import UserPresence
from tests.support.presence_outages import PresenceServer, RealRedis, SimulatedRedis
from tests.support.presence_worlds import AT_LAPTOP, AT_PHONE, lease_of
from tests.support.reading import soon, until
from tests.support.simulated_worlds import SIMULATED, SimulatedTier

LEASE = lease_of("notif-1")
NEWEST = replace(AT_LAPTOP, order=1 << 52)


@pytest.fixture(params=["redis", SIMULATED])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[PresenceServer]:
    if request.param == SIMULATED:
        async with SimulatedTier.opened() as tier:
            yield SimulatedRedis(tier)
        return
    real = await RealRedis.open(request.getfixturevalue("redis_server"))
    yield real
    await real.close()


def writes(presence: Any) -> dict[str, Awaitable[Any]]:
    return {
        "connect": presence.connect(AT_LAPTOP),
        "renew": presence.renew([NEWEST]),
        "lease": presence.lease(LEASE),
    }


def other_calls(presence: Any) -> dict[str, Awaitable[Any]]:
    return {
        "disconnect": presence.disconnect(AT_LAPTOP, last=True),
        "release": presence.release("notif-1"),
        "connections_of": presence.connections_of("alice"),
        "locations_of": presence.locations_of("alice"),
        "leases": presence.leases(),
        "presences_of": presence.presences_of(["alice"]),
        "set_status": presence.set_status("alice", "hello", ":wave:"),
        "sweep": presence.sweep(10),
        "untold": presence.untold(10),
        "told": presence.told([UserPresence("alice")]),
        "changed_within": presence.changed_within(10),
        "ping": presence.ping(),
    }


async def refused(calls: dict[str, Awaitable[Any]]) -> dict[str, type]:
    """The calls that fail, and their errors."""
    results = await asyncio.gather(*calls.values(), return_exceptions=True)
    named = zip(calls, results, strict=True)
    return {name: type(result) for name, result in named if isinstance(result, BaseException)}


async def test_while_it_is_down_every_call_says_so(server: PresenceServer) -> None:
    server.kill()
    calls = writes(server.presence) | other_calls(server.presence)
    assert await refused(calls) == dict.fromkeys(calls, Unavailable)


async def test_while_it_is_frozen_every_call_says_so_within_the_timeout(server: PresenceServer) -> None:
    server.pause()
    calls = writes(server.presence) | other_calls(server.presence)
    assert await soon(refused(calls)) == dict.fromkeys(calls, Unavailable)
    server.resume()
    await until(server.answers)


async def test_what_a_frozen_server_was_sent_it_may_do_when_it_goes_on(server: PresenceServer) -> None:
    await server.presence.lease(LEASE)
    server.pause()
    with pytest.raises(Unavailable):
        await soon(server.presence.lease(lease_of("notif-1", connections=7)))
    server.resume()
    await until(server.answers)
    assert (await server.presence.leases())["notif-1"].connections == 7


async def test_a_full_one_refuses_what_needs_memory_and_does_all_else(server: PresenceServer) -> None:
    await asyncio.gather(*writes(server.presence).values())
    await server.fill()
    assert await refused(writes(server.presence)) == dict.fromkeys(["connect", "renew", "lease"], Unavailable)
    assert await refused(other_calls(server.presence)) == {}
    await server.make_room()
    assert await refused(writes(server.presence)) == {}


async def test_a_restart_loses_nothing(server: PresenceServer) -> None:
    await server.presence.lease(LEASE)
    await server.presence.connect(AT_PHONE)
    server.kill()
    server.start()
    assert await server.presence.leases() == {"notif-1": LEASE}
    assert await server.presence.connections_of("alice") == [AT_PHONE]


async def test_an_emptied_one_has_nothing_until_it_is_written_again(server: PresenceServer) -> None:
    await server.presence.lease(LEASE)
    await server.presence.connect(AT_LAPTOP)
    server.kill()
    server.start(emptied=True)
    assert await server.presence.leases() == {}
    await server.presence.lease(LEASE)
    assert await server.presence.connections_of("alice") == []
    await server.presence.renew([NEWEST])
    assert await server.presence.connections_of("alice") == [AT_LAPTOP]
    assert await server.presence.locations_of("alice") == {"notif-1"}
