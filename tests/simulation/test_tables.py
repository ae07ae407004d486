import msgspec

from tests.simulation.history import Entry
from tests.simulation.hosts import HOST
from tests.simulation.plan import Action, Fault
from tests.simulation.tables import SOON_S, Tables
from tests.simulation.timeline import NEVER
from tests.simulation.world import World
from tests.support.simulated import SMALL, in_world


def followed(work: str) -> tuple[list[Entry], list[str], Tables]:
    """What is told of worker1 whose table somebody changes, and what is wrong at the end."""
    entries: list[Entry] = []

    async def change(world: World) -> Tables:
        tables = Tables(world, lambda what, of=(), **about: entries.append(Entry(0.0, what, {"of": of, **about})))
        process = world.processes["worker1"]
        worker = process.worker
        assert worker is not None
        HOST.set(process.host)
        tables.add(worker)
        tables.set_member("ann", "room1", is_member=True)
        tables.look()
        entries.clear()
        if work == "add a user":
            worker._engine.user_online("ann", "instance1", ["room1", "hall"])
        else:
            worker.partitions._claims.clear()
        tables.look()
        world.loop.virtual.now += 2 * SOON_S
        tables.look()
        tables.close()
        return tables

    tables = in_world(change)
    return entries, [wrong.what for wrong in tables.wrong], tables


def test_a_user_who_is_added_is_told_with_the_channels_and_is_wrong_if_not_connected() -> None:
    entries, wrong, tables = followed("add a user")
    about = {"of": ["ann"], "process": "worker1", "user": "ann", "instance": "instance1", "channels": ["hall", "room1"]}
    assert [(entry.what, entry.about) for entry in entries] == [("located", about)]
    assert sorted(wrong) == [
        "worker1 had ann in hall, of which ann was no member",
        "worker1 had ann on instance1, where ann was not connected",
    ]
    assert all(found.until == NEVER for found in tables.wrong)


def test_a_partition_that_is_given_up_is_told_and_is_wrong_if_nobody_reads_it() -> None:
    entries, wrong, _ = followed("give up")
    assert [(entry.what, entry.about["part"]) for entry in entries] == [("ends reading", "0")]
    assert wrong == ["no worker read partition 0"]


def test_the_membership_store_says_whether_a_change_is_one() -> None:
    async def change(world: World) -> list[bool]:
        tables = Tables(world, lambda *_args, **_options: None)
        return [tables.set_member("ann", "room1", is_member=is_member) for is_member in (True, True, False, False)]

    assert in_world(change) == [True, False, True, False]


def test_what_is_wrong_for_a_while_has_an_end() -> None:
    from tests.simulation.run import simulate  # noqa: PLC0415 - it imports the trace, which imports the tables

    plan = msgspec.structs.replace(
        SMALL, actions=[Action(1.0, "connect", "ann-phone")], faults=[Fault(5.0, "kill", "worker1", seconds=3.0)]
    )
    trace = simulate(plan, traced=True).trace
    assert trace is not None
    (unread,) = [wrong for wrong in trace.wrong if wrong.what == "no worker read partition 0" and wrong.since > 2.0]
    assert 3.0 < unread.until - unread.since < 6.0
