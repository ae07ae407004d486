"""`fanout bench unread`: a message costs the same in a small channel and in a large one, and wrong counts no figure."""

from collections.abc import AsyncIterator

import pytest

from benchmarks.apart import Progress
from benchmarks.cases.unread import CASE, targets
from benchmarks.errors import BenchError
from benchmarks.live.unread import FULL_MEMBERS, Bench, Cost, Message, UnreadOptions, opened_bench
from tests.support.servers import binary_or_skip

SMALL, LARGE = 2, 700


@pytest.fixture
async def bench(redis_url: str) -> AsyncIterator[Bench]:
    async with opened_bench(redis_url) as opened:
        yield opened


async def test_a_message_costs_as_much_in_a_large_channel_as_in_a_small_one(bench: Bench) -> None:
    small, _ = await bench.channel(SMALL, rounds=2)
    large, mentioning = await bench.channel(LARGE, rounds=2)
    assert small.counter.commands == large.counter.commands
    assert mentioning.counter.commands - large.counter.commands == 4 * mentioning.mentions == 80
    assert {each.counter.round_trips for each in (small, large, mentioning)} == {1}
    assert len(large.counter.seconds) == 2


async def test_the_alternative_takes_a_command_for_each_member(bench: Bench) -> None:
    plain, mentioning = await bench.channel(LARGE, rounds=1)
    assert (plain.increments.commands, plain.increments.round_trips) == (LARGE - 1, 7)
    assert (mentioning.increments.commands, mentioning.increments.round_trips) == (LARGE - 1 + 20, 8)


async def test_a_message_that_is_not_counted_is_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.channel(SMALL, rounds=1)

    async def forget(*_: object) -> None:
        pass

    monkeypatch.setattr(bench._counter, "handle", forget)
    with pytest.raises(BenchError, match="unread by the counter"):
        await bench.measure(SMALL, 0, rounds=1)


def message(members: int, mentions: int, commands: int, round_trips: int = 1) -> Message:
    return Message(members, mentions, Cost(commands, round_trips, [0.001]), Cost(members - 1, 1, [0.1]))


@pytest.mark.parametrize(
    ("seen", "met"),
    [
        ([message(100_000, 0, 8), message(100_000, 20, 88)], [True, True, True, True]),
        ([message(100_000, 0, 9), message(100_000, 20, 89)], [False, True, True, True]),
        ([message(100_000, 0, 8), message(100_000, 20, 108)], [True, False, True, True]),
        ([message(100_000, 0, 8, 2), message(100_000, 20, 88)], [True, True, False, True]),
        ([message(500, 0, 8), message(500, 20, 88)], [True, True, True, False]),
    ],
)
def test_the_targets_are_the_commands_and_the_round_trips(seen: list[Message], met: list[bool]) -> None:
    smallest = [message(2, 0, 8), message(2, 1, 12)]
    assert [target.met for target in targets(UnreadOptions(FULL_MEMBERS), smallest + seen)] == met
    assert targets(UnreadOptions(FULL_MEMBERS - 1), smallest + seen)[-1].met is None


@pytest.mark.parametrize(
    ("members", "sizes"), [(2, [2]), (500, [2, 500]), (501, [2, 500, 501]), (100_000, [2, 500, 10_000, 100_000])]
)
def test_the_channels_are_of_all_sizes_up_to_the_largest(members: int, sizes: list[int]) -> None:
    assert UnreadOptions(members).sizes() == sizes


def test_a_server_is_started_and_asked() -> None:
    binary_or_skip("redis-server")

    def progress(share: float, what: str) -> None:
        pass

    def stage(_title: str) -> Progress:
        return progress

    report = CASE.run(UnreadOptions(members=10, rounds=1), stage)
    assert [len(table.rows) for table in report.tables] == [2, 2]
