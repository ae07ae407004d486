"""What a worker does when the log of membership changes went back further than they are published again."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

from fanout import Engine
from fanout.events import timestamp
from fanout.log_record import REPUBLISHED_S
from fanout.ports.log import Reset
from fanout.streams import MESSAGES, META
from services.fan_out.log_resets import LogResets
from services.fan_out.presence_applier import PresenceApplier
from tests.support.harness import running_harness
from tests.support.observing import until

NOW_S = 2_000_000_000.0


async def test_the_table_is_loaded_from_the_store(tmp_path: Path) -> None:
    async with running_harness(tmp_path) as harness:
        worker = await harness.add_worker("worker-1")
        instance = await harness.add_instance("notif-1")
        await harness.create("left", "alice", "bob")
        await harness.create("joined", "bob")
        await harness.connect(instance, "alice")
        await harness.connect(instance, "bob")
        engine = worker._engine
        await harness.memberships.remove("left", "alice", timestamp())  # the events of both are lost
        await harness.memberships.add("joined", ["alice"], timestamp())
        assert engine.channels("alice") == {"left"}
        worker._log_resets.hear(Reset(META, 0))
        await until(lambda: engine.channels("alice") == {"joined"}, "alice's channels")
        assert engine.channels("bob") == {"left", "joined"}
        assert engine.locations("alice") == {"notif-1"}


async def test_lists_of_users_who_are_away_are_loaded_when_they_come(tmp_path: Path) -> None:
    async with running_harness(tmp_path) as harness:
        worker = await harness.add_worker("worker-1")
        instance = await harness.add_instance("notif-1")
        await harness.create("general", "alice", "bob")
        alice = await harness.connect(instance, "alice")
        alice.hang_up()
        await until(lambda: not worker._engine.locations("alice"), "alice is gone")
        await harness.memberships.remove("general", "alice", timestamp())
        worker._log_resets.hear(Reset(META, 0))
        await until(lambda: worker._engine.membership_count("alice") == 0, "nothing of alice")
        await harness.connect(instance, "alice")
        assert worker._engine.channels("alice") == frozenset()


class Pages:
    """An engine that gives users by the page alone."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.longest = 0

    def users_page(self, instance_id: str, after: int | None) -> tuple[list[str], int | None]:
        page, more = self._engine.users_page(instance_id, after)
        self.longest = max(self.longest, len(page))
        return page, more

    def __getattr__(self, name: str) -> object:
        assert name != "users", "all users of an instance at once hold the loop for too long"
        return getattr(self._engine, name)


async def test_users_of_a_large_instance_are_reloaded_page_by_page(tmp_path: Path) -> None:
    users = {f"user-{number}" for number in range(1_500)}
    async with running_harness(tmp_path) as harness:
        worker = await harness.add_worker("worker-1")
        for user in users:
            worker._engine.user_online(user, "notif-1", ["general"])
        pages, reloaded = Pages(worker._engine), set[str]()
        applier = SimpleNamespace(reload=reloaded.add, settled=worker.presence_applier.settled)
        resets = LogResets(cast("Engine", pages), cast("PresenceApplier", applier), worker._tasks)
        resets.hear(Reset(META, 0))
        assert resets.is_loading
        await until(lambda: reloaded == users, "all are reloaded")
        await until(lambda: not resets.is_loading)
        assert pages.longest < len(users) / 2


async def test_what_is_published_again_needs_no_loading(tmp_path: Path) -> None:
    async with running_harness(tmp_path) as harness:
        worker = await harness.add_worker("worker-1")
        started = len(worker._tasks._tasks)
        resets = LogResets(worker._engine, worker.presence_applier, worker._tasks, clock=lambda: NOW_S)
        resets.hear(Reset(META, int((NOW_S - REPUBLISHED_S + 1) * 1e9)))
        resets.hear(Reset(MESSAGES, 0))
        assert len(worker._tasks._tasks) == started


async def test_a_worker_gives_no_lists_while_its_table_is_loaded_again(tmp_path: Path) -> None:
    async with running_harness(tmp_path) as harness:
        worker = await harness.add_worker("worker-1")
        await until(worker._is_current, "the table is complete")
        worker._log_resets.hear(Reset(META, 0))
        assert not worker._is_current()
        await until(worker._is_current, "the table was loaded again")
