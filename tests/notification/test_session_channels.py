"""A new session reads the channels that the workers have, and those of the store where that is not certain."""

from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from fanout.events import MemberJoined, encode, timestamp
from fanout.ids import new_event_id
from fanout.subjects import member_joined
from services.notification.channel_lists import ChannelList
from services.notification.metrics import CHANNEL_LISTS
from services.notification.session import Session
from services.notification.session_channels import SessionChannels
from tests.support.sessions import session_of
from tests.support.user_routing import Rig, be_impatient, opened_rig


class Lists:
    """Stands for `ChannelLists`: a worker that has one list for everybody."""

    def __init__(self) -> None:
        self.found: ChannelList | None = ChannelList(["routed"], 0)
        self.asked = 0
        self.meanwhile: Callable[[], None] = lambda: None

    async def ask(self, _user_id: str) -> ChannelList | None:
        self.asked += 1
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


def _given_by(who: str) -> float:
    return float(CHANNEL_LISTS.labels(who)._value.get())


async def test_the_list_of_a_worker_is_taken_and_the_store_not_read(rig: Rig, lists: Lists) -> None:
    before = _given_by("worker")
    await loaded(rig, lists)
    assert rig.registry.is_member("ann", "routed")
    assert rig.memberships.calls["channels_of"] == 0
    assert _given_by("worker") == before + 1


async def test_without_a_list_the_store_is_read(rig: Rig, lists: Lists) -> None:
    lists.found, before = None, _given_by("store")
    await loaded(rig, lists)
    assert rig.registry.is_member("ann", "general")
    assert _given_by("store") == before + 1


async def test_a_list_that_changed_meanwhile_is_not_taken(rig: Rig, lists: Lists) -> None:
    lists.meanwhile = lambda: rig.inbox.missed_changes("ann")
    await loaded(rig, lists)
    assert rig.registry.is_member("ann", "general")
    assert not rig.registry.is_member("ann", "routed")


async def test_a_list_is_not_taken_if_a_change_came_while_the_workers_were_waited_for(
    rig: Rig, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    await_members = rig.user_routing.await_members

    async def with_a_change(user_id: str) -> bool:
        known = await await_members(user_id)
        rig.inbox.missed_changes(user_id)  # the worker that is asked may not have applied it
        return known

    monkeypatch.setattr(rig.user_routing, "await_members", with_a_change)
    await loaded(rig, lists)
    assert lists.asked == 1
    assert rig.registry.is_member("ann", "general")
    assert not rig.registry.is_member("ann", "routed")


async def test_no_worker_is_asked_while_one_has_not_applied_what_was_published(rig: Rig, lists: Lists) -> None:
    joined = MemberJoined(new_event_id(), "general", "ben", timestamp(), 1)
    await rig.log.append(member_joined("general"), encode(joined), msg_id=joined.event_id)
    await loaded(rig, lists)
    assert lists.asked == 0
    assert rig.registry.is_member("ann", "general")
    assert await rig.is_degraded(), "the client is told when the worker has applied it"


async def test_every_worker_is_to_know_what_the_list_has(rig: Rig, lists: Lists) -> None:
    lists.found = ChannelList(["routed"], 12)
    await loaded(rig, lists)
    assert rig.registry.is_member("ann", "routed")
    assert await rig.is_degraded(), "the worker of the test has applied nothing"
