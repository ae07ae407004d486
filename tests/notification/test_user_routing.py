"""Users who were admitted before every worker routed to this instance."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from fanout import Unavailable
from fanout.ports.memberships import Memberships
from services.notification.metrics import USERS_UNCONFIRMED
from services.notification.user_routing import RELOADED_AT_ONCE
from services.runtime import tasks as tasks_module
from services.runtime.health import Degraded
from tests.support.harness import Harness, running_harness
from tests.support.observing import until
from tests.support.sessions import session_of
from tests.support.user_routing import REFRESH, Rig, be_impatient, opened_rig


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    be_impatient(monkeypatch)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with opened_rig() as built:
        yield built


async def test_who_is_confirmed_late_reads_channels_again(rig: Rig) -> None:
    alice = await rig.enter("alice")
    await rig.change_unheard("alice")
    assert await rig.is_degraded()
    assert USERS_UNCONFIRMED._value.get() == 1
    assert (rig.frames(alice), rig.registry.is_member("alice", "general")) == ([], False)
    rig.confirm("alice")
    await rig.all_confirmed()
    assert rig.frames(alice) == [REFRESH]
    assert rig.registry.is_member("alice", "general")
    assert not await rig.is_degraded()
    assert (USERS_UNCONFIRMED._value.get(), rig.waiting()) == (0, 0)


async def test_who_is_confirmed_in_time_is_told_nothing(rig: Rig) -> None:
    entering = asyncio.create_task(rig.enter("alice"))
    await until(lambda: "alice" in rig.barrier._waiting, "announced")
    rig.confirm("alice")
    assert rig.frames(await entering) == []
    assert (await rig.is_degraded(), rig.waiting()) == (False, 0)


async def test_until_then_no_heartbeat_says_that_anything_new_was_delivered(rig: Rig) -> None:
    await rig.deliver_everything()
    admitted_at = rig.inbox.delivered_upto()
    alice, bob = await rig.enter("alice"), session_of("bob")
    await rig.deliver_everything()
    assert rig.user_routing.delivered_upto(bob) == rig.inbox.delivered_upto() > admitted_at
    assert rig.user_routing.delivered_upto(alice) == admitted_at
    rig.confirm("alice")
    await rig.all_confirmed()
    assert rig.user_routing.delivered_upto(alice) == rig.inbox.delivered_upto()


async def test_no_heartbeat_says_more_than_the_connection_was_given(rig: Rig) -> None:
    await rig.deliver_everything()
    delivered, session = rig.inbox.delivered_upto(), session_of("alice")
    session.is_live, session.given = False, delivered - 1
    assert rig.user_routing.delivered_upto(session) == delivered - 1
    session.is_live = True
    assert rig.user_routing.delivered_upto(session) == delivered
    session.given = delivered + 1
    assert rig.user_routing.delivered_upto(session) == delivered + 1


async def test_who_is_not_confirmed_is_announced_again(rig: Rig) -> None:
    await rig.enter("alice")
    announced = rig.barrier.announced
    await until(lambda: rig.barrier.announced > announced + 2, "announced again and again")
    assert rig.waiting() == 1


async def test_who_leaves_is_announced_no_more(rig: Rig) -> None:
    alice = await rig.enter("alice")
    await rig.leave(alice)
    announced = rig.barrier.announced
    assert (await rig.is_degraded(), rig.waiting(), USERS_UNCONFIRMED._value.get()) == (False, 0, 0)
    await rig.deliver_everything()
    assert rig.user_routing.delivered_upto(alice) == rig.inbox.delivered_upto()
    await asyncio.sleep(0.1)
    assert rig.barrier.announced == announced


async def test_nothing_announces_a_user_after_the_departure_also_if_a_cancellation_is_lost(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `asyncio.wait_for` may lose it on Python 3.11."""
    monkeypatch.setattr(tasks_module, "CANCEL_AGAIN_AFTER_S", 0.02)
    alice = await rig.enter("alice")
    publish, lost = rig.bus.publish, asyncio.Event()

    async def deaf(subject: str, payload: bytes) -> None:
        if not lost.is_set():
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                lost.set()
        await publish(subject, payload)

    monkeypatch.setattr(rig.bus, "publish", deaf)
    await asyncio.sleep(0.05)
    await rig.leave(alice)
    assert lost.is_set()
    assert rig.waiting() == 0


async def test_who_comes_again_is_waited_for_again(rig: Rig) -> None:
    await rig.leave(await rig.enter("alice"))
    again = await rig.enter("alice")
    assert await rig.is_degraded()
    rig.confirm("alice")
    await rig.all_confirmed()
    assert rig.frames(again) == [REFRESH]


async def test_a_device_that_comes_meanwhile_is_told_too_and_keeps_the_wait(rig: Rig) -> None:
    phone = await rig.enter("alice")
    desktop, tablet = await rig.enter("alice"), await rig.enter("alice")
    assert rig.waiting() == 1
    await rig.leave(phone)
    tablet.end(1012, "as if the instance stopped")  # type: ignore[arg-type]
    rig.confirm("alice")
    await rig.all_confirmed()
    assert [rig.frames(session) for session in (phone, desktop, tablet)] == [[], [REFRESH], []]


async def test_each_user_is_waited_for_alone(rig: Rig) -> None:
    alice, bob = await asyncio.gather(rig.enter("alice"), rig.enter("bob"))
    rig.confirm("alice")
    await until(lambda: rig.frames(alice) == [REFRESH], "alice is told")
    with pytest.raises(Degraded, match=r"confirmed: 1$"):
        await rig.user_routing.check()
    assert rig.frames(bob) == []
    rig.confirm("bob")
    await rig.all_confirmed()
    assert rig.frames(bob) == [REFRESH]


async def test_while_the_membership_store_is_away_nobody_is_told_to_read_what_is_not_theirs(rig: Rig) -> None:
    alice = await rig.enter("alice")
    await rig.change_unheard("alice")
    rig.memberships.down = True
    rig.confirm("alice")
    await until(lambda: rig.memberships.calls["packed_channels_of"] > 2, "asked again")
    assert (rig.frames(alice), await rig.is_degraded()) == ([], True)
    rig.memberships.down = False
    await rig.all_confirmed()
    assert (rig.frames(alice), rig.registry.is_member("alice", "general")) == ([REFRESH], True)


async def test_a_list_that_is_being_loaded_when_the_routing_is_confirmed_is_loaded_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.enter("alice")
    load, may_return = rig.memberships.packed_channels_of, asyncio.Event()

    async def slow_once(user_id: str) -> bytes:
        channels = await load(user_id)
        monkeypatch.setattr(rig.memberships, "packed_channels_of", load)
        await may_return.wait()
        return channels

    monkeypatch.setattr(rig.memberships, "packed_channels_of", slow_once)
    second = asyncio.create_task(rig.enter("alice"))
    await until(lambda: rig.memberships.packed_channels_of is load, "the old list is on its way")
    await rig.change_unheard("alice")
    rig.confirm("alice")
    await rig.all_confirmed()
    may_return.set()
    await second
    assert rig.registry.is_member("alice", "general")


async def test_when_many_are_confirmed_at_once_only_so_many_lists_are_loaded_at_a_time(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = [f"user-{number}" for number in range(3 * RELOADED_AT_ONCE)]
    sessions = await asyncio.gather(*map(rig.enter, users))
    loading: list[int] = [0, 0]

    async def counted(_user_id: str) -> bytes:
        loading[0] += 1
        loading[1] = max(loading)
        await asyncio.sleep(0.001)
        loading[0] -= 1
        return b""

    monkeypatch.setattr(rig.memberships, "packed_channels_of", counted)
    rig.confirm(*users)
    await rig.all_confirmed()
    assert loading == [0, RELOADED_AT_ONCE]
    assert all(rig.frames(session) == [REFRESH] for session in sessions)


async def test_the_wait_ends_with_the_instance(rig: Rig) -> None:
    await rig.enter("alice")
    rig.memberships.blocked = True
    rig.confirm("alice")
    await until(lambda: rig.memberships.calls["packed_channels_of"] == 2, "the list is being loaded")
    await rig.tasks.cancel()
    assert rig.waiting() == 0


class Away:
    """A view of a membership store that does not answer one worker about some users."""

    def __init__(self, memberships: Memberships, *users: str) -> None:
        self._memberships = memberships
        self.away_for = users

    def __getattr__(self, name: str) -> Any:
        return getattr(self._memberships, name)

    async def packed_channels_of(self, user_id: str) -> bytes:
        if user_id in self.away_for:
            raise Unavailable("away for this worker")
        return await self._memberships.packed_channels_of(user_id)


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    async with running_harness(tmp_path, partitions=1) as built:
        yield built


async def test_a_client_whom_a_worker_cannot_route_to_is_told_when_it_can(harness: Harness) -> None:
    await harness.create("bobs", "bob")
    await harness.create("general", "alice")
    store = Away(harness.memberships, "alice")
    await harness.add_worker("worker-1", memberships=cast("Memberships", store))
    await harness.settle_partitions()
    instance = await harness.add_instance("notif-1")
    bob = await harness.connect(instance, "bob")
    await harness.say("bobs", "1")
    await until(lambda: bob.texts() == ["1"], "the lane is known")
    alice = await harness.connect(instance, "alice")
    await harness.say("general", "2")
    await harness.say("bobs", "3")
    await until(lambda: bob.texts() == ["1", "3"], "delivery is behind what alice misses")
    alice.send("heartbeat")
    await until(lambda: bool(alice.of_type("heartbeat.ok")), "answered")
    assert (alice.of_type("heartbeat.ok")[0]["seq"], alice.texts()) == (1, [])
    store.away_for = ()
    await until(lambda: bool(alice.of_type("full_refresh_required")), "told")
    await harness.say("general", "4")
    await until(lambda: alice.texts() == ["4"], "it comes")
    await instance.check_routing()


async def test_an_instance_drains_with_users_who_are_not_confirmed(harness: Harness) -> None:
    await harness.create("general", "alice", "bob")
    await harness.add_worker("worker-1", memberships=cast("Memberships", Away(harness.memberships, "alice", "bob")))
    instance = await harness.add_instance("notif-1")
    clients = await asyncio.gather(*(harness.connect(instance, user) for user in ("alice", "bob")))
    await instance.drain()
    assert [client.close_code for client in clients] == [1012, 1012]
    await until(lambda: not instance._user_routing._unconfirmed, "forgotten")
    await instance.check_routing()
