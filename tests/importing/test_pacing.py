"""The pace: so many a second, so many unpublished at a time, and an error where nobody publishes."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from fanout.ports.memberships import Memberships
from services.importing.pacing import MAX_UNPUBLISHED, MIN_UNPUBLISHED, STALLED_AFTER_S, NothingPublishes, Pacer


class World:
    """A clock that a sleep moves, and a store whose unpublished changes become fewer meanwhile."""

    def __init__(self, unpublished: int = 0, published_per_second: float = 0.0, counting_takes_s: float = 0.0) -> None:
        self.now = 100.0
        self._counting_takes_s = counting_takes_s
        self.slept = 0.0
        self.asked = 0
        self._unpublished = float(unpublished)
        self._rate = published_per_second

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds
        self._unpublished = max(0.0, self._unpublished - seconds * self._rate)

    async def count_unpublished(self) -> int:
        self.asked += 1
        self.now += self._counting_takes_s
        return int(self._unpublished)

    def pacer(self, per_second: float) -> Pacer:
        return Pacer(cast("Memberships", self), per_second, self.clock, cast("Callable[[float], Any]", self.sleep))


async def test_what_began_makes_the_next_rows_wait() -> None:
    world = World()
    pacer = world.pacer(1_000)
    await pacer.before(500)
    assert world.slept == 0
    pacer.after(500)
    await pacer.before(500)
    assert world.slept == pytest.approx(0.5)


async def test_rows_that_changed_nothing_do_not_wait() -> None:
    world = World()
    pacer = world.pacer(1)
    pacer.after(0)
    await pacer.before(500)
    assert world.slept == 0


async def test_time_in_which_nothing_was_written_is_not_saved_up() -> None:
    world = World()
    pacer = world.pacer(1_000)
    world.now += 60
    pacer.after(500)
    await pacer.before(500)
    assert world.slept == pytest.approx(0.5)


async def test_rows_wait_until_few_enough_changes_are_unpublished() -> None:
    world = World(unpublished=3_000, published_per_second=1_000)
    await world.pacer(1_000).before(500)
    assert world.slept == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize(("per_second", "limit"), [(1, MIN_UNPUBLISHED), (1_000, 3_000), (1_000_000, MAX_UNPUBLISHED)])
async def test_how_many_may_be_unpublished_follows_from_the_rate(per_second: int, limit: int) -> None:
    full, fuller = World(unpublished=limit - 500), World(unpublished=limit - 499, published_per_second=10)
    await full.pacer(per_second).before(500)
    await fuller.pacer(per_second).before(500)
    assert full.slept == 0
    assert fuller.slept > 0


async def test_more_rows_than_may_be_unpublished_wait_for_none() -> None:
    world = World(unpublished=10, published_per_second=10)
    await world.pacer(1).before(10 * MIN_UNPUBLISHED)
    assert world.slept == pytest.approx(1, abs=0.15)


async def test_nobody_who_publishes_is_an_error_after_some_time() -> None:
    world = World(unpublished=3_000)
    with pytest.raises(NothingPublishes, match="3000"):
        await world.pacer(1_000).before(500)
    assert world.slept == pytest.approx(STALLED_AFTER_S, abs=1)


async def test_slow_publishing_is_none() -> None:
    world = World(unpublished=3_000, published_per_second=0.05)
    pacer = world.pacer(1_000)
    world._unpublished = 2_510
    await pacer.before(500)
    assert world.slept > 2 * STALLED_AFTER_S


@pytest.mark.parametrize(("takes_s", "asked"), [(0.0, 101), (2.0, 6)])
async def test_a_store_that_counts_slowly_is_asked_half_of_the_time(takes_s: float, asked: int) -> None:
    world = World(unpublished=1_000, published_per_second=100, counting_takes_s=takes_s)
    await world.pacer(1_000).all_published()
    assert world.asked == pytest.approx(asked, abs=1)


async def test_the_end_waits_for_the_last_change() -> None:
    world = World(unpublished=300, published_per_second=100)
    await world.pacer(1_000).all_published()
    assert await world.count_unpublished() == 0
