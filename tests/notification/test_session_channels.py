"""A new session reads the channels that the workers have, and those of the store where that is not certain."""

from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from fanout.events import MemberJoined, encode, timestamp
from fanout.ids import new_event_id
from fanout.subjects import member_joined
from services.notification.metrics import CHANNEL_LISTS
from services.notification.session import Session
from services.notification.session_channels import SessionChannels
from tests.support.sessions import session_of
from tests.support.user_routing import Rig, be_impatient, opened_rig


class Lists:
    """Stands for `ChannelLists`: a worker that has one list for everybody."""

    def __init__(self) -> None:
        self.found: bytes | None = b"routed"
        self.changes_lost = False
        self.asked: list[int] = []
        """Up to which position of META the list had to have the changes, each time."""
        self.meanwhile: Callable[[], None] = lambda: None

    def were_changes_lost(self) -> bool:
        return self.changes_lost

    async def ask(self, _user_id: str, *, members_upto: int) -> bytes | None:
        self.asked.append(members_upto)
        self.meanwhile()
        return self.found


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    be_impatient(monkeypatch)
    async with opened_rig() as built:
        await built.change_unheard("ann")
        yield built


@pytest.fixture
def lists() -> Lists:
    return Lists()


async def loaded(rig: Rig, lists: Lists) -> Session:
    """A session of ann, whose channels are loaded: general as of the store."""
    session = session_of("ann")
    rig.registry.add(session)
    channels = SessionChannels(rig.registry, rig.inbox, rig.user_routing, cast("Any", lists), rig.memberships)
    await channels.load(session)
    return session


async def _join_ben(rig: Rig) -> int:
    joined = MemberJoined(new_event_id(), "general", "ben", timestamp(), 1)
    return (await rig.log.append(member_joined("general"), encode(joined), msg_id=joined.event_id)).seq


def _given_by(who: str) -> float:
    return float(CHANNEL_LISTS.labels(who)._value.get())


async def test_the_list_of_a_worker_is_taken_and_the_store_not_read(rig: Rig, lists: Lists) -> None:
    before = _given_by("worker")
    await loaded(rig, lists)
    assert rig.registry.is_member("ann", "routed")
    assert rig.memberships.calls["packed_channels_of"] == 0
    assert _given_by("worker") == before + 1


async def test_after_a_loss_of_changes_the_store_is_read_before_workers_are_waited_for(
    rig: Rig, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists.changes_lost, wait = True, rig.user_routing.await_members
    reads: list[int] = []

    async def watched(session: Session) -> int | None:
        reads.append(rig.memberships.calls["packed_channels_of"])
        return await wait(session)

    monkeypatch.setattr(rig.user_routing, "await_members", watched)
    await loaded(rig, lists)
    assert rig.registry.is_member("ann", "general")
    assert reads == [1], "it waits once, when the store has been read"


async def test_without_a_list_the_store_is_read(rig: Rig, lists: Lists) -> None:
    lists.found, before = None, _given_by("store")
    await loaded(rig, lists)
    assert rig.registry.is_member("ann", "general")
    assert _given_by("store") == before + 1


async def test_a_list_that_changed_meanwhile_is_not_taken(
    rig: Rig, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe, taken = rig.registry.subscribe, list[bytes]()

    async def watched(session: Session, channels: bytes) -> None:
        taken.append(channels)
        await subscribe(session, channels)

    monkeypatch.setattr(rig.registry, "subscribe", watched)
    lists.meanwhile = lambda: rig.inbox.missed_changes("ann")
    await loaded(rig, lists)
    assert taken == [b"general"], "not for a moment: other sessions of the user would lose what has come meanwhile"
    assert rig.registry.is_member("ann", "general")
    assert not rig.registry.is_member("ann", "routed")


async def test_a_list_is_not_taken_if_a_change_came_while_the_workers_were_waited_for(
    rig: Rig, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    await_members = rig.user_routing.await_members

    async def with_a_change(session: Session) -> int | None:
        known = await await_members(session)
        rig.inbox.missed_changes(session.user_id)  # the worker that is asked may not have applied it
        return known

    monkeypatch.setattr(rig.user_routing, "await_members", with_a_change)
    await loaded(rig, lists)
    assert len(lists.asked) == 1
    assert rig.registry.is_member("ann", "general")
    assert not rig.registry.is_member("ann", "routed")


async def test_no_worker_is_asked_while_one_has_not_applied_what_was_published(rig: Rig, lists: Lists) -> None:
    await _join_ben(rig)
    await loaded(rig, lists)
    assert not lists.asked
    assert rig.registry.is_member("ann", "general")
    assert await rig.is_degraded(), "the client is told when the worker has applied it"


async def test_a_list_has_to_have_what_was_published_before(rig: Rig, lists: Lists) -> None:
    seq = await _join_ben(rig)
    rig.confirm(members_upto=seq)
    await loaded(rig, lists)
    assert lists.asked == [seq]


async def test_after_a_loss_the_list_has_to_be_of_after_it(rig: Rig, lists: Lists) -> None:
    rig.log.outcomes["last_seq"] = 1_000  # a position that no event has: the log went back, and holds nothing yet
    await loaded(rig, lists)
    assert lists.asked == [1_000]


async def test_every_worker_is_to_know_what_the_list_has(
    rig: Rig, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(_user_id: str, *, members_upto: int) -> bytes:
        await _join_ben(rig)  # the worker that gives the list has applied it, and another one has not
        return b"routed"

    monkeypatch.setattr(lists, "ask", ask)
    await loaded(rig, lists)
    assert rig.registry.is_member("ann", "routed")
    assert await rig.is_degraded(), "the worker of the test has not applied what came meanwhile"
