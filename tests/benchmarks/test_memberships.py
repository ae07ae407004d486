"""`fanout bench memberships`: both ways read what was written, and one that does not has no figure."""

import asyncio

import pytest

from benchmarks.apart import Progress
from benchmarks.cases.memberships import CASE, targets
from benchmarks.errors import BenchError
from benchmarks.live.long_lists import FULL_CHANNELS, ListOptions, Lists, Reader, _in_turn
from benchmarks.live.long_logins import Logins, opened_logins
from benchmarks.live.stalls import Stalls
from services.adapters.mongo.memberships import MongoMemberships
from tests.support.reading import PATIENCE_S
from tests.support.servers import binary_or_skip

STEADY = Stalls(turns=1_000, longest=0.002, over_limit=0, longest_work=0.001)
STOOD_STILL = Stalls(turns=1_000, longest=0.03, over_limit=9, longest_work=0.029)
NAMES = ["a", "b"]


async def _right() -> list[str]:
    await asyncio.sleep(0)
    return NAMES


async def test_each_way_is_timed_in_each_round() -> None:
    seen = await _in_turn((_right, _right), (NAMES, NAMES), rounds=3)
    assert [len(reader.seconds) for reader in seen] == [3, 3]


async def test_a_way_that_reads_something_else_is_an_error() -> None:
    async def wrong() -> list[str]:
        return NAMES[::-1]

    for ways in ((_right, wrong), (wrong, _right)):
        with pytest.raises(BenchError, match="did not get the channels"):
            await _in_turn(ways, (NAMES, NAMES), rounds=1)


def logins(users: int, stalls: Stalls = STEADY, **seconds: float) -> Logins:
    taken = {"bare": 1.0, "new": 1.4, "known": 0.05} | seconds
    return Logins(users, **{name: [each, 9.0] for name, each in taken.items()}, stalls=stalls)


@pytest.mark.parametrize(
    ("adapter", "single", "missed"),
    [
        (Reader([1.4, 2.0], STEADY), logins(1), set()),
        (Reader([1.6, 2.0], STEADY), logins(1), {0}),
        (Reader([1.0], STOOD_STILL), logins(1), {1}),
        (Reader([1.0], STEADY), logins(1, new=1.6), {2}),
        (Reader([1.0], STEADY), logins(1, known=0.2), {3}),
        (Reader([1.0], STEADY), logins(1, STOOD_STILL), {4, 5}),
    ],
)
def test_the_targets_are_the_ratios_and_the_work_in_one_turn(adapter: Reader, single: Logins, missed: set[int]) -> None:
    seen = Lists(adapter, Reader([1.0], STOOD_STILL), [single, logins(3)])
    found = targets(ListOptions(FULL_CHANNELS), seen, STEADY)
    assert {number for number, target in enumerate(found) if not target.met} == missed
    assert [target.met for target in targets(ListOptions(FULL_CHANNELS - 1), seen, STEADY)] == [*[None] * 10, True]
    unsteady = targets(ListOptions(FULL_CHANNELS), seen, STOOD_STILL)
    assert [number for number, target in enumerate(unsteady) if target.met is None] == [4, 8]


async def test_a_login_that_does_not_read_every_channel_is_an_error(mongo_url: str) -> None:
    store = await MongoMemberships.open(mongo_url, timeout_s=PATIENCE_S)

    async def bare(_user: str) -> list[str]:
        await asyncio.sleep(0)
        return NAMES

    try:
        async with opened_logins(store, {"visitor": NAMES}) as bench:
            with pytest.raises(BenchError, match="does not read all channels"):
                await bench.measure(["visitor"], bare, rounds=1)
    finally:
        await store.close()


def test_a_server_is_started_and_read() -> None:
    binary_or_skip("ferretdb")
    titles: list[str] = []

    def progress(share: float, what: str) -> None:
        pass

    def stage(title: str) -> Progress:
        titles.append(title)
        return progress

    report = CASE.run(ListOptions(channels=1_200, rounds=1), stage)
    assert titles == ["1,200 memberships of one user"]
    assert [row.name for row in report.tables[0].rows] == ["adapter", "PyMongo alone"]
    assert [len(table.rows) for table in report.tables] == [2, 3, 3]
