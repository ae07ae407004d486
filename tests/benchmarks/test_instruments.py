"""What measures: populations, the floor, histograms, and the process apart."""

import random
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from time import perf_counter

import pytest

from benchmarks import processes
from benchmarks.apart import run_apart
from benchmarks.baselines.python_table import PythonTable
from benchmarks.costs import Held
from benchmarks.drawing import channel_names, draws, sample
from benchmarks.errors import BenchError
from benchmarks.fill import event_rate, fill, lookup_rate
from benchmarks.floor import touch
from benchmarks.histogram import Histogram
from benchmarks.logins import FLOORS, empty_floor
from benchmarks.machine import watched
from benchmarks.population import Population
from benchmarks.tables import KINDS, Kind

POPULATION = Population(users=30, channels=100, memberships=1_000, instances=5)
NONE_DEALT = array("I")


def test_every_channel_has_a_member_and_memberships_are_as_many_as_asked() -> None:
    numbers = [POPULATION.numbers(user) for user in range(POPULATION.users)]
    assert sum(map(len, numbers)) == POPULATION.memberships
    assert set().union(*numbers) == set(range(POPULATION.channels))
    assert all(len(set(each)) == len(each) for each in numbers)


def test_a_population_is_the_same_each_time_and_other_draws_are_others() -> None:
    assert POPULATION.names(7) == POPULATION.names(7)
    assert POPULATION.some_names(10, draw=0) != POPULATION.some_names(10, draw=1)


def test_names_are_distinct_valid_and_in_no_order() -> None:
    names = channel_names(range(100_000))
    assert len(set(names)) == 100_000
    assert all(len(name) == 20 and name.isalnum() and name.isascii() for name in names)
    assert names != sorted(names)


@pytest.mark.parametrize("skew", [0.0, 0.5, 1.0, 2.0])
def test_all_can_be_drawn_whatever_the_skew(skew: float) -> None:
    assert sorted(sample(1, 500, 500, skew, array("I", [3, 4]))) == list(range(500))


def test_skew_makes_a_few_channels_popular() -> None:
    def most_popular(skew: float) -> int:
        return Counter(draws(1, 10_000, 5_000, skew)).most_common(1)[0][1]

    assert most_popular(0.0) < 20
    assert 200 < most_popular(1.0) < most_popular(1.5)


def test_more_than_there_are_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="cannot be drawn"):
        sample(1, 10, 11, 0.0, NONE_DEALT)


@pytest.mark.parametrize(("row_bytes", "huge"), FLOORS.values())
def test_the_floor_touches_each_place_once(row_bytes: int, *, huge: bool) -> None:
    floor = empty_floor(1_000 * row_bytes, huge=huge)
    touch(floor, row_bytes, array("I", [0, 7, 999]))
    touch(floor, row_bytes, array("I", [7]))
    counts = memoryview(floor).cast("I")[:: row_bytes // 4].tolist()
    assert [counts[row] for row in (0, 7, 8, 999)] == [1, 2, 0, 1]
    assert sum(counts) == 4
    with pytest.raises(IndexError, match="row 1000 of 1000"):
        touch(floor, row_bytes, array("I", [999, 1_000]))


def test_percentiles_are_right_to_one_per_cent() -> None:
    choice = random.Random(1)  # noqa: S311 - the same durations each time
    durations = [int(10 ** choice.uniform(1, 9)) for _ in range(20_000)]
    counted = Histogram()
    counted.record(durations)
    ordered = sorted(durations)
    for share in (0.0001, 0.5, 0.9, 0.99, 0.999, 1.0):
        exact = ordered[max(0, round(share * len(ordered)) - 1)]
        assert exact <= counted.percentile(share) <= exact * 1.01
    assert (counted.count, counted.longest, counted.total) == (20_000, ordered[-1], sum(durations))
    assert counted.longer_than(10**6) == pytest.approx(sum(each > 10**6 for each in durations), rel=0.01)


def test_a_curve_rises_to_all() -> None:
    counted = Histogram()
    counted.record([5, 5, 900, 10_000])
    assert counted.curve() == [(0.5, 5.0), (0.75, pytest.approx(900, rel=0.01)), (1.0, 10_000.0)]
    assert Histogram().percentile(0.5) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_of_its_own_measures_less_than_is_expected(kind: Kind) -> None:
    population = Population(users=1_000, channels=50_000, memberships=300_000, instances=10)
    filled = run_apart(fill, kind, population, lookups=2_000, events=1_000)
    assert 0 < filled.resident_bytes < Held(kind, population).table_bytes
    assert filled.entries == len({(c, user % 10) for user in range(1_000) for c in population.numbers(user)})
    assert (filled.events_per_second > 0) == (kind == "engine")


class Counting(PythonTable):
    """Counts what it is asked, and answers as ever."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []
        self.drained = 0

    def widths(self, channels: Iterable[str]) -> list[int]:
        self.calls.append(len(asked := list(channels)))
        return super().widths(asked)

    def route_many(self, events: Sequence[tuple[str, bytes]]) -> int:
        assert {len(event) for _, event in events} == {300}
        self.calls.append(len(events))
        return super().route_many(events)

    def drain(self) -> list[tuple[str, bytes]]:
        self.drained += 1
        return super().drain()


def test_rates_count_what_was_done() -> None:
    few = Population(users=3, channels=7, memberships=21, instances=2)
    many = Population(users=10, channels=2_000, memberships=4_000, instances=2)
    for population, calls in ((many, [500] * 4), (few, [7] * 4)):
        table = Counting()
        assert event_rate(table, population, 2_000) > 0
        assert table.calls == calls
        assert table.drained == 4
    table = Counting()
    assert lookup_rate(table, few, 2_000) > 0
    assert table.calls == [7, 7]


def test_what_a_call_holds_for_a_while_is_seen_when_it_is_over() -> None:
    began = perf_counter()
    seconds, held = watched(lambda: len(b"x" * 100_000_000))
    assert 0 < seconds < perf_counter() - began
    assert held > 90_000_000


def test_a_process_that_breaks_is_no_result() -> None:
    with pytest.raises(BenchError, match=r"(?s)fill ended with code 1.*cannot be drawn"):
        run_apart(fill, "engine", Population(1, 1, 5, 1), lookups=1_000, events=1_000)


@pytest.mark.parametrize("end", ["SIGKILL", "SIGABRT"])
def test_a_process_that_is_killed_most_likely_ran_out_of_memory(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_SNIPPET", f"import os, signal; os.kill(os.getpid(), signal.{end})")
    with pytest.raises(BenchError, match="without a result: most likely it ran out of memory"):
        run_apart(fill, "engine", POPULATION, lookups=1_000, events=1_000)
