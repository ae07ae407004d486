"""A worker that starts while a part of what it needs is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fanout import Unavailable
from fanout.events import timestamp
from fanout.ports.log import Reset
from fanout.streams import META
from services.fan_out import worker as worker_module
from services.fan_out.partitions import Partitions
from services.fan_out.suspensions import Suspensions
from services.fan_out.worker import FanOutPorts, FanOutWorker
from services.runtime.tasks import Tasks
from tests.support.harness import Harness, running_harness
from tests.support.observing import until


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    async with running_harness(tmp_path) as built:
        yield built


@asynccontextmanager
async def starting(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[FanOutWorker, asyncio.Event]]:
    """A worker that has alice from the presence set of her instance, and goes on to start when the event is set."""
    ports = FanOutPorts(harness.log, harness.bus, harness.presence, harness.memberships)
    async with Tasks(harness.failures.append) as tasks:
        worker, go_on = FanOutWorker("worker-1", ports, tasks), asyncio.Event()
        listen = worker._typing.listen

        async def listen_late() -> None:
            await go_on.wait()
            await listen()

        monkeypatch.setattr(worker._typing, "listen", listen_late)
        tasks.start(worker.start(), "starting")
        await until(lambda: worker.users_on("notif-1") == ["alice"], "loaded by her instance's digest")
        yield worker, go_on
        await worker.stop()


async def test_changes_between_the_load_and_the_end_of_the_start_are_applied(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await harness.create("general", "bob")
    await harness.create("left", "alice", "bob")
    instance = await harness.add_instance("notif-1")
    alice = await harness.connect(instance, "alice")
    async with starting(harness, monkeypatch) as (worker, go_on):
        await harness.join("general", "alice")
        await harness.leave("left", "alice")
        assert worker._engine.channels("alice") == {"left"}
        go_on.set()
        await until(worker.ready.is_set, "it reads")
        await until(lambda: worker._engine.channels("alice") == {"general"}, "the changes are applied")
        await until(lambda: instance.registry.is_member("alice", "general"), "her instance has them too")
        await harness.say("general", "hello")
        await until(lambda: alice.texts() == ["hello"], "it comes")


async def test_a_log_that_went_back_is_heard_of_before_the_start_has_ended(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await harness.create("general", "bob")
    instance = await harness.add_instance("notif-1")
    await harness.connect(instance, "alice")
    async with starting(harness, monkeypatch) as (worker, go_on):
        await harness.memberships.add("general", ["alice"], timestamp())  # the log has lost the event of it
        for listener in harness.log._listeners:  # type: ignore[attr-defined]
            listener(Reset(META, 0))
        await until(lambda: worker._engine.channels("alice") == {"general"}, "loaded again")
        go_on.set()
        await until(worker.ready.is_set, "it reads")


async def test_a_stream_that_does_not_answer_holds_up_no_mark(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    never, marks = asyncio.Event(), list[bool]()

    async def hang(_partitions: Partitions) -> None:
        await never.wait()

    monkeypatch.setattr(worker_module, "MARK_EVERY_S", 0.01)
    monkeypatch.setattr(Partitions, "find_idle_positions", hang)
    monkeypatch.setattr(Suspensions, "mark", lambda _suspensions: marks.append(True))
    await harness.add_worker("worker-1")
    before = len(marks)
    await until(lambda: len(marks) > before + 2, "marks go on")


async def test_idle_positions_are_marked_also_where_one_cannot_be_found(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        raise Unavailable("no leader")

    marks: list[bool] = []
    worker = await harness.add_worker("worker-1")
    monkeypatch.setattr(worker.partitions, "find_idle_positions", fail)
    monkeypatch.setattr(worker._suspensions, "mark", lambda: marks.append(True))
    with pytest.raises(Unavailable):
        await worker._find_idle_positions()
    assert marks
