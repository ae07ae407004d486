"""The worker group: workers that hear each other, and what one of them claims and lets go."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from fanout import Unavailable
from fanout.ports.log import Log
from fanout.subjects import WORKERS
from fanout.workers import WORKER_SILENT_AFTER_S, WorkerNotice, decode_notice
from services.fan_out import worker_group as group_module
from services.fan_out.contact import Contact
from services.fan_out.partitions import Partitions
from services.fan_out.worker_group import WorkerGroup
from services.runtime import tasks as tasks_module
from services.runtime.skipping import MESSAGES_SKIPPED
from services.runtime.tasks import Tasks
from tests.support.faulty import FaultyBus
from tests.support.observing import until

PARTS = 4
MY_EPOCH = 7


class Claims:
    """Partitions that are claimed at once, or when they may be; some cannot be had."""

    def __init__(self) -> None:
        self.members_upto = 0
        self.mine: set[int] = set()
        self.refused: set[int] = set()
        self.asked: list[int] = []
        self.free = asyncio.Event()
        self.free.set()

    def is_claimed(self, part: int) -> bool:
        return part in self.mine

    def claimed(self) -> list[int]:
        return sorted(self.mine)

    def epochs(self) -> dict[int, int]:
        return dict.fromkeys(self.claimed(), MY_EPOCH)

    async def claim(self, part: int) -> None:
        self.asked.append(part)
        await self.free.wait()
        if part in self.refused:
            raise Unavailable("not now")
        self.mine.add(part)

    async def release(self, part: int) -> None:
        await asyncio.sleep(0)
        self.mine.discard(part)

    async def release_all(self) -> None:
        for part in self.claimed():
            await self.release(part)


class World:
    """A worker's group over a bus on which the test plays the other workers."""

    def __init__(self) -> None:
        self.bus = FaultyBus()
        self.claims = Claims()
        self.now = 100.0
        self.ready = asyncio.Event()
        self.contact = Contact(clock=lambda: self.now)
        log = cast("Log", SimpleNamespace(partitions=PARTS))
        self.worker_group = WorkerGroup(
            "me", self.bus, log, cast("Partitions", self.claims), self.contact, clock=lambda: self.now
        )

    def said(self) -> list[WorkerNotice]:
        return [decode_notice(payload) for subject, payload in self.bus.published if subject == WORKERS]

    async def hears(self, worker: str, *, ready: bool = True, partitions: Any = (), epoch: int = MY_EPOCH - 1) -> None:
        await self.bus.arrive(
            WORKERS, msgspec.json.encode(WorkerNotice(worker, ready, dict.fromkeys(partitions, epoch)))
        )

    async def notices(self, more: int = 3) -> None:
        """Wait until so many more were given."""
        wanted = len(self.said()) + more
        await until(lambda: len(self.said()) >= wanted)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(group_module, "ANNOUNCE_EVERY_S", 0.01)
    monkeypatch.setattr(tasks_module, "FIRST_DELAY_S", 0.001)
    failures: list[BaseException] = []
    async with Tasks(failures.append) as tasks:
        world = World()
        tasks.start(world.worker_group.run(world.ready), "worker group")
        yield world
    assert not failures


async def test_nothing_is_claimed_before_the_table_is_complete(world: World) -> None:
    await world.notices()
    assert world.claims.asked == []
    assert {notice.ready for notice in world.said()} == {False}


async def test_one_alone_claims_all_after_it_said_that_it_is_ready(world: World) -> None:
    world.ready.set()
    await until(lambda: world.claims.claimed() == list(range(PARTS)))
    assert [notice for notice in world.said() if notice.ready]
    await until(lambda: world.said()[-1].partitions == dict.fromkeys(range(PARTS), MY_EPOCH))


async def test_nothing_is_claimed_before_its_own_word_came_back(world: World) -> None:
    world.bus.share = 1.0
    world.ready.set()
    await world.notices(5)
    assert world.claims.asked == []
    world.bus.share = 0.0
    await until(lambda: len(world.claims.mine) == PARTS)


async def test_its_notices_that_come_back_show_that_the_instances_hear_it(world: World) -> None:
    await world.notices()
    assert world.contact.current() is None, "no instance waits for a worker that is not ready"
    world.ready.set()
    await until(lambda: world.contact.current() == 1)
    world.bus.share = 1.0
    await world.notices()
    world.now += WORKER_SILENT_AFTER_S
    assert world.contact.current() is None
    world.bus.share = 0.0
    await until(lambda: world.contact.current() == 2)


async def test_what_a_live_worker_holds_is_left_to_it(world: World) -> None:
    await world.hears("other", partitions=[0, 1])
    world.ready.set()
    await until(lambda: world.claims.claimed() == [2, 3])
    await world.notices()
    assert set(world.claims.asked) == {2, 3}


async def test_a_notice_of_a_worker_that_has_lost_a_partition_takes_it_from_nobody(world: World) -> None:
    """The log gave the partition to this worker, and the other one has not noticed yet."""
    world.ready.set()
    await until(lambda: len(world.claims.mine) == PARTS)
    await world.hears("other")
    await until(lambda: world.claims.claimed() == [0, 1])
    await world.hears("other", partitions=[0, 1], epoch=MY_EPOCH - 1)
    await world.notices()
    assert world.claims.claimed() == [0, 1]
    await world.hears("other", partitions=[0, 1], epoch=MY_EPOCH + 1)
    await until(lambda: world.claims.claimed() == [2, 3], "it has lost them itself, and takes the others")


async def test_it_is_responsible_for_what_it_reads_and_for_what_nobody_reads(world: World) -> None:
    assert world.worker_group.is_responsible(0)
    await world.hears("other", partitions=[0])
    assert not world.worker_group.is_responsible(0)
    assert world.worker_group.is_responsible(1)
    world.claims.mine = {0}
    assert world.worker_group.is_responsible(0)
    world.claims.mine = set()
    world.now += WORKER_SILENT_AFTER_S + 1
    assert world.worker_group.is_responsible(0)


async def test_its_notices_say_how_far_the_membership_changes_are_applied(world: World) -> None:
    world.claims.members_upto = 9
    await until(lambda: world.said()[-1:] != [] and world.said()[-1].members_upto == 9)


async def test_half_is_released_to_one_who_comes_and_taken_back_when_it_falls_silent(world: World) -> None:
    world.ready.set()
    await until(lambda: len(world.claims.mine) == PARTS)
    await world.hears("other")
    await until(lambda: len(world.claims.mine) == PARTS // 2)
    world.now += WORKER_SILENT_AFTER_S / 2
    await world.notices()
    assert len(world.claims.mine) == PARTS // 2
    world.now += WORKER_SILENT_AFTER_S
    await until(lambda: len(world.claims.mine) == PARTS)


async def test_one_who_is_not_ready_counts_for_what_it_holds_and_gets_nothing(world: World) -> None:
    await world.hears("other", ready=False, partitions=[0])
    world.ready.set()
    await until(lambda: world.claims.claimed() == [1, 2, 3])
    await world.hears("other", ready=False, partitions={})
    await until(lambda: len(world.claims.mine) == PARTS)


async def test_a_partition_that_cannot_be_had_now_is_asked_for_again(world: World) -> None:
    world.claims.refused = {2}
    world.ready.set()
    await until(lambda: world.claims.asked.count(2) >= 3)
    assert world.claims.claimed() == [0, 1, 3]
    world.claims.refused.clear()
    await until(lambda: len(world.claims.mine) == PARTS)


async def test_while_the_bus_is_away_nobody_is_taken_for_dead(world: World) -> None:
    await world.hears("other", partitions=[0, 1])
    world.ready.set()
    await until(lambda: world.claims.claimed() == [2, 3])
    world.bus.down = True
    offered = world.bus.offered
    await until(lambda: world.bus.offered > offered)
    world.now += 100 * WORKER_SILENT_AFTER_S
    await until(lambda: world.bus.offered > offered + 3)
    world.bus.down = False
    await world.notices(1)
    assert world.claims.claimed() == [2, 3]


async def test_leaving_releases_all_says_so_and_claims_nothing_more(world: World) -> None:
    world.ready.set()
    await until(lambda: len(world.claims.mine) == PARTS)
    await world.worker_group.leave()
    assert world.said()[-1] == WorkerNotice("me", ready=False, partitions={})
    asked = len(world.claims.asked)
    await world.notices()
    assert (world.claims.claimed(), len(world.claims.asked)) == ([], asked)
    assert {notice.ready for notice in world.said()[-3:]} == {False}


async def test_what_is_being_claimed_while_it_leaves_is_released_too(world: World) -> None:
    world.claims.free.clear()
    world.ready.set()
    await until(lambda: len(world.claims.asked) == PARTS)
    leaving = asyncio.create_task(world.worker_group.leave())
    await asyncio.sleep(0.01)
    world.claims.free.set()
    await leaving
    await world.notices()
    assert world.claims.claimed() == []
    assert world.said()[-1] == WorkerNotice("me", ready=False, partitions={})


async def test_leaving_ends_though_the_bus_is_away(world: World) -> None:
    world.ready.set()
    await until(lambda: len(world.claims.mine) == PARTS)
    world.bus.down = True
    await world.worker_group.leave()
    assert world.claims.claimed() == []


async def test_a_word_that_is_none_is_skipped_and_counted(world: World) -> None:
    skipped = MESSAGES_SKIPPED.labels("worker_notice")._value.get()
    await world.notices(1)
    await world.bus.arrive(WORKERS, b"[" * 100_000)
    await world.bus.arrive(WORKERS, b'{"newer":1}')
    assert MESSAGES_SKIPPED.labels("worker_notice")._value.get() == skipped + 2


async def test_listening_is_tried_again_while_the_bus_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "FIRST_DELAY_S", 0.001)
    world = World()
    world.bus.outcomes["subscribe"] = Unavailable("away")
    async with Tasks(lambda error: pytest.fail(str(error))) as tasks:
        tasks.start(world.worker_group.run(world.ready), "worker group")
        await until(lambda: world.bus.calls["subscribe"] > 1, "it tries again")
        assert not world.said(), "it says nothing before it listens"
        world.bus.outcomes.clear()
        world.ready.set()
        await until(lambda: len(world.claims.mine) == PARTS, "it hears itself")
