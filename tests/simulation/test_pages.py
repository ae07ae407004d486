"""Pages of the history have what they say, and only those are refused who may not be members."""

import pytest

from tests.support.chronicle import Chronicle, lived


@pytest.mark.parametrize(
    ("upto", "seqs", "promises"),
    [
        (3, [1, 2, 3], []),
        (2, [1, 2], []),
        (2, [1, 2, 3], []),
        (0, [], []),
        (2, [1, 3], ["history"]),
        (3, [1], ["history", "history"]),
    ],
)
def test_a_page_of_the_history_has_everything_up_to_where_it_is_said_to_be_complete(
    upto: int, seqs: list[int], promises: list[str]
) -> None:
    chronicle = lived()
    chronicle.reads(6.0, upto, *seqs)
    assert chronicle.promises() == promises


@pytest.mark.parametrize(
    ("above", "below", "lacks"), [(0, 0, [1, 2, 3]), (1, 0, [2, 3]), (0, 3, [1, 2]), (1, 3, [2]), (3, 0, [])]
)
def test_a_page_of_the_history_has_everything_between_its_bounds(above: int, below: int, lacks: list[int]) -> None:
    chronicle = lived()
    chronicle.reads(6.0, 3, above=above, below=below)
    assert chronicle.promises() == ["history"] * len(lacks)


def test_what_a_page_of_the_history_lacks_is_said() -> None:
    chronicle = lived()
    chronicle.reads(6.0, 2, 1)
    (broken,) = chronicle.broken()
    assert broken.what == (
        "at 6.00 s ann-phone read a history of room that is said to be complete up to seq 2, and lacks m2 (seq 2)"
    )


def test_a_page_of_the_history_need_not_have_what_the_log_has_lost() -> None:
    chronicle = lived()
    chronicle.loses(5.0, "m2")
    chronicle.frame(5.5, "full_refresh_required", reason="log_reset", after_ms=0)
    chronicle.reads(6.0, 3, 1, 3)
    assert chronicle.promises() == []


def test_what_was_lost_and_stored_again_is_to_be_in_a_page_under_its_new_seq() -> None:
    chronicle = lived()
    chronicle.loses(5.0, "m3")
    chronicle.frame(5.5, "full_refresh_required", reason="log_reset", after_ms=0)
    chronicle.stores(6.0, "m3", 10)
    chronicle.reads(7.0, 10, 1, 2, 10)
    assert chronicle.promises() == []
    chronicle.reads(8.0, 10, 1, 2, 3)
    assert chronicle.promises() == ["history"]


def test_a_page_of_the_history_has_nothing_of_other_channels() -> None:
    chronicle = lived()
    chronicle.posts(4.5, "m4", 4, channel="new1")
    chronicle.reads(6.0, 4, 1, 2, 3)
    assert chronicle.promises() == []


@pytest.mark.parametrize(
    ("asked", "newest", "promises"),
    [
        (9.0, 3, []),
        (9.0, 2, ["history"]),
        (9.0, 0, ["history"] * 3),
        (9.0, None, []),
        (3.5, 2, []),
        (3.5, 1, ["history"]),
        (1.5, 0, []),
    ],
)
def test_a_page_knows_of_every_message_that_was_stored_before_it_was_asked_for(
    asked: float, newest: int | None, promises: list[str]
) -> None:
    """The messages were stored at 2, 3 and 4 s."""
    chronicle = lived()
    chronicle.reads(9.1, 0, asked=asked, newest=newest)
    assert chronicle.promises() == promises


@pytest.mark.parametrize(
    ("user", "channel", "status", "promises"),
    [
        ("ann", "room", 403, ["history"]),
        ("eve", "room", 403, []),
        ("ann", "new1", 403, ["history"]),
        ("bob", "new1", 403, []),
        ("eve", "room", 400, ["history"]),
    ],
)
def test_only_who_may_not_be_a_member_is_refused_a_history(
    user: str, channel: str, status: int, promises: list[str]
) -> None:
    chronicle = Chronicle()
    chronicle.asks(1.0, "create", "ann", 2.0, 201, "new1")
    chronicle.note(3.1, "refused", device=f"{user}-phone", user=user, channel=channel, asked=3.0, status=status)
    assert chronicle.promises() == promises


def test_who_leaves_while_he_asks_may_be_refused_a_history() -> None:
    chronicle = Chronicle()
    chronicle.asks(3.05, "leave", "ann", 4.0)
    chronicle.note(3.1, "refused", device="ann-phone", user="ann", channel="room", asked=3.0, status=403)
    assert chronicle.promises() == []
    chronicle.note(2.9, "refused", device="ann-phone", user="ann", channel="room", asked=2.8, status=403)
    (broken,) = chronicle.broken()
    assert broken.what == "at 2.90 s ann-phone is refused the history of room (status 403)"
