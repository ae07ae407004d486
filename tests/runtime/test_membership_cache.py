import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY

from fanout.errors import Unavailable
from services.runtime.membership_cache import MAX_AGE_S, MAX_LAG_S, MembershipCache
from tests.support.observing import until


class Store:
    """Says who is a member. Its answers are those of the moment at which it is asked, and may arrive later."""

    def __init__(self) -> None:
        self.members = {("general", "bob")}
        self.asked = 0
        self.arrive = asyncio.Event()
        self.arrive.set()
        self.down = False

    async def is_member(self, channel_id: str, user_id: str) -> bool:
        self.asked += 1
        if self.down:
            raise Unavailable("switched off")
        answer = (channel_id, user_id) in self.members
        await self.arrive.wait()
        return answer


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(store: Store, clock: Clock) -> MembershipCache:
    """A cache that has heard everything up to now."""
    cache = cache_over(store, clock)
    cache.heard_up_to(clock.now)
    return cache


def cache_over(store: Store, clock: Clock, **options: Any) -> MembershipCache:
    return MembershipCache(cast("Any", store), clock=clock, **options)


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def checked(cache: MembershipCache, times: int = 2) -> list[bool]:
    return [await cache.is_member("general", "bob") for _ in range(times)]


def held(store: Store, work: Coroutine[Any, Any, bool]) -> "asyncio.Task[bool]":
    """A check whose answer is on its way."""
    store.arrive.clear()
    return asyncio.create_task(work)


async def test_a_member_is_asked_for_once_and_answers_are_counted(store: Store, cache: MembershipCache) -> None:
    before = [counted("fanout_membership_checks_total", answered_by=by) for by in ("cache", "store")]
    assert await checked(cache, 3) == [True, True, True]
    after = [counted("fanout_membership_checks_total", answered_by=by) for by in ("cache", "store")]
    assert (store.asked, [now - then for now, then in zip(after, before, strict=True)]) == (1, [2, 1])


async def test_who_is_no_member_is_asked_for_each_time_and_is_let_in_at_once(
    store: Store, cache: MembershipCache
) -> None:
    store.members.clear()
    assert await checked(cache) == [False, False]
    store.members.add(("general", "bob"))
    assert await checked(cache) == [True, True]
    assert store.asked == 3


async def test_a_change_that_was_heard_is_respected(store: Store, cache: MembershipCache) -> None:
    await checked(cache)
    store.members.clear()
    cache.changed("general", "bob")
    assert await checked(cache) == [False, False]


async def test_a_change_of_another_membership_changes_nothing(store: Store, cache: MembershipCache) -> None:
    await checked(cache)
    cache.changed("general", "alice")
    cache.changed("random", "bob")
    assert (await checked(cache), store.asked) == ([True, True], 1)


async def test_an_answer_that_was_under_way_when_the_change_was_heard_is_asked_for_again(
    store: Store, cache: MembershipCache
) -> None:
    asking = [held(store, cache.is_member("general", "bob")) for _ in range(2)]
    await until(lambda: store.asked == 2, "asked")
    store.members.clear()
    cache.changed("general", "bob")
    store.arrive.set()
    assert [await each for each in asking] == [False, False]
    assert await checked(cache) == [False, False]


async def test_a_change_of_another_membership_leaves_an_answer_under_way_alone(
    store: Store, cache: MembershipCache
) -> None:
    asking = held(store, cache.is_member("general", "bob"))
    await until(lambda: store.asked == 1, "asked")
    cache.changed("general", "alice")
    store.arrive.set()
    assert await asking
    assert (await checked(cache), store.asked) == ([True, True], 1)


async def test_an_answer_that_was_under_way_when_the_cache_was_cleared_is_not_kept(
    store: Store, cache: MembershipCache, clock: Clock
) -> None:
    asking = held(store, cache.is_member("general", "bob"))
    await until(lambda: store.asked == 1, "asked")
    cache.clear()
    cache.heard_up_to(clock.now)
    store.arrive.set()
    assert (await asking, store.asked, len(cache)) == (True, 1, 0)


@pytest.mark.parametrize("later", [MAX_LAG_S + 0.01, -1.0])
async def test_while_changes_are_not_known_to_be_heard_each_check_asks_the_store(
    store: Store, cache: MembershipCache, clock: Clock, later: float
) -> None:
    if later < 0:  # never followed
        cache = cache_over(store, clock)
    await checked(cache)
    asked = store.asked
    clock.now += abs(later)
    store.members.clear()
    assert await checked(cache) == [False, False]
    assert store.asked == asked + 2


async def test_what_was_kept_before_a_silence_is_not_used_after_it(
    store: Store, cache: MembershipCache, clock: Clock
) -> None:
    await checked(cache)
    clock.now += MAX_LAG_S + 0.01
    store.members.clear()  # its event may come much later
    cache.heard_up_to(clock.now)
    assert await checked(cache) == [False, False]


async def test_an_answer_is_used_while_it_is_followed_until_it_is_too_old(
    store: Store, cache: MembershipCache, clock: Clock
) -> None:
    await checked(cache)
    begun = clock.now
    while clock.now + 0.5 <= begun + MAX_AGE_S:
        clock.now += 0.5
        cache.heard_up_to(clock.now)
    assert (await checked(cache), store.asked) == ([True, True], 1)
    clock.now += 0.5
    assert (await checked(cache), store.asked) == ([True, True], 2)


async def test_an_older_proof_takes_nothing_back(store: Store, cache: MembershipCache, clock: Clock) -> None:
    cache.heard_up_to(clock.now - 0.5)
    clock.now += MAX_LAG_S - 0.1
    assert (await checked(cache), store.asked) == ([True, True], 1)


async def test_the_answers_that_were_not_used_for_longest_go_first(store: Store, clock: Clock) -> None:
    cache = cache_over(store, clock, capacity=2)
    cache.heard_up_to(clock.now)
    store.members |= {("general", "alice"), ("general", "carol")}
    before = counted("fanout_membership_cache_dropped_total", reason="full")
    for user in ("alice", "bob", "alice", "carol", "alice", "carol"):
        assert await cache.is_member("general", user)
    assert (store.asked, len(cache)) == (3, 2)
    assert counted("fanout_membership_cache_dropped_total", reason="full") == before + 1


@pytest.mark.parametrize(
    "drop",
    [
        pytest.param(lambda cache: cache.changed("general", "bob"), id="changed"),
        pytest.param(lambda cache: cache.clear(), id="cleared"),
    ],
)
async def test_the_size_is_told_and_what_is_dropped_is_counted(
    request: pytest.FixtureRequest, cache: MembershipCache, drop: Callable[[MembershipCache], None]
) -> None:
    reason = request.node.callspec.id
    before = counted("fanout_membership_cache_entries")
    dropped = counted("fanout_membership_cache_dropped_total", reason=reason)
    await checked(cache)
    assert counted("fanout_membership_cache_entries") == before + 1
    drop(cache)
    drop(cache)
    assert counted("fanout_membership_cache_entries") == before
    assert counted("fanout_membership_cache_dropped_total", reason=reason) == dropped + 1


async def test_a_store_that_is_away_is_told_and_nothing_is_left_of_the_check(
    store: Store, cache: MembershipCache
) -> None:
    store.down = True
    with pytest.raises(Unavailable):
        await checked(cache)
    assert not cache._reads
    store.down = False
    assert await checked(cache) == [True, True]
    assert not cache._reads
