"""Which instances live, by their leases and their digests; and the table brought to their presence sets."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fanout import Engine, Unavailable
from fanout.keys import LEASE_TTL_S
from fanout.subjects import PRESENCE_DIGESTS, PRESENCE_HINTS, worker_inbox
from services.fan_out.known_instance import ASK_AGAIN_AFTER_S, MISMATCHES_BEFORE_REPAIR
from tests.support.following import SECOND, Rig, rig_without_start
from tests.support.observing import until


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with rig_without_start() as built:
        await built.start()
        yield built


def _is_suspended(engine: Engine, instance: str = "notif-1") -> bool:
    """Whether the instance gets no stored event; resumes it if it was suspended."""
    return engine.resume(instance)


async def test_an_instance_whose_lease_is_not_renewed_is_kept_while_its_digests_come(rig: Rig) -> None:
    instance = await rig.placed("alice", "bob")
    await rig.pass_time(6 * LEASE_TTL_S, instance)
    assert await rig.presence.leases() == {}
    assert rig.users() == ["alice", "bob"]
    assert instance.asked == 1
    assert not _is_suspended(rig.engine)


async def test_an_instance_without_a_lease_is_evicted_when_its_digests_were_silent_for_a_lease(rig: Rig) -> None:
    instance = await rig.placed("alice")
    await rig.pass_time(2 * LEASE_TTL_S, instance)
    await rig.pass_time(LEASE_TTL_S - 1)
    assert rig.users() == ["alice"]
    await rig.pass_time(2)
    assert rig.users() == []


async def test_a_silent_instance_is_kept_while_it_has_a_lease(rig: Rig) -> None:
    instance = await rig.placed("alice")
    for _ in range(5):
        await rig.pass_time(LEASE_TTL_S - 1)
        await instance.lease()
        await rig.look()
    assert rig.users() == ["alice"]


async def test_while_redis_is_away_nobody_is_evicted_and_for_a_lease_after(rig: Rig) -> None:
    await rig.placed("alice")
    rig.presence.down = True
    rig.now += 3 * LEASE_TTL_S
    with pytest.raises(Unavailable):
        await rig.look()
    rig.presence.down = False
    await rig.pass_time(LEASE_TTL_S - 1)
    assert rig.users() == ["alice"]
    await rig.pass_time(3)
    assert rig.users() == []


async def test_while_redis_is_away_digests_repair_the_table(rig: Rig) -> None:
    instance = await rig.placed("alice")
    rig.presence.down = True
    instance.users = ["alice", "bob"]
    for _ in range(MISMATCHES_BEFORE_REPAIR):
        rig.now += 1
        await instance.digest()
        with pytest.raises(Unavailable):
            await rig.look()
    await until(lambda: rig.users() == ["alice", "bob"], "its presence set was asked for")


async def test_while_the_bus_is_away_nobody_is_evicted_and_for_a_lease_after(rig: Rig) -> None:
    instance = await rig.placed("alice")
    await rig.pass_time(2 * LEASE_TTL_S, instance)
    await rig.pass_time(LEASE_TTL_S)
    rig.bus.down = True
    rig.now += 1
    with pytest.raises(Unavailable):
        await rig.look()
    rig.bus.down = False
    await rig.pass_time(LEASE_TTL_S - 1)
    assert rig.users() == ["alice"]
    await rig.pass_time(3)
    assert rig.users() == []


async def test_a_worker_that_stood_still_evicts_nobody_whom_it_could_not_hear(rig: Rig) -> None:
    instance = await rig.placed("alice")
    await rig.pass_time(2 * LEASE_TTL_S, instance)
    rig.now += 2 * LEASE_TTL_S
    await rig.look()
    assert rig.users() == ["alice"]
    await rig.pass_time(3 * LEASE_TTL_S, instance)
    assert rig.users() == ["alice"]


async def test_a_worker_that_starts_while_nobody_can_renew_learns_of_instances_by_their_digests(rig: Rig) -> None:
    instance = await rig.instance("alice", "bob")
    rig.memberships.down = True
    await rig.look()
    assert rig.reconciler.complete.is_set(), "nobody can say how many instances there are"
    await instance.digest()
    assert rig.engine.resume("notif-1"), "no stored event goes there before all its users are placed"
    rig.engine.suspend("notif-1")
    rig.memberships.down = False
    await until(lambda: rig.users() == ["alice", "bob"], "its presence set was asked for")
    await until(lambda: not rig.reconciler.is_suspended("notif-1"), "it gets events again")
    await rig.pass_time(3 * LEASE_TTL_S, instance)
    assert rig.users() == ["alice", "bob"]


async def test_an_instance_that_is_cut_off_from_the_bus_and_keeps_its_lease_holds_up_no_worker(rig: Rig) -> None:
    cut_off = await rig.instance("alice")
    cut_off.answers = False
    for second in range(LEASE_TTL_S + 2):
        assert not rig.reconciler.complete.is_set() or second > LEASE_TTL_S
        await cut_off.lease()
        await rig.pass_time(1)
    assert rig.reconciler.complete.is_set()
    assert rig.engine.resume("notif-1"), "no stored event goes there before all its users are placed"
    rig.engine.suspend("notif-1")
    cut_off.answers = True
    await rig.pass_time(3, cut_off)
    await until(lambda: rig.users() == ["alice"])
    await until(lambda: not rig.reconciler.is_suspended("notif-1"), "it gets events again")


async def test_a_worker_is_complete_only_with_the_presence_sets_of_those_it_heard(rig: Rig) -> None:
    instance = await rig.instance("alice")
    instance.answers = False
    await instance.digest()
    await rig.look()
    assert not rig.reconciler.complete.is_set()
    instance.answers = True
    await rig.pass_time(ASK_AGAIN_AFTER_S + 1, instance)
    assert rig.reconciler.complete.is_set()


async def test_an_instance_that_died_after_a_digest_is_not_waited_for_without_end(rig: Rig) -> None:
    instance = await rig.instance("alice")
    instance.answers = False
    await instance.digest()
    await rig.pass_time(LEASE_TTL_S - 1)
    assert not rig.reconciler.complete.is_set()
    await rig.pass_time(2)
    assert rig.reconciler.complete.is_set()


async def test_another_incarnation_is_known_by_its_digest(rig: Rig) -> None:
    before = await rig.placed("alice")
    await rig.pass_time(2 * LEASE_TTL_S, before)
    before.answers = False
    after = await rig.instance("bob", incarnation=SECOND)
    await after.digest()
    await until(lambda: rig.users() == ["bob"], "the users of the one before are gone")
    await before.digest()
    await rig.pass_time(2, after)
    assert rig.users() == ["bob"]
    assert after.asked == 1, "a late digest of the one before changes nothing"


async def test_the_lease_of_the_incarnation_before_does_not_make_the_new_one_live(rig: Rig) -> None:
    before = await rig.placed("alice")
    before.answers = False
    after = await rig.instance("bob", incarnation=SECOND)
    await after.digest()
    await until(lambda: rig.users() == ["bob"], "the new one is known")
    after.answers = False
    for _ in range(2):
        await before.lease()
        await rig.pass_time(LEASE_TTL_S - 2)
    assert rig.users() == [], "it was silent for a lease"


async def test_an_instance_that_says_it_stopped_is_evicted_at_once_whatever_its_lease_says(rig: Rig) -> None:
    instance = await rig.placed("alice")
    instance.users = []
    await instance.digest(stopped=True)
    await until(lambda: rig.users() == [], "evicted")
    await rig.pass_time(3)
    assert instance.asked == 1, "the lease that is left over is not taken for an instance"


async def test_an_instance_that_released_its_lease_is_served_until_it_stops(rig: Rig) -> None:
    instance = await rig.placed("alice")
    await rig.presence.release("notif-1")
    await rig.pass_time(3, instance)
    assert rig.users() == ["alice"]


async def test_who_comes_back_after_it_stopped_is_known_again(rig: Rig) -> None:
    before = await rig.placed("alice")
    before.answers = False
    await before.digest(stopped=True)
    await until(lambda: rig.users() == [] and not rig.reconciler._evicting, "evicted")
    again = await rig.instance("bob", incarnation=SECOND)
    await again.lease()
    await rig.look()
    await until(lambda: rig.users() == ["bob"], "known")


async def test_an_instance_known_by_a_hint_alone_is_not_waited_for_and_does_not_stay(rig: Rig) -> None:
    await rig.hint("alice", "notif-1")
    await rig.look()
    assert rig.reconciler.complete.is_set()
    await until(lambda: rig.users() == ["alice"], "placed by the hint")
    await rig.pass_time(LEASE_TTL_S + 1)
    assert rig.users() == []


async def test_two_reasons_at_once_evict_an_instance_once(rig: Rig) -> None:
    instance = await rig.placed("alice")
    rig.now += 1
    await asyncio.gather(
        rig.reconciler.follow_leases(),
        instance.digest(stopped=True),
        instance.digest(stopped=True),
        rig.reconciler.follow_leases(),
    )
    await until(lambda: rig.users() == [], "evicted")


async def test_looks_at_the_same_time_evict_what_a_snapshot_brought_once() -> None:
    async with rig_without_start() as rig:
        rig.engine.user_online("alice", "notif-1", ["general"])
        await rig.start()
        await rig.pass_time(LEASE_TTL_S)
        assert rig.users() == ["alice"]
        rig.now += 1
        await asyncio.gather(rig.reconciler.follow_leases(), rig.reconciler.follow_leases())
        assert rig.users() == []


async def test_what_a_snapshot_brought_gets_no_stored_event_before_its_presence_set_came() -> None:
    async with rig_without_start() as rig:
        rig.engine.user_online("alice", "notif-1", ["general"])
        await rig.start()
        await rig.look()
        assert rig.reconciler.complete.is_set(), "it may be dead, so nobody waits for it"
        instance = await rig.instance("alice", "bob")
        assert rig.reconciler.is_suspended("notif-1")
        await instance.digest()
        await rig.pass_time(ASK_AGAIN_AFTER_S + 1, instance)
        await until(lambda: rig.users() == ["alice", "bob"], "its presence set came")
        await until(lambda: not rig.reconciler.is_suspended("notif-1"), "it gets events again")


async def test_a_presence_set_of_many_pages_is_reconciled_and_a_hint_that_is_newer_wins(rig: Rig) -> None:
    instance = await rig.placed(*(f"user-{number}" for number in range(10)))
    instance.users = [f"user-{number}" for number in range(5, 2_000)]
    instance.answers = False
    await rig.pass_time(2, instance)  # the same difference twice
    transfer = rig.reconciler._instances["notif-1"].transfer
    assert transfer is not None
    instance.announced = rig.hints
    await rig.hint("user-7", "notif-1", online=False)
    await rig.hint("user-3", "notif-1")
    await instance.send_presence_set(transfer.request)
    expected = sorted({*instance.users, "user-3"} - {"user-7"})
    await until(lambda: rig.users() == expected, "reconciled")


async def test_an_instance_evicted_while_it_is_reconciled_leaves_nobody_behind(rig: Rig) -> None:
    instance = await rig.instance(*(f"user-{number}" for number in range(30_000)))
    await instance.lease()
    await rig.reconciler.follow_leases()
    await until(lambda: len(rig.users()) > 0, "it began")
    await rig.presence.release("notif-1")
    await instance.digest(stopped=True)
    await until(lambda: rig.users() == [], "evicted")
    await rig.presence_applier.settled()
    assert rig.users() == []


async def test_while_an_instance_is_evicted_nobody_is_placed_there(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = await rig.placed("alice")
    drop, go_on = rig.presence_applier.drop_instance, asyncio.Event()

    async def slow_drop(instance_id: str) -> int:
        await go_on.wait()
        return await drop(instance_id)

    monkeypatch.setattr(rig.presence_applier, "drop_instance", slow_drop)
    instance.answers = False
    await instance.digest(stopped=True)
    await rig.hint("carol", "notif-1")
    await rig.pass_time(1, instance)
    assert rig.users() == ["alice"], "what is placed now would be taken off again"
    go_on.set()
    await until(lambda: rig.users() == [] and not rig.reconciler._evicting, "evicted")
    await rig.hint("carol", "notif-1")
    assert rig.users() == [], "it has said that it stopped"
    await rig.hint("carol", "notif-1", incarnation=SECOND)
    await until(lambda: rig.users() == ["carol"], "it runs again")


async def test_what_is_malformed_changes_nothing(rig: Rig) -> None:
    instance = await rig.placed("alice")
    for subject in (PRESENCE_DIGESTS, PRESENCE_HINTS, worker_inbox("worker-1")):
        await rig.bus.publish(subject, b"not json")
        await rig.bus.publish(subject, b'{"type":"digest"}')
    await rig.pass_time(3, instance)
    assert rig.users() == ["alice"]
