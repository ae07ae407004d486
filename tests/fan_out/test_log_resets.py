"""What a worker does when the log of membership changes went back further than they are told again."""

from pathlib import Path

from fanout.events import timestamp
from fanout.log_record import RETOLD_S
from fanout.ports.log import Reset
from fanout.subjects import MESSAGES, META
from services.fan_out.log_resets import LogResets
from tests.support.observing import until
from tests.support.platform import platform

NOW_S = 2_000_000_000.0


async def test_the_table_is_loaded_from_the_store(tmp_path: Path) -> None:
    async with platform(tmp_path) as house:
        worker = await house.add_worker("worker-1")
        instance = await house.add_instance("notif-1")
        await house.create("left", "alice", "bob")
        await house.create("joined", "bob")
        await house.connect(instance, "alice")
        await house.connect(instance, "bob")
        engine = worker._engine
        await house.memberships.remove("left", "alice", timestamp())  # the events of both are lost
        await house.memberships.add("joined", ["alice"], timestamp())
        assert engine.channels("alice") == {"left"}
        worker._log_resets.hear(Reset(META, 0))
        await until(lambda: engine.channels("alice") == {"joined"}, "alice's channels")
        assert engine.channels("bob") == {"left", "joined"}
        assert engine.locations("alice") == {"notif-1"}


async def test_lists_of_users_who_are_away_are_loaded_when_they_come(tmp_path: Path) -> None:
    async with platform(tmp_path) as house:
        worker = await house.add_worker("worker-1")
        instance = await house.add_instance("notif-1")
        await house.create("general", "alice", "bob")
        alice = await house.connect(instance, "alice")
        alice.hang_up()
        await until(lambda: not worker._engine.locations("alice"), "alice is gone")
        await house.memberships.remove("general", "alice", timestamp())
        worker._log_resets.hear(Reset(META, 0))
        await until(lambda: worker._engine.membership_count("alice") == 0, "nothing of alice")
        await house.connect(instance, "alice")
        assert worker._engine.channels("alice") == frozenset()


async def test_what_is_told_again_needs_no_loading(tmp_path: Path) -> None:
    async with platform(tmp_path) as house:
        worker = await house.add_worker("worker-1")
        started = len(worker._tasks._tasks)
        resets = LogResets(worker._engine, worker.placements, worker._tasks, clock=lambda: NOW_S)
        resets.hear(Reset(META, int((NOW_S - RETOLD_S + 1) * 1e9)))
        resets.hear(Reset(MESSAGES, 0))
        assert len(worker._tasks._tasks) == started
