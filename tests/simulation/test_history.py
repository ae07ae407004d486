from tests.simulation.history import History
from tests.simulation.hosts import VirtualTime


def written(*, at: float = 2.0, name: str = "m1", order: tuple[str, ...] = ("a", "b")) -> History:
    time = VirtualTime()
    history = History(time)
    history.note("posts", **dict.fromkeys(order, name))
    time.now = at
    history.note("accepted", message=name)
    history.note("posts", message="m2")
    return history


def test_entries_are_kept_in_order_with_their_times() -> None:
    assert [(entry.at, entry.what) for entry in written().entries] == [
        (0.0, "posts"),
        (2.0, "accepted"),
        (2.0, "posts"),
    ]
    assert [entry.about for entry in written().of("posts")] == [{"a": "m1", "b": "m1"}, {"message": "m2"}]
    assert [entry.what for entry in written().of("accepted", "lost")] == ["accepted"]


def test_a_closed_history_takes_no_entry() -> None:
    history = written()
    history.close()
    history.note("lost")
    assert history.of("lost") == []


def test_two_histories_that_differ_anywhere_have_different_digests() -> None:
    assert written().digest() == written().digest() == written(order=("b", "a")).digest()
    assert written().digest() != written(at=2.000001).digest()
    assert written().digest() != written(name="m3").digest()
