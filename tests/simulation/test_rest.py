import asyncio
from collections.abc import Awaitable, Callable

import pytest

from fanout.events import timestamp
from tests.simulation.people import People
from tests.simulation.plan import Action
from tests.simulation.rest import look, unrest
from tests.simulation.world import World
from tests.support.simulated import in_world

Disturb = Callable[[World, People], Awaitable[None]]


async def settled(world: World) -> People:
    """People in a tier that is at rest, with a connected device and a message."""
    people = People(world)
    await people.act(Action(0.0, "connect", "ann-phone"))
    await asyncio.sleep(3.0)
    await people.post("bob", "room1")
    await asyncio.sleep(3.0)
    assert await unrest(world, people) == []
    return people


def unrest_after(disturb: Disturb) -> str:
    """What is not at rest after something was disturbed."""

    async def work(world: World) -> str:
        people = await settled(world)
        await disturb(world, people)
        return "; ".join(await unrest(world, people))

    return in_world(work)  # type: ignore[no-any-return]


def test_what_log_and_stores_hold_is_found() -> None:
    async def work(world: World) -> None:
        await settled(world)
        found = await look(world)
        ((seq, name),) = found.held.items()
        assert name == "m1"
        assert found.channels == {seq: "room1"}
        assert found.dead == 0
        assert [(message.seq, message.client_msg_id) for message in found.history["room1"]] == [(seq, "m1")]
        assert found.members == {"room1": ["ann", "bob"]}

    in_world(work)


def test_a_call_may_be_under_way() -> None:
    async def work(world: World) -> None:
        people = await settled(world)
        for link in world.servers.network.links_of("stores", "gateway1"):
            link.slowness += 0.4
        # It asks the store twice, so it takes longer than the gateway's report.
        call = asyncio.ensure_future(world.call("ann", "POST", "channels.join", {"channel": "room1"}))
        await asyncio.sleep(0.1)
        assert await unrest(world, people) == []
        assert not call.done()
        assert await call is not None

    in_world(work)


async def kill_a_worker(world: World, _people: People) -> None:
    await asyncio.sleep(0)
    world.processes["worker1"].kill()


async def drop_a_device(_world: World, people: People) -> None:
    await asyncio.sleep(0)
    people.devices["ann-phone"].session = None


async def cut_nats(world: World, _people: People) -> None:
    for link in world.servers.network.links_of("nats", "writer1"):
        link.cut()
    await asyncio.sleep(3.0)


async def forget_the_user(world: World, _people: People) -> None:
    await asyncio.sleep(0)
    worker = world.processes["worker1"].worker
    assert worker is not None
    worker._engine.user_offline("ann", "instance1")


async def change_a_membership(world: World, _people: People) -> None:
    await world.servers.asked("stores", lambda: world.servers.memberships.remove("room1", "ann", timestamp()))


async def empty_redis(world: World, _people: People) -> None:
    await asyncio.sleep(0)
    world.servers.empty_redis()


async def leave_tasks(world: World, _people: People) -> None:
    host = world.processes["worker1"].host
    host.machine.kept = host.start(asyncio.sleep(900.0), "left over")  # type: ignore[attr-defined]
    await asyncio.sleep(0)


async def leave_a_reader(world: World, _people: People) -> None:
    worker = world.processes["worker1"].worker
    assert worker is not None
    await asyncio.sleep(0)
    worker.partitions._claims.clear()


@pytest.mark.parametrize(
    ("disturb", "said"),
    [
        (kill_a_worker, "worker1 not started"),
        (drop_a_device, "ann-phone is not connected"),
        (cut_nats, "writer1 is not ready"),
        (forget_the_user, "worker1 has none on instance1, and connected there: ann"),
        (change_a_membership, "changes of memberships are not published"),
        (change_a_membership, "worker1 has ann in room1, who is in none"),
        (change_a_membership, "instance1 has ann in room1, who is in none"),
        (empty_redis, "the leases are of none"),
        (empty_redis, "presence has no record of"),
        (leave_tasks, "worker1 keeps tasks that it had not when it started: 1 of sleep"),
        (leave_a_reader, "1 of Partitions._read, 1 of Partitions._read_batches"),
    ],
)
def test_what_is_not_at_rest_is_said(disturb: Disturb, said: str) -> None:
    assert said in unrest_after(disturb)
