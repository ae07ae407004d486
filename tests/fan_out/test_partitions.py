"""Reading partitions: in order, acknowledged after publication, and handed over without an event lost."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fanout import PartitionLost, Unavailable
from fanout.ports.log import StoredEvent
from fanout.streams import DEAD
from fanout.workers import WORKER_SILENT_AFTER_S
from services.adapters.embedded.readers import EmbeddedPartitionReader
from services.runtime import tasks as tasks_module
from tests.support.observing import until
from tests.support.partition_worlds import PART, PARTS, World, failing, opened_world


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(tasks_module, "LONGEST_DELAY_S", 0.002)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with opened_world() as world:
        yield world
        assert not world.failures


async def test_events_are_published_in_order_and_acknowledged(world: World) -> None:
    worker = world.worker()
    await world.post(30)
    await worker.partitions.claim(PART)
    await until(lambda: len(worker.told()) == 30)
    await world.post(30)
    await until(lambda: len(worker.told()) == 60)
    assert worker.told() == list(range(1, 61))
    await worker.partitions.release(PART)
    assert await world.acknowledged() == 60


async def test_nothing_is_acknowledged_that_the_bus_has_not_taken(world: World) -> None:
    worker = world.worker()
    worker.bus.down = True
    await world.post(3)
    await worker.partitions.claim(PART)
    await until(lambda: worker.bus.offered >= 3)
    assert await world.acknowledged() == 0
    worker.bus.down = False


async def test_a_release_ends_the_batch_in_hand_first(world: World) -> None:
    worker = world.worker()
    worker.bus.blocked = True
    await world.post(3)
    await worker.partitions.claim(PART)
    await until(lambda: worker.bus.offered == 1)
    releasing = asyncio.create_task(worker.partitions.release(PART))
    again = asyncio.create_task(worker.partitions.release(PART))
    await asyncio.sleep(0.01)
    assert not releasing.done()
    worker.bus.blocked = False
    await asyncio.gather(releasing, again)
    assert worker.told() == [1, 2, 3]
    assert worker.partitions.claimed() == []
    assert await world.acknowledged() == 3


@pytest.mark.parametrize("call", ["settle", "ack"])
async def test_an_error_while_a_release_ends_the_batch_in_hand_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    begun, released = asyncio.Event(), asyncio.Event()

    async def break_down(*_: object) -> None:
        begun.set()
        await released.wait()
        raise LookupError(f"{call} is broken")

    worker = world.worker()
    monkeypatch.setattr(EmbeddedPartitionReader if call == "ack" else worker.publisher, call, break_down)
    await world.post(1)
    await worker.partitions.claim(PART)
    await begun.wait()
    releasing = asyncio.create_task(worker.partitions.release(PART))
    await asyncio.sleep(0)
    released.set()
    await releasing
    assert worker.partitions.claimed() == []
    await until(lambda: [str(failure) for failure in world.failures] == [f"{call} is broken"])
    world.failures.clear()


@pytest.mark.parametrize("turns", range(12))
async def test_a_release_at_any_moment_loses_nothing(world: World, turns: int) -> None:
    first, second = world.worker("worker-1"), world.worker("worker-2")
    await world.post(5)
    await first.partitions.claim(PART)
    for _ in range(turns):
        await asyncio.sleep(0)
    await first.partitions.release(PART)
    assert first.partitions.claimed() == []
    await second.partitions.claim(PART)
    await until(lambda: sorted(first.told() + second.told()) == [1, 2, 3, 4, 5])


async def test_one_who_loses_a_partition_gives_it_up_and_keeps_the_others(world: World) -> None:
    first, second = world.worker("worker-1"), world.worker("worker-2")
    for part in range(PARTS):
        await first.partitions.claim(part)
    await second.partitions.claim(PART)
    await until(lambda: first.partitions.claimed() == [1 - PART])
    await world.post(3)
    await until(lambda: second.told() == [1, 2, 3])
    assert first.told() == []
    assert not first.partitions.is_claimed(PART)


async def test_of_two_who_claim_at_once_one_reads(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def lose(*_: object) -> None:
        raise PartitionLost("another was first")

    worker = world.worker()
    with monkeypatch.context() as losing:
        losing.setattr(world.log, "claim", lose)
        await worker.partitions.claim(PART)
    assert worker.partitions.claimed() == []
    await worker.partitions.claim(PART)
    assert worker.partitions.claimed() == [PART]


async def test_a_claim_while_the_log_is_away_leaves_nothing_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = world.worker()
    failing(monkeypatch, world.log, "claim", times=1)
    with pytest.raises(Unavailable):
        await worker.partitions.claim(PART)
    assert worker.partitions.claimed() == []
    await worker.partitions.claim(PART)
    assert worker.partitions.claimed() == [PART]


@pytest.mark.parametrize("call", ["ack", "dead_letter", "last_seq"])
async def test_each_call_to_the_log_is_repeated_while_it_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    worker = world.worker()
    calls = failing(monkeypatch, EmbeddedPartitionReader if call == "ack" else world.log, call, times=3)
    await world.append(b"no event")
    await world.post(2)
    await worker.partitions.claim(PART)
    await until(lambda: worker.told() == [2, 3])
    await until(lambda: len(calls) >= 4)
    await worker.partitions.release(PART)
    assert await world.acknowledged() == 3


async def test_an_event_that_cannot_be_delivered_is_a_dead_letter_and_the_next_ones_arrive(world: World) -> None:
    worker = world.worker()
    await world.append(b"no event")
    await world.post(1)
    await world.append(b"{}")
    await worker.partitions.claim(PART)
    await until(lambda: worker.told() == [2])
    await until(lambda: world.log._streams[DEAD].last_seq == 2)


async def test_nothing_is_read_before_the_membership_changes_that_the_last_reader_knew(world: World) -> None:
    worker = world.worker()
    await world.log.append("channels.member.joined.general", b"{}", msg_id="joined")
    await world.post(1)
    await worker.partitions.claim(PART)
    await asyncio.sleep(0.05)
    assert worker.told() == []
    worker.partitions.meta_handled(1)
    await until(lambda: worker.told() == [1])


async def test_partitions_that_wait_for_membership_changes_do_not_miss_each_other_s_news(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, may_answer = asyncio.Event(), asyncio.Event()
    read = world.log.read

    async def slow_read(*arguments: Any, **options: Any) -> AsyncIterator[StoredEvent]:
        async for event in read(*arguments, **options):
            looked.set()
            await may_answer.wait()
            yield event

    monkeypatch.setattr(world.log, "read", slow_read)
    worker = world.worker()
    await world.log.append("channels.member.joined.general", b"{}", msg_id="joined")
    await world.post(1)
    await worker.partitions.claim(PART)
    await looked.wait()  # the change is not applied: this partition is going to wait for that
    worker.partitions.meta_handled(1)
    await worker.partitions.claim(1 - PART)
    await asyncio.sleep(0.01)
    may_answer.set()
    await until(lambda: worker.told() == [1], within_s=5)


async def test_quiet_partitions_say_how_far_they_have_come(world: World) -> None:
    worker = world.worker()
    await world.post(2)
    for part in range(PARTS):
        await worker.partitions.claim(part)
    await until(lambda: worker.told() == [1, 2])
    await worker.publisher.settle()
    await worker.partitions.find_idle_positions()
    worker.engine.mark()
    await worker.publisher.settle()
    assert worker.marked_upto(1 - PART) == 2


async def test_an_instance_that_may_not_have_heard_the_worker_gets_no_event_and_reads_the_log(
    world: World,
) -> None:
    worker = world.worker()
    worker.suspensions.know("notif-1")
    worker.contact.hear(worker.contact.sign())
    worker.suspensions.agree("notif-1", worker.contact.current())
    await world.post(1)
    await worker.partitions.claim(PART)
    await until(lambda: worker.told() == [1])
    worker.now += WORKER_SILENT_AFTER_S
    await world.post(2)
    while worker.marked_upto() < 3:
        worker.suspensions.mark()
        await worker.publisher.settle()
        await asyncio.sleep(0.01)
    assert worker.told() == [1]


async def test_one_who_looks_for_idle_positions_of_a_lost_partition_only_passes_over_it(world: World) -> None:
    first, second = world.worker("worker-1"), world.worker("worker-2")
    for part in range(PARTS):
        await first.partitions.claim(part)
    taking = asyncio.create_task(second.partitions.claim(PART))
    for _ in range(20):
        await first.partitions.find_idle_positions()
    await taking
    await until(lambda: first.partitions.claimed() == [1 - PART])


async def test_it_says_with_which_epochs_it_reads_and_how_far_the_membership_changes_are_applied(world: World) -> None:
    worker = world.worker()
    assert (worker.partitions.epochs(), worker.partitions.members_upto) == ({}, 0)
    worker.partitions.meta_handled(3)
    await worker.partitions.claim(PART)
    claim = worker.partitions._claims[PART]
    assert (worker.partitions.epochs(), worker.partitions.members_upto) == ({PART: claim.epoch}, 3)
