"""`fanout bench storing`: it refuses figures of what is not stored, and counts round trips."""

from collections.abc import AsyncIterator, Sequence

import pytest

from benchmarks.errors import BenchError
from benchmarks.live.storing import Bench, Written, opened_bench, ratio
from fanout.events import StoredMessage


@pytest.fixture
async def bench(cassandra: str, keyspace_prefix: str) -> AsyncIterator[Bench]:
    async with opened_bench(int(cassandra.rpartition(":")[2]), keyspace_prefix) as opened:
        yield opened


async def test_both_ways_store_every_message(bench: Bench) -> None:
    written = await bench.write(120, 7)
    assert written.adapter > 0
    assert written.bare > 0
    # Each message is announced and looked for; each channel is registered, looked at, written and counted.
    assert written.statements == 2 * 120 + 4 * 7


async def test_a_message_that_is_not_stored_is_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    write = bench.store.write

    async def forget_one(messages: Sequence[StoredMessage]) -> None:
        await write(messages[1:])

    monkeypatch.setattr(bench.store, "write", forget_one)
    with pytest.raises(BenchError, match="119 rows are stored of 120"):
        await bench.write(120, 7)


@pytest.mark.parametrize("upwards", [True, False])
async def test_pages_are_counted_in_round_trips(bench: Bench, *, upwards: bool) -> None:
    read = await bench.read("general", upwards=upwards)
    assert read.round_trips == [2, *[1] * 11]
    assert len(read.seconds) == 12


def test_the_ratio_is_the_median_of_the_turns() -> None:
    turns = [Written(adapter, 100, 1) for adapter in (90, 10, 80)]
    assert ratio(turns) == 0.8
