import asyncio

from tests.simulation.last_looks import last_looks
from tests.simulation.people import People
from tests.simulation.plan import Action
from tests.simulation.world import World
from tests.support.simulated import in_world


async def talked(world: World) -> People:
    people = People(world)
    await people.act(Action(0.0, "connect", "ann-phone"))
    await asyncio.sleep(3.0)
    for _ in range(3):
        await people.post("bob", "room1")
    await people.act(Action(0.0, "reply", "bob", "room1"))
    await asyncio.sleep(2.0)
    return people


def test_devices_mark_channels_and_then_users_look_at_everything() -> None:
    async def work(world: World) -> None:
        people = await talked(world)
        for _ in range(6):  # chance decides whether a channel is marked
            assert await last_looks(world, people, 10.0) == []
        kinds = [entry.what for entry in world.history.entries]
        assert "marks read" in kinds[kinds.index("last marks") :]
        listed = world.history.of("lists")
        assert (
            {entry.about["user"] for entry in listed}
            == {"ann", "bob"}
            == {entry.about["user"] for entry in world.history.of("counts")}
        )
        threads = world.history.of("thread")
        assert {entry.about["user"] for entry in threads} == {"ann", "bob"}
        assert all(entry.about["at_rest"] for entry in [*listed, *threads])
        mark = world.history.of("marks read")[-1]
        begin = [entry.at for entry in world.history.of("last looks")]
        assert any(mark.at < at < mark.at + 2.0 for at in begin)

    in_world(work)


def test_what_is_never_counted_is_said() -> None:
    async def work(world: World) -> None:
        people = People(world)
        world.processes["writer1"].kill()
        for _ in range(3):
            await people.post("bob", "room1")
        (broken,) = await last_looks(world, people, 5.0)
        assert broken.promise == "rest"
        assert "events of the log are not handled" in broken.what
        assert not world.history.of("last marks")

    in_world(work)
