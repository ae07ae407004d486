"""`fanout bench import`: it kills an import and resumes it, and refuses figures where a membership is missing."""

import pytest

from benchmarks.apart import Progress
from benchmarks.cases.importing import CASE, grown, targets
from benchmarks.errors import BenchError
from benchmarks.live.importing import FULL_MEMBERSHIPS, Half, Imported, ImportScale, _check, _insert
from tests.support.servers import binary_or_skip

SCALE = ImportScale(memberships=300, channels=3)
STEADY, GROWING = [90, *[100] * 18, 105], [90, *range(100, 120)]


def test_the_pairs_are_sorted_and_each_is_there_once() -> None:
    pairs = list(SCALE.pairs())
    assert pairs == sorted(set(pairs))
    assert len(pairs) == 300
    assert [sum(channel == f"channel-{number:06}" for channel, _ in pairs) for number in range(3)] == [100] * 3


async def test_a_membership_that_is_missing_is_an_error(mongo_url: str) -> None:
    pairs = SCALE.pairs()
    assert await _insert(mongo_url, (next(pairs) for _ in range(299))) > 0
    with pytest.raises(BenchError, match="299 memberships, of 300"):
        await _check(mongo_url, SCALE)
    assert await _insert(mongo_url, iter([("channel-000002", "another")])) > 0
    with pytest.raises(BenchError, match="is not there"):
        await _check(mongo_url, ImportScale(memberships=300, channels=2))


@pytest.mark.parametrize(("peaks", "met"), [(STEADY, True), (GROWING, False)])
def test_the_target_is_that_memory_does_not_grow(peaks: list[int], *, met: bool) -> None:
    half = Half(rows=500, seconds=1.0, bare=1_000.0, longest_wait=0.1, peaks=peaks)
    seen = Imported(half, half, repeated=0)
    assert targets(ImportScale(FULL_MEMBERSHIPS), seen)[0].met is met
    assert targets(ImportScale(FULL_MEMBERSHIPS - 1), seen)[0].met is None
    assert grown([100]) == 1


def test_an_import_is_killed_and_goes_on() -> None:
    binary_or_skip("ferretdb")

    def progress(share: float, what: str) -> None:
        pass

    def stage(_title: str) -> Progress:
        return progress

    report = CASE.run(ImportScale(memberships=20_000, channels=5), stage)
    assert [row.name for row in report.tables[0].rows] == ["first half, then killed", "second half, resumed"]
    assert report.figures["halves"][1].rows <= 10_000
