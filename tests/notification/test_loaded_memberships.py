"""A session is admitted when the workers have applied the membership changes that it has loaded."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fanout import Unavailable
from fanout.events import MemberJoined, encode, timestamp
from fanout.ids import new_event_id
from fanout.subjects import member_joined
from services.notification import routing_barrier
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


async def change_told(rig: Rig, user_id: str) -> int:
    """A user joins, and the event of it is in the log; returns its seq."""
    joined = MemberJoined(new_event_id(), "general", user_id, timestamp(), 1)
    stored = await rig.log.append(member_joined("general"), encode(joined), msg_id=joined.event_id)
    return stored.seq


async def test_a_session_waits_until_the_workers_have_applied_the_changes_that_it_has_loaded(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing_barrier, "ANNOUNCE_AGAIN_AFTER_S", (60.0,))
    seq = await change_told(rig, "alice")
    waiting = asyncio.create_task(rig.user_routing.await_members(session_of("alice")))
    await until(lambda: "alice" in rig.barrier._waiting, "asked for")
    rig.confirm("alice", members_upto=seq - 1)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    rig.confirm("alice", members_upto=seq)
    async with asyncio.timeout(1):
        await waiting
    announced = rig.barrier.announced
    await rig.user_routing.await_members(session_of("bob"))
    assert rig.barrier.announced == announced, "nothing is asked for where all is applied"
    assert not await rig.is_degraded()


async def test_where_a_worker_lags_the_client_is_told_when_it_has_caught_up(rig: Rig) -> None:
    alice = await rig.enter("alice", confirmed=True)
    seq = await change_told(rig, "alice")
    await rig.user_routing.await_members(session_of("alice"))
    assert (await rig.is_degraded(), rig.frames(alice)) == (True, [])
    rig.confirm("alice")
    await asyncio.sleep(0.05)
    assert await rig.is_degraded(), "it is routed, and the change is not applied"
    await until(lambda: rig.is_told_when_applied(seq), "the worker has caught up")
    await rig.all_confirmed()
    assert rig.frames(alice) == [REFRESH]


async def test_a_log_that_went_back_and_holds_no_change_up_to_its_end_holds_up_nobody(rig: Rig) -> None:
    rig.log.outcomes["last_seq"] = 1_000
    await rig.user_routing.await_members(session_of("alice"))
    assert not await rig.is_degraded()


async def test_a_log_that_does_not_answer_holds_up_nobody_and_the_client_is_told_later(rig: Rig) -> None:
    alice = await rig.enter("alice", confirmed=True)
    rig.log.outcomes["last_seq"] = Unavailable("no leader")
    await rig.user_routing.await_members(session_of("alice"))
    assert await rig.is_degraded()
    rig.log.outcomes.clear()
    await until(lambda: rig.is_told_when_applied(0), "the log answers")
    await rig.all_confirmed()
    assert rig.frames(alice) == [REFRESH]


async def test_a_joining_that_is_read_from_the_log_waits_for_the_workers_too(rig: Rig) -> None:
    alice = await rig.enter("alice", confirmed=True)
    seq = await change_told(rig, "alice")
    rig.inbox._hear_early_join("stranger", seq)
    assert not await rig.is_degraded(), "who is not here needs nothing"
    rig.inbox._hear_early_join("alice", seq)
    assert (await rig.is_degraded(), rig.frames(alice)) == (True, [])
    await until(lambda: rig.is_told_when_applied(seq), "the worker has caught up")
    assert rig.frames(alice) == [REFRESH]
    rig.inbox._hear_early_join("alice", seq)
    assert not await rig.is_degraded(), "each worker has applied it"


async def test_a_joining_that_comes_while_the_sessions_are_refreshed_refreshes_them_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = await rig.enter("alice", confirmed=True)
    seq = await change_told(rig, "alice")
    rig.inbox._hear_early_join("alice", seq)
    load, loading, may_return = rig.memberships.packed_channels_of, asyncio.Event(), asyncio.Event()

    async def slow(user_id: str) -> bytes:
        loading.set()
        await may_return.wait()
        return await load(user_id)

    monkeypatch.setattr(rig.memberships, "packed_channels_of", slow)
    await until(lambda: rig.is_told_when_applied(seq) or loading.is_set(), "it is routed, and loads")
    rig.inbox._hear_early_join("alice", seq + 1)
    may_return.set()
    await until(lambda: rig.is_told_when_applied(seq + 1), "the worker has caught up")
    assert rig.frames(alice) == [REFRESH, REFRESH]
