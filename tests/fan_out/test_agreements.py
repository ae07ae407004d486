"""When an instance agrees with a worker: its presence set was compared in the contact that lasts."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fanout.workers import WORKER_SILENT_AFTER_S
from services.fan_out.known_instance import ASK_AGAIN_AFTER_S, MISMATCHES_BEFORE_REPAIR
from services.runtime.health import Degraded
from tests.support.following import Rig, rig_without_start, settle
from tests.support.observing import until


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with rig_without_start() as built:
        await built.start()
        yield built


async def test_after_a_silence_an_instance_gets_no_stored_event_until_its_presence_set_was_compared(rig: Rig) -> None:
    instance = await rig.placed("alice")
    rig.silent = True
    await rig.pass_time(2, instance)
    rig.suspensions.follow_contact()
    assert rig.reconciler.is_suspended("notif-1")
    instance.users = ["alice", "bob"]  # the instance did not wait for this worker
    instance.answers = False
    rig.silent = False
    await rig.pass_time(1, instance)
    assert rig.reconciler.is_suspended("notif-1")
    with pytest.raises(Degraded):
        await rig.reconciler.check_contact()
    instance.answers = True
    await rig.pass_time(ASK_AGAIN_AFTER_S + 1, instance)
    await until(lambda: not rig.reconciler.is_suspended("notif-1"), "it gets events again")
    assert rig.users() == ["alice", "bob"]
    await rig.reconciler.check_contact()


async def test_a_presence_set_that_was_asked_for_during_a_silence_does_not_count(rig: Rig) -> None:
    instance = await rig.placed("alice")
    rig.silent = True
    instance.users = ["alice", "bob"]
    await rig.pass_time(4, instance)  # the same difference twice
    await until(lambda: rig.users() == ["alice", "bob"], "the table is repaired")
    asked = instance.asked
    rig.suspensions.follow_contact()
    assert rig.reconciler.is_suspended("notif-1")
    rig.silent = False
    await rig.look()
    assert instance.asked == asked + 1
    await until(lambda: not rig.reconciler.is_suspended("notif-1"), "it gets events again")


async def test_each_instance_is_asked_once_when_it_hears_this_worker_again(rig: Rig) -> None:
    instance = await rig.placed("alice")
    for silences in range(1, 4):
        rig.now += WORKER_SILENT_AFTER_S
        await rig.look()
        await rig.pass_time(2, instance)
        assert instance.asked == 1 + silences
        assert not rig.reconciler.is_suspended("notif-1")


async def test_a_presence_set_that_comes_after_a_further_silence_does_not_count(rig: Rig) -> None:
    instance = await rig.placed("alice")
    instance.answers = False
    rig.now += WORKER_SILENT_AFTER_S
    await rig.look()
    transfer = rig.reconciler._instances["notif-1"].transfer
    assert transfer is not None
    rig.now += WORKER_SILENT_AFTER_S
    await instance.send_presence_set(transfer.request, unchanged=True)
    await settle()
    rig.suspensions.follow_contact()
    assert rig.reconciler.is_suspended("notif-1")


async def test_an_instance_is_not_asked_again_while_its_agreement_waits_for_the_membership_store(rig: Rig) -> None:
    instance = await rig.placed("alice")
    other = await rig.instance(name="notif-2")
    rig.memberships.down = True
    await rig.hint("bob", "notif-2")
    rig.now += WORKER_SILENT_AFTER_S
    await rig.look()
    asked = instance.asked
    await rig.pass_time(4, instance, other)
    assert instance.asked == asked
    rig.suspensions.follow_contact()
    assert rig.reconciler.is_suspended("notif-1")
    rig.memberships.down = False
    await until(lambda: not rig.reconciler.is_suspended("notif-1"), "it gets events again")


async def test_a_presence_set_that_is_on_its_way_is_not_dropped_by_a_new_contact(rig: Rig) -> None:
    instance = await rig.placed("alice")
    instance.users = ["alice", "bob"]
    instance.answers = False
    for _ in range(MISMATCHES_BEFORE_REPAIR):
        await instance.digest()
    await rig.look()
    transfer = rig.reconciler._instances["notif-1"].transfer
    assert transfer is not None
    rig.now += WORKER_SILENT_AFTER_S
    notice = rig.contact.sign()
    transfer.progressed_at = rig.now
    rig.contact.hear(notice)
    assert rig.reconciler._instances["notif-1"].transfer is transfer
    await instance.send_presence_set(transfer.request)
    await until(lambda: rig.users() == ["alice", "bob"], "the table is repaired")
    rig.suspensions.follow_contact()
    assert rig.reconciler.is_suspended("notif-1"), "it was asked in an earlier contact"


async def test_of_an_instance_one_agreement_waits_at_most(rig: Rig) -> None:
    """While the membership store is away, each silence leads to a presence set, and none of them can be applied."""
    instance = await rig.placed("alice")
    rig.memberships.down = True
    await rig.hint("bob", "notif-1")
    instance.users = ["alice", "bob"]
    for silences in range(1, 6):
        rig.now += WORKER_SILENT_AFTER_S
        await rig.look()
        await until(lambda wanted=1 + silences: instance.asked >= wanted, "it is asked")  # type: ignore[misc]
        await rig.pass_time(1, instance)
    waiting = [task for task in asyncio.all_tasks() if task.get_name() == "agreeing with an instance"]
    assert len(waiting) == 1
    rig.suspensions.follow_contact()
    assert rig.reconciler.is_suspended("notif-1")
    rig.memberships.down = False
    await until(lambda: not rig.reconciler.is_suspended("notif-1"), "it gets events again")
    assert rig.users() == ["alice", "bob"]
