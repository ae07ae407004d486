import asyncio
from typing import Any

import pytest

from tests.simulation.people import GIVES_UP_AFTER_S, People
from tests.simulation.plan import Action
from tests.simulation.processes import HEARTBEAT_S
from tests.simulation.world import World
from tests.support.simulated import in_world


def messages(world: World) -> list[str]:
    """The messages that devices got."""
    frames = [about["frame"] for about in of(world, "frame")]
    return [frame["message"]["client_msg_id"] for frame in frames if frame["type"] == "message.new"]


def of(world: World, *kinds: str) -> list[dict[str, Any]]:
    return [entry.about for entry in world.history.of(*kinds)]


async def connected(world: World) -> People:
    """People of whom the one device is connected."""
    people = People(world)
    await people.act(Action(0.0, "connect", "ann-phone"))
    await asyncio.sleep(3.0)
    assert people.devices["ann-phone"].session is not None
    return people


def test_a_device_connects_gets_messages_and_sends_heartbeats() -> None:
    async def work(world: World) -> None:
        people = await connected(world)
        (opened,) = of(world, "opened")
        assert 0.0 < opened.pop("admitted") < world.loop.time()
        assert opened == {"device": "ann-phone", "session": 1, "user": "ann", "instance": "instance1"}
        assert await people.post("bob", "room1", 100) == "m1"
        await asyncio.sleep(2 * HEARTBEAT_S)
        assert messages(world) == ["m1"]
        assert any(about["frame"]["type"] == "heartbeat.ok" for about in of(world, "frame"))
        assert of(world, "posts") == [{"user": "bob", "channel": "room1", "message": "m1"}]
        assert [about["message"] for about in of(world, "accepted")] == ["m1"]

    in_world(work)


def test_a_device_reads_its_channels_when_it_is_connected_and_told_and_with_heartbeats() -> None:
    async def work(world: World) -> None:
        people = People(world)
        await people.post("bob", "room1")
        await asyncio.sleep(3.0)
        await people.act(Action(0.0, "connect", "ann-phone"))
        await asyncio.sleep(3.0)
        device = people.devices["ann-phone"]
        (read,) = of(world, "history")
        assert (read["device"], read["channel"], [name for _, name, _ in read["messages"]]) == (
            "ann-phone",
            "room1",
            ["m1"],
        )
        assert device.catching_up.is_done
        world.processes["writer1"].kill()
        await people.post("bob", "room1")
        device._take(1, {"type": "full_refresh_required", "reason": "gap"})
        await asyncio.sleep(1.0)
        again = of(world, "history")[-1]
        assert (again["messages"], again["newest"]) == (read["messages"], 2)
        await asyncio.sleep(2 * HEARTBEAT_S)
        assert len(of(world, "history")) == 4
        assert not device.catching_up.is_done
        world.processes["writer1"].start()
        await asyncio.sleep(4 * HEARTBEAT_S)
        assert device.catching_up.is_done
        count = len(of(world, "history"))
        await asyncio.sleep(3 * HEARTBEAT_S)
        assert len(of(world, "history")) == count

    in_world(work)


def test_a_device_whose_session_has_ended_reads_no_more() -> None:
    async def work(world: World) -> None:
        people = await connected(world)
        world.processes["gateway1"].kill()
        people.devices["ann-phone"]._take(1, {"type": "full_refresh_required", "reason": "gap"})
        await asyncio.sleep(HEARTBEAT_S)
        assert not people.devices["ann-phone"].catching_up.is_done
        await people.act(Action(0.0, "disconnect", "ann-phone"))
        world.processes["gateway1"].start()
        read = of(world, "history")
        await asyncio.sleep(3 * HEARTBEAT_S)
        assert of(world, "history") == read

    in_world(work)


def test_a_device_that_disconnects_stays_away_until_it_connects() -> None:
    async def work(world: World) -> None:
        people = await connected(world)
        await people.act(Action(0.0, "disconnect", "ann-phone"))
        await asyncio.sleep(5.0)
        assert people.devices["ann-phone"].session is None
        assert [about["code"] for about in of(world, "closed")] == [1000]
        await people.act(Action(0.0, "connect", "ann-phone"))
        await asyncio.sleep(3.0)
        assert people.devices["ann-phone"].session == 2

    in_world(work)


def test_a_device_connects_again_after_its_instance_has_gone() -> None:
    async def work(world: World) -> None:
        people = await connected(world)
        world.processes["instance1"].kill()
        await asyncio.sleep(2.0)
        assert people.devices["ann-phone"].session is None
        world.processes["instance1"].start()
        await asyncio.sleep(10.0)
        assert people.devices["ann-phone"].session is not None
        assert [about["code"] for about in of(world, "closed")] == [1006]

    in_world(work)


def test_a_device_that_has_no_network_for_a_while_hears_nothing_and_connects_again() -> None:
    async def work(world: World) -> None:
        people = await connected(world)
        losing = asyncio.ensure_future(people.act(Action(0.0, "lose network", "ann-phone", seconds=4.0)))
        await asyncio.sleep(1.0)
        await people.post("bob", "room1")
        await losing
        assert of(world, "frame") == []
        assert of(world, "closed")[0]["code"] == 1006
        await asyncio.sleep(8.0)
        assert people.devices["ann-phone"].session == 2
        assert of(world, "loses network") == [{"device": "ann-phone", "seconds": 4.0}]

    in_world(work)


def test_a_device_gives_up_a_connection_over_which_nothing_comes() -> None:
    async def work(world: World) -> None:
        people = await connected(world)
        world.loop.pause(world.processes["instance1"].host)
        await asyncio.sleep(GIVES_UP_AFTER_S + 2 * HEARTBEAT_S)
        world.loop.resume(world.processes["instance1"].host)
        assert [about["reason"] for about in of(world, "closed")] == ["nothing was heard for long"]
        await asyncio.sleep(10.0)
        assert people.devices["ann-phone"].session is not None

    in_world(work)


def test_a_device_that_does_not_read_gets_everything_later() -> None:
    async def work(world: World) -> None:
        people = await connected(world)
        stopping = asyncio.ensure_future(people.act(Action(0.0, "stop reading", "ann-phone", seconds=3.0)))
        await asyncio.sleep(0.1)
        await people.post("bob", "room1")
        await asyncio.sleep(1.0)
        assert of(world, "frame") == []
        await stopping
        await asyncio.sleep(1.0)
        assert messages(world) == ["m1"]

    in_world(work)


def test_a_device_heals_at_once() -> None:
    async def work(world: World) -> None:
        people = await connected(world)
        asyncio.ensure_future(people.act(Action(0.0, "stop reading", "ann-phone", seconds=90.0)))  # noqa: RUF006
        await asyncio.sleep(0.1)
        await people.post("bob", "room1")
        await asyncio.sleep(1.0)
        assert messages(world) == []
        people.devices["ann-phone"].heal()
        await asyncio.sleep(1.0)
        assert messages(world) == ["m1"]

    in_world(work)


def test_a_user_repeats_a_message_until_it_is_accepted() -> None:
    async def work(world: World) -> None:
        people = await connected(world)
        world.servers.full["nats"] += 1
        posting = asyncio.ensure_future(people.post("bob", "room1"))
        await asyncio.sleep(3.0)
        assert of(world, "accepted") == []
        world.servers.full.clear()
        await posting
        assert [about["message"] for about in of(world, "accepted")] == ["m1"]

    in_world(work)


def test_a_message_that_is_refused_is_not_repeated() -> None:
    async def work(world: World) -> None:
        people = await connected(world)
        await people.post("eve", "room1")
        (refused,) = of(world, "not accepted")
        assert 400 <= refused["status"] < 500
        assert world.loop.time() < 7.0

    in_world(work)


def test_a_user_gives_up_a_message_that_is_never_answered() -> None:
    async def work(world: World) -> None:
        world.processes["gateway1"].kill()
        await People(world).post("bob", "room1")
        assert of(world, "not accepted") == [{"user": "bob", "message": "m1", "status": 0}]

    in_world(work)


@pytest.mark.parametrize(
    ("action", "users"),
    [
        (Action(0.0, "join", "eve", "room1"), ["eve"]),
        (Action(0.0, "leave", "bob", "room1"), ["bob"]),
        (Action(0.0, "invite", "ann", "room1", "eve"), ["eve"]),
        (Action(0.0, "create", "ann", "new1", "eve"), ["ann", "eve"]),
    ],
    ids=lambda value: value.what if isinstance(value, Action) else "",
)
def test_changes_of_memberships_are_asked_for_and_answered(action: Action, users: list[str]) -> None:
    async def work(world: World) -> None:
        await People(world).act(action)
        (asked,) = of(world, "asks")
        assert asked == {"call": 1, "to": action.what, "user": action.who, "channel": action.channel, "users": users}
        (answered,) = of(world, "answered")
        assert answered["call"] == 1
        assert answered["status"] in {200, 201}
        members = await world.servers.asked("stores", lambda: world.servers.memberships.members_of(action.channel))
        for user in users:
            assert (user in members) == (action.what != "leave")

    in_world(work)


def test_somebody_who_types_is_seen_by_the_others() -> None:
    async def work(world: World) -> None:
        people = await connected(world)
        sent: list[str] = []
        wire = people.devices["ann-phone"]._wire
        assert wire is not None
        wire.send = lambda kind, **fields: sent.append(f"{kind} {fields['channel_id']}")  # type: ignore[method-assign]
        await people.act(Action(0.0, "type", "ann-phone", "room1"))
        assert sent == ["typing.start room1"]

    in_world(work)
