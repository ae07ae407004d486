"""`fanout bench memberships`: both ways read what was written, and one that does not has no figure."""

import asyncio

import pytest

from benchmarks.apart import Progress
from benchmarks.cases.memberships import CASE, targets
from benchmarks.errors import BenchError
from benchmarks.live.long_lists import FULL_CHANNELS, ListOptions, Lists, Reader, _in_turn
from benchmarks.live.stalls import Stalls
from tests.support.servers import binary_or_skip

STEADY = Stalls(turns=1_000, longest=0.002, over_limit=0, longest_work=0.001)
STOOD_STILL = Stalls(turns=1_000, longest=0.03, over_limit=9, longest_work=0.029)
NAMES = ["a", "b"]


async def _right() -> list[str]:
    await asyncio.sleep(0)
    return NAMES


async def test_each_way_is_timed_in_each_round() -> None:
    seen = await _in_turn(_right, _right, NAMES, rounds=3)
    assert len(seen.adapter.seconds) == len(seen.bare.seconds) == 3


async def test_a_way_that_reads_something_else_is_an_error() -> None:
    async def wrong() -> list[str]:
        return NAMES[::-1]

    for ways in ((_right, wrong), (wrong, _right)):
        with pytest.raises(BenchError, match="did not get the channels"):
            await _in_turn(*ways, NAMES, rounds=1)


@pytest.mark.parametrize(
    ("adapter", "met"),
    [
        (Reader([1.4, 2.0], STEADY), [True, True, True]),
        (Reader([1.6, 2.0], STEADY), [False, True, True]),
        (Reader([1.0], STOOD_STILL), [True, False, True]),
    ],
)
def test_the_targets_are_the_ratio_and_the_work_in_one_turn(adapter: Reader, met: list[bool]) -> None:
    seen = Lists(adapter, Reader([1.0], STOOD_STILL))
    assert [target.met for target in targets(ListOptions(FULL_CHANNELS), seen)] == met
    assert [target.met for target in targets(ListOptions(FULL_CHANNELS - 1), seen)] == [None, None, True]


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
