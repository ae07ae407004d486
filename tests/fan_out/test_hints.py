"""Hints and presence sets, in whatever order they come: the newest word about a user counts."""

from collections.abc import AsyncIterator

import pytest

from fanout.workers import WORKER_SILENT_AFTER_S
from tests.support.following import SECOND, Rig, rig_without_start, settle
from tests.support.observing import until


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with rig_without_start() as built:
        await built.start()
        yield built


async def test_a_hint_that_is_older_than_the_presence_set_changes_nothing(rig: Rig) -> None:
    """The bus carries both in order, and yet the worker may take them in another order."""
    instance = await rig.placed("alice")
    instance.users, instance.answers = ["alice", "bob"], False
    await rig.pass_time(2, instance)  # the same difference twice
    transfer = rig.reconciler._instances["notif-1"].transfer
    assert transfer is not None
    instance.announced = rig.hints + 2
    await instance.send_presence_set(transfer.request)
    await until(lambda: rig.users() == ["alice", "bob"], "reconciled")
    await rig.hint("alice", "notif-1", online=False)
    await rig.hint("carol", "notif-1")
    await settle()
    assert rig.users() == ["alice", "bob"]
    await rig.hint("bob", "notif-1", online=False)
    await until(lambda: rig.users() == ["alice"], "a newer one counts")


async def test_a_hint_that_came_before_the_presence_set_gives_way_to_it(rig: Rig) -> None:
    instance = await rig.placed("alice")
    instance.users, instance.answers = ["alice", "bob"], False
    await rig.pass_time(2, instance)
    transfer = rig.reconciler._instances["notif-1"].transfer
    assert transfer is not None
    await rig.hint("alice", "notif-1", online=False)
    await instance.send_presence_set(transfer.request)
    await until(lambda: rig.users() == ["alice", "bob"], "alice has returned, and that hint was lost")


async def test_an_unchanged_presence_set_does_not_count_where_a_hint_came_meanwhile(rig: Rig) -> None:
    """Of two hints, that alice left and that she returned, the second one was lost."""
    instance = await rig.placed("alice")
    instance.answers = False
    rig.now += WORKER_SILENT_AFTER_S
    await rig.look()
    transfer = rig.reconciler._instances["notif-1"].transfer
    assert transfer is not None
    await rig.hint("alice", "notif-1", online=False)
    instance.answers = True
    await instance.send_presence_set(transfer.request, unchanged=True)
    rig.suspensions.follow_contact()
    assert rig.reconciler.is_suspended("notif-1")
    await until(lambda: rig.users() == ["alice"], "the whole set was asked for")
    await until(lambda: not rig.reconciler.is_suspended("notif-1"), "it gets events again")


async def test_a_hint_of_a_newer_incarnation_replaces_the_instance(rig: Rig) -> None:
    before = await rig.placed("alice")
    before.answers = False
    await rig.instance("bob", incarnation=SECOND)
    await rig.hint("bob", "notif-1", incarnation=SECOND)
    await until(lambda: rig.users() == ["bob"], "known by its own presence set")
    await rig.hint("alice", "notif-1")
    await settle()
    assert rig.users() == ["bob"], "a hint of the earlier incarnation counts no more"


async def test_a_departure_that_comes_after_the_hint_of_the_return_changes_nothing(rig: Rig) -> None:
    await rig.placed("alice")
    rig.hints += 1
    await rig.hint("alice", "notif-1")
    await rig.hint("alice", "notif-1", online=False, number=rig.hints - 1)
    assert rig.users() == ["alice"]
    await rig.hint("alice", "notif-1", online=False)
    await until(lambda: rig.users() == [], "a newer departure counts")


async def test_pages_of_an_earlier_incarnation_are_ignored(rig: Rig) -> None:
    before = await rig.placed("alice")
    before.answers = False
    now = await rig.instance("bob", incarnation=SECOND)
    now.answers = False
    await now.digest()
    known = rig.reconciler._instances
    await until(lambda: "notif-1" in known and known["notif-1"].incarnation == SECOND, "replaced")
    transfer = rig.reconciler._instances["notif-1"].transfer
    assert transfer is not None
    before.announced = 100_000
    await before.send_presence_set(transfer.request)
    await settle()
    assert rig.users() == []
    await rig.hint("bob", "notif-1", incarnation=SECOND)
    await until(lambda: rig.users() == ["bob"], "its hints count, though their numbers are lower")


@pytest.mark.parametrize("unchanged", [True, False])
async def test_a_departure_that_is_not_applied_yet_gives_way_to_a_presence_set_that_is_newer(
    rig: Rig, *, unchanged: bool
) -> None:
    """The hint of the return was lost, or came after the presence set, which contains it."""
    instance = await rig.placed("alice")
    instance.answers = unchanged
    rig.memberships.blocked = True
    rig.presence_applier.reload("alice")
    await settle()
    await rig.hint("alice", "notif-1", online=False)
    rig.hints += 1
    rig.now += WORKER_SILENT_AFTER_S
    await rig.look()
    if not unchanged:
        transfer = rig.reconciler._instances["notif-1"].transfer
        assert transfer is not None
        await instance.send_presence_set(transfer.request)
    rig.memberships.blocked = False
    rig.suspensions.follow_contact()
    await until(lambda: not rig.reconciler.is_suspended("notif-1"), "it agrees")
    assert rig.users() == ["alice"]
