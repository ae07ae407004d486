from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from services.fan_out.assignment import assign

Situation = tuple[int, dict[int, str], set[str]]

workers = st.sets(st.sampled_from("abcdefgh"), max_size=8)


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    partitions = draw(st.integers(1, 64))
    current = draw(st.dictionaries(st.integers(0, partitions - 1), st.sampled_from("abcdefghxyz")))
    return partitions, current, draw(workers)


@given(situations())
def test_every_partition_has_one_reader_and_shares_differ_by_one_at_most(situation: Situation) -> None:
    partitions, current, ready = situation
    share = assign(partitions, current, ready)
    if not ready:
        assert share == {}
        return
    assert set(share) == set(range(partitions))
    assert set(share.values()) <= ready
    counts = Counter(dict.fromkeys(ready, 0))
    counts.update(share.values())
    assert max(counts.values()) - min(counts.values()) <= 1


@given(situations())
def test_the_plan_is_stable_once_it_is_reached(situation: Situation) -> None:
    partitions, current, ready = situation
    share = assign(partitions, current, ready)
    assert assign(partitions, share, ready) == share


@given(situations())
def test_no_partition_moves_that_need_not(situation: Situation) -> None:
    partitions, current, ready = situation
    share = assign(partitions, current, ready)
    for worker in ready:
        had = {part for part, holder in current.items() if holder == worker}
        has = {part for part, holder in share.items() if holder == worker}
        assert had <= has or has <= had


def test_the_order_in_which_workers_are_known_does_not_matter() -> None:
    current = {0: "b", 1: "b", 2: "a"}
    assert assign(8, current, ["a", "b", "c"]) == assign(8, current, ["c", "b", "a"])


def test_partitions_of_a_dead_worker_are_shared_out() -> None:
    share = assign(4, {0: "dead", 1: "dead", 2: "a", 3: "b"}, ["a", "b"])
    assert share[2] == "a"
    assert share[3] == "b"
    assert sorted([share[0], share[1]]) == ["a", "b"]
