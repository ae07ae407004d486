import asyncio
from collections.abc import AsyncIterator
from typing import Final, cast

import pytest

from fanout.errors import OutcomeUnknown, Unavailable
from fanout.events import MemberJoined, MemberLeft, decode_member_event
from fanout.ports.log import Appended, Log
from fanout.ports.memberships import Channel, Membership
from fanout.streams import META
from fanout.subjects import channel_of
from services.command.membership_publisher import RENEW_AFTER_US, MembershipPublisher
from services.command.metrics import CHANGES_PUBLISHED_LATE, CHANGES_UNPUBLISHED
from tests.support.faulty import FaultyLog, FaultyMemberships, faulty_log, faulty_memberships

GENERAL = Channel("general", "General", private=False, created_by="ann", created_at="t0")

PAST_THE_DEDUP_WINDOW_US: Final = 3_600_000_000


class Clock:
    now = 1_000_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def log(clock: Clock) -> AsyncIterator[FaultyLog]:
    async with faulty_log(clock=lambda: clock.now / 1e6) as log:
        yield log


@pytest.fixture
async def store(clock: Clock) -> AsyncIterator[FaultyMemberships]:
    async with faulty_memberships(clock) as store:
        await store.create(GENERAL, ["ann"], published=True)
        yield store


@pytest.fixture
def publisher(log: FaultyLog, store: FaultyMemberships, clock: Clock) -> MembershipPublisher:
    return MembershipPublisher(log, store, clock)


async def events(log: FaultyLog) -> list[MemberJoined | MemberLeft]:
    return [decode_member_event(stored.payload, channel_of(stored.subject)) for stored in await log.stored(META)]


async def published(log: FaultyLog) -> list[tuple[str, str, int]]:
    held = await events(log)
    return [("-" if isinstance(event, MemberLeft) else "+", event.user_id, event.version) for event in held]


async def leave(store: FaultyMemberships, user_id: str) -> Membership:
    ended = await store.remove("general", user_id, "t2")
    assert ended is not None
    return ended


async def test_a_change_is_published_with_its_version_and_time(
    log: FaultyLog, store: FaultyMemberships, publisher: MembershipPublisher
) -> None:
    [bob] = await store.add("general", ["bob"], "t1")
    await publisher.publish([bob])
    ended = await leave(store, "bob")
    await publisher.publish([ended])
    assert await published(log) == [("+", "bob", bob.version), ("-", "bob", ended.version)]
    assert [event.at for event in await events(log)] == ["t1", "t2"]
    assert await store.count_unpublished() == 0


async def test_a_change_that_was_made_and_not_published_is_not_said_to_be_undone(
    log: FaultyLog, store: FaultyMemberships, publisher: MembershipPublisher
) -> None:
    changed = await store.add("general", ["bob"], "t1")
    log.down = True
    with pytest.raises(OutcomeUnknown, match="the change is made"):
        await publisher.publish(changed)
    store.down = True
    with pytest.raises(OutcomeUnknown, match="the change is made"):
        await publisher.finish_creation("general")


async def test_what_was_published_is_not_republished(
    log: FaultyLog, store: FaultyMemberships, publisher: MembershipPublisher, clock: Clock
) -> None:
    await publisher.publish(await store.add("general", ["bob"], "t1"))
    clock.now += PAST_THE_DEDUP_WINDOW_US
    await publisher.publish(await store.add("general", ["ann", "bob"], "t1"))
    assert len(await published(log)) == 1


async def test_the_sweep_publishes_what_no_call_published(
    log: FaultyLog, store: FaultyMemberships, publisher: MembershipPublisher
) -> None:
    await store.add("general", ["bob", "cat"], "t1")
    await leave(store, "cat")
    counted = CHANGES_PUBLISHED_LATE._value.get()
    await publisher.sweep()
    assert [kind + user for kind, user, _ in await published(log)] == ["+bob", "-cat"]
    assert CHANGES_PUBLISHED_LATE._value.get() == counted + 2
    assert CHANGES_UNPUBLISHED._value.get() == 2
    await publisher.sweep()
    assert len(await published(log)) == 2
    assert CHANGES_PUBLISHED_LATE._value.get() == counted + 2
    assert CHANGES_UNPUBLISHED._value.get() == 0


async def test_a_sweep_beside_the_call_publishes_nothing_twice(
    log: FaultyLog, store: FaultyMemberships, publisher: MembershipPublisher
) -> None:
    changed = await store.add("general", ["bob", "cat"], "t1")
    await asyncio.gather(publisher.publish(changed), publisher.sweep(), publisher.sweep())
    assert sorted(user for _, user, _ in await published(log)) == ["bob", "cat"]


async def test_a_sweep_goes_on_until_everything_is_published(
    log: FaultyLog, store: FaultyMemberships, publisher: MembershipPublisher
) -> None:
    users = [f"user-{number}" for number in range(1_201)]
    await store.add("general", users, "t1")
    await publisher.sweep()
    assert [user for _, user, _ in await published(log)] == sorted(users)


async def test_a_sweep_that_the_log_stops_is_taken_up_by_the_next(
    log: FaultyLog, store: FaultyMemberships, publisher: MembershipPublisher
) -> None:
    await store.add("general", ["bob", "cat", "dan"], "t1")
    log.fail_after = 3  # it is asked for its end, and has two events
    with pytest.raises(Unavailable):
        await publisher.sweep()
    await publisher.sweep()
    assert [user for _, user, _ in await published(log)] == ["bob", "cat", "dan"]


async def test_a_creation_that_no_call_finished_is_finished_by_the_sweep(
    log: FaultyLog, store: FaultyMemberships, publisher: MembershipPublisher
) -> None:
    await store.create(Channel("other", "o", private=True, created_by="bob", created_at="t0"), ["bob", "cat"])
    await publisher.sweep()
    assert [user for _, user, _ in await published(log)] == ["bob", "cat"]
    assert await store.unfinished(10) == []
    assert not await publisher.finish_creation("other")


class Overtaken:
    """A way to the log on which an event takes so long that bob leaves meanwhile."""

    def __init__(self, log: FaultyLog, store: FaultyMemberships) -> None:
        self._log = log
        self._store = store

    async def last_seq(self, stream: str) -> int:
        return await self._log.last_seq(stream)

    async def append(self, subject: str, payload: bytes, *, msg_id: str) -> Appended:
        await leave(self._store, "bob")
        return await self._log.append(subject, payload, msg_id=msg_id)


async def test_publishing_a_change_does_not_mark_a_newer_one_as_published(
    log: FaultyLog, store: FaultyMemberships, publisher: MembershipPublisher, clock: Clock
) -> None:
    joined = await store.add("general", ["bob"], "t1")
    await MembershipPublisher(cast("Log", Overtaken(log, store)), store, clock).publish(joined)
    assert await store.count_unpublished() == 1
    await publisher.sweep()
    assert [kind + user for kind, user, _ in await published(log)] == ["+bob", "-bob"]


@pytest.mark.parametrize("by", ["sweep", "call"])
async def test_a_change_that_is_published_late_gets_a_version_of_now(
    log: FaultyLog, store: FaultyMemberships, publisher: MembershipPublisher, clock: Clock, by: str
) -> None:
    """So that a search by version finds the changes that the log has after a point."""
    [bob] = await store.add("general", ["bob"], "t1")
    clock.now += RENEW_AFTER_US + 1
    [cat] = await store.add("general", ["cat"], "t1")
    await (publisher.sweep() if by == "sweep" else publisher.publish([bob, cat]))
    assert sorted(await published(log)) == [("+", "bob", clock.now), ("+", "cat", cat.version)]
    assert bob.version < clock.now
    assert await store.count_unpublished() == 0


async def test_changes_are_republished_as_they_stand_now(
    log: FaultyLog, store: FaultyMemberships, publisher: MembershipPublisher, clock: Clock
) -> None:
    await publisher.publish(await store.add("general", ["early"], "t1"))
    clock.now += 1_000
    since = clock.now
    users = [f"user-{number:04}" for number in range(700)]
    await publisher.publish(await store.add("general", users, "t1"))
    clock.now += 1
    await publisher.publish([await leave(store, "user-0000")])
    before = await published(log)
    assert await publisher.republish_since(since) == 0, "the log holds them all"
    async with faulty_log() as emptied:
        assert await MembershipPublisher(emptied, store, clock).republish_since(since) == 700
        assert await published(emptied) == before[2:], "each as it stands, by its version, the newest last"


async def test_a_document_is_kept_an_hour_after_it_was_republished(
    store: FaultyMemberships, publisher: MembershipPublisher, clock: Clock
) -> None:
    await publisher.publish(await store.add("general", ["bob"], "t1"))
    await publisher.publish([await leave(store, "bob")])
    clock.now += 3_599_000_000
    await publisher.republish_since(0)
    clock.now += 3_599_000_000
    await publisher.prune()
    assert await store.membership("general", "bob") is not None
    clock.now += 1_000_000
    await publisher.prune()
    assert await store.membership("general", "bob") is None
