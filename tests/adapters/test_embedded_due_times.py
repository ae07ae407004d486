"""Due times: keys by the time of what there is to do for them."""

from services.adapters.embedded.due_times import DueTimes


def test_keys_come_by_time() -> None:
    due = DueTimes[str]()
    for key, at in (("c", 3.0), ("a", 1.0), ("b", 2.0)):
        due.set(key, at)
    assert due.take(2.0, 10) == ["a", "b"]
    assert due.take(2.0, 10) == []
    assert due.take(9.0, 10) == ["c"]


def test_a_key_has_the_time_that_was_set_last() -> None:
    due = DueTimes[str]()
    due.set("a", 1.0)
    due.set("a", 5.0)
    due.set("b", 1.0)
    due.set("b", None)
    due.set("c", 7.0)
    due.set("c", 1.5)
    assert (due.take(4.0, 10), len(due)) == (["c"], 1)
    assert (due.take(5.0, 10), len(due)) == (["a"], 0)


def test_no_more_are_taken_than_were_asked_for() -> None:
    due = DueTimes[int]()
    for number in range(5):
        due.set(number, 0.0)
    assert [due.take(0.0, 2) for _ in range(4)] == [[0, 1], [2, 3], [4], []]


def test_keys_since_a_time_are_found() -> None:
    due = DueTimes[str]()
    due.set("old", 1.0)
    due.set("new", 2.0)
    assert due.since(2.0) == ["new"]
    assert len(due) == 2


def test_times_that_are_set_again_and_again_take_no_memory() -> None:
    due = DueTimes[str]()
    for number in range(10_000):
        due.set("a", float(number))
    assert len(due._heap) < 200
    assert due.take(1e9, 10) == ["a"]
