"""Which instances are dead: those without a lease that are silent, unless nobody could have shown a sign of life."""

import pytest

from fanout import Unavailable
from fanout.keys import LEASE_TTL_S
from fanout.ports.presence import Lease
from services.fan_out.known_instance import KnownInstance
from services.fan_out.liveness import PAUSED_AFTER_S, Liveness, note_leases
from services.fan_out.metrics import INSTANCES_WITHOUT_LEASE
from tests.support.faulty import FaultyBus, FaultyPresence


class World:
    def __init__(self) -> None:
        self.now = 1_000.0
        self.bus = FaultyBus()
        self.presence = FaultyPresence(clock=lambda: self.now)
        self.liveness = Liveness(self.presence, self.bus, lambda: self.now)

    async def wait(self, seconds: float) -> None:
        """Let time go by, in which the leases are read each second."""
        for _ in range(round(seconds)):
            self.now += 1
            await self.liveness.leases()

    async def dead(self, **instances: KnownInstance) -> list[str]:
        return [name for name, _ in await self.liveness.dead(instances)]


@pytest.fixture
async def world() -> World:
    return World()


async def test_one_is_dead_without_a_lease_and_silent(world: World) -> None:
    await world.wait(100)
    silent, heard = world.now - LEASE_TTL_S - 1, world.now - LEASE_TTL_S
    assert await world.dead(
        dead=KnownInstance("1", silent),
        leased=KnownInstance("1", silent, leased=True),
        heard=KnownInstance("1", heard),
    ) == ["dead"]


async def test_nobody_is_dead_for_a_lease_after_the_leases_could_not_be_read(world: World) -> None:
    instance = KnownInstance("1", 0.0)
    world.presence.down = True
    with pytest.raises(Unavailable):
        await world.liveness.leases()
    world.presence.down = False
    await world.wait(LEASE_TTL_S - 1)
    assert await world.dead(silent=instance) == []
    await world.wait(1)
    assert await world.dead(silent=instance) == ["silent"]


async def test_nobody_is_dead_for_a_lease_after_the_bus_did_not_answer(world: World) -> None:
    instance = KnownInstance("1", 0.0)
    world.bus.down = True
    with pytest.raises(Unavailable):
        await world.dead(silent=instance)
    world.bus.down = False
    await world.wait(LEASE_TTL_S - 1)
    assert await world.dead(silent=instance) == []
    await world.wait(1)
    assert await world.dead(silent=instance) == ["silent"]


async def test_the_bus_is_not_asked_where_nobody_is_silent(world: World) -> None:
    world.bus.down = True
    assert await world.dead(heard=KnownInstance("1", world.now)) == []


async def test_nobody_is_dead_after_this_process_was_stopped(world: World) -> None:
    world.now += PAUSED_AFTER_S + 1
    await world.liveness.leases()
    assert await world.dead(silent=KnownInstance("1", 0.0)) == []


async def test_a_presence_set_is_expected_of_those_that_show_a_sign_of_life(world: World) -> None:
    await world.wait(100)
    silent = world.now - LEASE_TTL_S - 1
    assert world.liveness.is_expected(KnownInstance("1", world.now, leased=True))
    assert world.liveness.is_expected(KnownInstance("1", world.now, digest_heard=True))
    assert not world.liveness.is_expected(KnownInstance("", world.now)), "known by a hint alone"
    assert not world.liveness.is_expected(KnownInstance("1", silent, leased=True)), "it may be cut off from the bus"


async def test_the_lease_of_another_incarnation_is_none() -> None:
    instances = {"a": KnownInstance("1", 0.0), "b": KnownInstance("2", 0.0, leased=True), "c": KnownInstance("1", 0.0)}
    note_leases({name: Lease(name, "1", "ws://", "t", 0, 10) for name in ("a", "b")}, instances)
    assert {name: instance.leased for name, instance in instances.items()} == {"a": True, "b": False, "c": False}
    assert INSTANCES_WITHOUT_LEASE._value.get() == 2
