"""`fanout bench checks`: each way answers, and one that answers wrongly has no figure."""

import asyncio

import pytest

from benchmarks.apart import Progress
from benchmarks.cases.checks import CASE, targets
from benchmarks.errors import BenchError
from benchmarks.live.checks import (
    ASKING,
    FULL_CHECKS,
    KEPT,
    STORE,
    STORES,
    WAYS,
    Check,
    CheckOptions,
    Cost,
    _in_turn,
)
from tests.support.servers import binary_or_skip


async def right(_channel_id: str, user_id: str) -> bool:
    await asyncio.sleep(0)
    return user_id.startswith("user-")


async def too_few(_channel_id: str, _user_id: str) -> bool:
    return False


async def too_many(_channel_id: str, _user_id: str) -> bool:
    return True


async def test_each_way_is_timed() -> None:
    costs = await _in_turn({"one": right, "other": right}, checks=100, rounds=2)
    assert set(costs) == {"one", "other"}
    assert all(cost.clock > 0 for cost in costs.values())


@pytest.mark.parametrize("wrong", [too_few, too_many])
async def test_a_way_that_answers_wrongly_is_an_error(wrong: Check) -> None:
    with pytest.raises(BenchError, match="other gave a wrong answer"):
        await _in_turn({"one": right, "other": wrong}, checks=100, rounds=1)


@pytest.mark.parametrize(
    ("store", "asking", "met"),
    [(10.0, 11.0, [True, True]), (9.0, 10.0, [False, True]), (10.0, 13.0, [True, False])],
)
def test_the_targets_are_the_ratios(store: float, asking: float, met: list[bool]) -> None:
    costs = {name: {STORE: Cost(0.0, store), KEPT: Cost(0.0, 1.0), ASKING: Cost(0.0, asking)} for name in STORES}
    assert [target.met for target in targets(CheckOptions(FULL_CHECKS), costs)] == [True, *met, *met]
    assert [target.met for target in targets(CheckOptions(FULL_CHECKS - 1), costs)] == [True, *[None] * 4]


def test_a_server_is_started_and_asked() -> None:
    binary_or_skip("ferretdb")

    def progress(share: float, what: str) -> None:
        pass

    def stage(_title: str) -> Progress:
        return progress

    report = CASE.run(CheckOptions(checks=200, rounds=1), stage)
    assert [[row.name for row in table.rows] for table in report.tables] == [list(WAYS)] * len(STORES)
