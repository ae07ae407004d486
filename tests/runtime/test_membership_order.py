import asyncio
from collections.abc import AsyncIterator

import pytest

from fanout.events import MemberEvent, MemberJoined, MemberLeft
from fanout.membership_versions import CLOCK_SKEW_US
from fanout.ports.memberships import Channel, Membership
from services.runtime.membership_order import OUTDATED, MembershipOrder
from tests.support.faulty import FaultyMemberships, faulty_memberships
from tests.support.reading import soon

START = 1_000_000_000_000


class Clock:
    now = START

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(clock: Clock) -> AsyncIterator[FaultyMemberships]:
    """A store in which bob has just become a member."""
    async with faulty_memberships(clock) as store:
        await store.create(Channel("c", "c", private=False, created_by="ann", created_at="t"), ["bob"])
        yield store


@pytest.fixture
def order(store: FaultyMemberships, clock: Clock) -> MembershipOrder:
    return MembershipOrder(store, clock=clock)


def event(membership: Membership) -> MemberEvent:
    kind = MemberJoined if membership.left_at is None else MemberLeft
    return kind("e", membership.channel_id, membership.user_id, "t", membership.version)


async def bob(store: FaultyMemberships) -> Membership:
    found = await store.membership("c", "bob")
    assert found is not None
    return found


async def leave(store: FaultyMemberships, clock: Clock, later: int = 1) -> Membership:
    clock.now += later
    ended = await store.remove("c", "bob", "t")
    assert ended is not None
    return ended


async def test_an_older_event_after_a_newer_one_is_ignored_and_counted(
    store: FaultyMemberships, clock: Clock, order: MembershipOrder
) -> None:
    joined, ended = await bob(store), await leave(store, clock)
    counted = OUTDATED._value.get()
    assert await order.is_newest(event(ended))
    assert not await order.is_newest(event(joined))
    assert await order.is_newest(event(ended)), "the same again is no older"
    assert OUTDATED._value.get() == counted + 1


async def test_a_fresh_event_needs_no_store(store: FaultyMemberships, clock: Clock, order: MembershipOrder) -> None:
    ended = await leave(store, clock, later=2 * CLOCK_SKEW_US)
    store.down = True
    assert await order.is_newest(event(ended))


async def test_an_event_from_before_the_reader_began_is_checked_against_the_store(
    store: FaultyMemberships, clock: Clock
) -> None:
    joined, ended = await bob(store), await leave(store, clock)
    clock.now += 10 * CLOCK_SKEW_US
    order = MembershipOrder(store, clock=clock)
    assert not await order.is_newest(event(joined)), "nothing newer was seen, but the list that was loaded has it"
    assert await order.is_newest(event(ended))


async def test_a_reader_that_began_later_than_it_was_made_has_missed_the_events_between(
    store: FaultyMemberships, clock: Clock, order: MembershipOrder
) -> None:
    clock.now += 2 * CLOCK_SKEW_US
    await store.remove("c", "bob", "t")
    joined = await store.add("c", ["bob"], "t")
    await store.remove("c", "bob", "t")
    clock.now += CLOCK_SKEW_US // 2
    order.begin()
    assert not await order.is_newest(event(joined[0]))
    assert await order.is_newest(event(await bob(store)))


async def test_an_event_from_before_a_list_was_loaded_is_checked_against_the_store(
    store: FaultyMemberships, clock: Clock, order: MembershipOrder
) -> None:
    await store.mark_published([await leave(store, clock, later=2 * CLOCK_SKEW_US)])
    ended = await bob(store)
    [again] = await store.add("c", ["bob"], "t")
    clock.now += 2 * CLOCK_SKEW_US
    order.loading("bob")
    assert not await order.is_newest(event(ended))
    assert await order.is_newest(event(again))


async def test_an_event_of_a_membership_that_the_store_knows_no_more_is_no_news_unless_somebody_left(
    clock: Clock,
) -> None:
    async with faulty_memberships(clock) as empty:
        order = MembershipOrder(empty, clock=clock)
        assert not await order.is_newest(MemberJoined("e", "c", "bob", "t", 5))
        assert await order.is_newest(MemberLeft("e", "c", "bob", "t", 5))


async def test_nobody_is_asked_where_no_list_can_be_spoilt(
    store: FaultyMemberships, clock: Clock, order: MembershipOrder
) -> None:
    joined, _ = await bob(store), await leave(store, clock)
    store.down = True
    assert await order.is_newest(event(joined), has_list=False)


async def test_a_check_waits_for_a_store_that_is_away(
    store: FaultyMemberships, clock: Clock, order: MembershipOrder
) -> None:
    joined, _ = await bob(store), await leave(store, clock)
    store.down = True
    checking = asyncio.create_task(order.is_newest(event(joined)))
    await asyncio.sleep(0)
    assert not checking.done()
    store.down = False
    assert not await soon(checking)


async def test_what_the_store_has_said_is_known_afterwards(
    store: FaultyMemberships, clock: Clock, order: MembershipOrder
) -> None:
    joined, ended = await bob(store), await leave(store, clock)
    assert not await order.is_newest(event(joined))
    store.down = True
    assert not await order.is_newest(event(joined))
    store.down = False
    assert await order.is_newest(event(ended))
