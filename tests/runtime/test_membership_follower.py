import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast

import pytest

from fanout.events import encode, timestamp
from fanout.ports.log import Reset
from fanout.ports.memberships import Channel
from fanout.streams import MESSAGES, META
from fanout.subjects import member_left
from services.command.membership_publisher import MembershipPublisher
from services.runtime.health import Degraded
from services.runtime.membership_cache import MAX_LAG_S, MembershipCache
from services.runtime.membership_follower import SILENT_AFTER_S, MembershipFollower, following_memberships
from services.runtime.tasks import Tasks
from tests.support.faulty import FaultyLog, FaultyMemberships, faulty_log, faulty_memberships
from tests.support.observing import until


def fail(error: BaseException) -> None:
    raise error


class World(NamedTuple):
    """A log, a store in which bob is a member of general, and two caches: each is of another gateway."""

    log: FaultyLog
    store: FaultyMemberships
    publisher: MembershipPublisher
    cache: MembershipCache
    follower: MembershipFollower

    async def keep(self) -> None:
        """Have the cache hold that bob is a member."""
        await until(lambda: self.cache.is_current, "followed")
        assert await self.cache.is_member("general", "bob")
        assert len(self.cache) == 1

    async def remove(self, *, publish: bool = True) -> None:
        ended = await self.store.remove("general", "bob", timestamp())
        assert ended is not None
        if publish:
            await self.publisher.publish([ended])


@asynccontextmanager
async def opened_world() -> AsyncIterator[World]:
    failures: list[BaseException] = []
    async with faulty_log() as log, faulty_memberships() as store:
        await store.create(Channel("general", "g", private=False, created_by="bob", created_at="t"), ["bob"])
        async with following_memberships(log, store, failures.append) as (cache, follower):
            yield World(log, store, MembershipPublisher(log, store), cache, follower)
    assert not failures


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with opened_world() as world:
        yield world


async def test_a_change_of_another_gateway_is_heard(world: World) -> None:
    await world.keep()
    await world.remove()
    await until(lambda: len(world.cache) == 0, "heard")
    assert not await world.cache.is_member("general", "bob")
    assert world.cache.is_current


async def test_what_was_published_before_is_not_read_again(world: World) -> None:
    await world.keep()
    async with following_memberships(world.log, world.store, fail) as (cache, _):
        await until(lambda: cache.is_current, "followed")
        assert await cache.is_member("general", "bob")


async def test_an_event_that_cannot_be_read_empties_the_cache(world: World) -> None:
    await world.keep()
    await world.log.append(member_left("general"), encode({"type": "unknown"}), msg_id="x")
    await until(lambda: len(world.cache) == 0, "cleared")
    await world.keep()


@pytest.mark.parametrize("fault", ["down", "blocked"])
async def test_without_the_log_the_store_is_asked_until_the_log_is_back(world: World, fault: str) -> None:
    await world.keep()
    setattr(world.log, fault, True)
    await until(lambda: not world.cache.is_current, "not followed")
    await world.remove(publish=False)
    assert not await world.cache.is_member("general", "bob")
    setattr(world.log, fault, False)
    await until(lambda: world.cache.is_current, "followed again")
    assert not await world.cache.is_member("general", "bob"), "its event is published later, by a sweep"


class Tail:
    """A reader that lags: it returns what it is given."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Any] = asyncio.Queue()

    async def fetch(self) -> Any:
        return await self.events.get()

    async def close(self) -> None:
        pass


class Lagging:
    """A log whose end is known and whose reader lags."""

    def __init__(self) -> None:
        self.end = 7
        self.reader = Tail()

    async def last_seq(self, stream: str) -> int:
        assert stream == META
        return self.end

    async def tail(self, stream: str, *, after: int) -> Tail:
        assert (stream, after) == (META, 7)
        return self.reader


async def test_a_reader_that_lags_proves_nothing() -> None:
    async with opened_world() as world, Tasks(fail) as tasks:
        lagging = Lagging()
        cache = MembershipCache(world.store)
        MembershipFollower(cast("Any", lagging), cache).start(tasks)
        await until(lambda: cache.is_current, "followed")
        await cache.is_member("general", "bob")
        lagging.end = 8
        await until(lambda: not cache.is_current, "not followed")
        await world.remove()
        [left] = (await world.log.stored(META))[-1:]
        await lagging.reader.events.put([left._replace(seq=8)])
        await until(lambda: cache.is_current, "followed again")
        assert len(cache) == 0


async def test_a_log_that_went_back_empties_the_cache_which_is_followed_again_though_nothing_comes() -> None:
    async with opened_world() as world, Tasks(fail) as tasks:
        lagging = Lagging()
        cache = MembershipCache(world.store)
        follower = MembershipFollower(cast("Any", lagging), cache)
        follower.start(tasks)
        await until(lambda: cache.is_current, "followed")
        await cache.is_member("general", "bob")
        follower.hear(Reset(MESSAGES, 0))
        assert len(cache) == 1
        lagging.end = 1_000_000  # where it begins again, though no event is there
        follower.hear(Reset(META, 0))
        assert (len(cache), cache.is_current) == (0, False)
        await until(lambda: cache.is_current, "followed again")


async def test_the_log_tells_of_a_reset(world: World) -> None:
    await world.keep()
    await world.log.recall(META, 1_000, 5)
    assert len(world.cache) == 0
    await world.keep()


async def test_a_long_silence_shows_in_the_health() -> None:
    now = 50.0
    lagging = Lagging()
    async with opened_world() as world:
        cache = MembershipCache(world.store, clock=lambda: now)
        follower = MembershipFollower(cast("Any", lagging), cache, lambda: now)
        await follower.check_ready()  # it has just begun
        now += SILENT_AFTER_S + 0.1
        with pytest.raises(Degraded):
            await follower.check_ready()
        async with Tasks(fail) as tasks:
            follower.start(tasks)
            await until(lambda: cache.is_current, "followed")
        await follower.check_ready()


async def test_nothing_is_used_after_the_end() -> None:
    async with faulty_log() as log, faulty_memberships() as store:
        await store.create(Channel("general", "g", private=False, created_by="bob", created_at="t"), ["bob"])
        async with following_memberships(log, store, fail) as (cache, _):
            await until(lambda: cache.is_current, "followed")
            assert await cache.is_member("general", "bob")
        assert (len(cache), cache.is_current) == (0, False)
    assert MAX_LAG_S < 1.0, "one second is promised"
