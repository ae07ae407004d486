"""Who has left is refused, as far as the history makes that certain."""

import pytest

from tests.support.chronicle import ROOM, Chronicle


def left_at(at: float = 5.0, user: str = "ann") -> Chronicle:
    """A history in which a user of the room leaves it, with the answer a tenth of a second later."""
    chronicle = Chronicle()
    chronicle.opens(1.0, "ann-phone")
    chronicle.asks(at - 0.1, "leave", user, at)
    return chronicle


def accepts(chronicle: Chronicle, posted: float, user: str = "ann") -> None:
    chronicle.note(posted, "posts", user=user, channel=ROOM, message="m9")
    chronicle.note(posted + 0.1, "stored", stream="MESSAGES", seq=9, key="m9")
    chronicle.note(posted + 0.1, "accepted", user=user, message="m9", message_id="msg_9")


@pytest.mark.parametrize(("asked", "promises"), [(4.0, []), (5.9, []), (6.1, ["refused"]), (30.0, ["refused"])])
def test_a_history_is_refused_from_a_second_after_the_leave_on(asked: float, promises: list[str]) -> None:
    chronicle = left_at()
    chronicle.reads(asked + 0.1, 0, asked=asked)
    assert chronicle.promises() == promises


@pytest.mark.parametrize(("posted", "promises"), [(4.0, []), (5.9, []), (6.1, ["refused"]), (30.0, ["refused"])])
def test_a_message_is_refused_from_a_second_after_the_leave_on(posted: float, promises: list[str]) -> None:
    chronicle = left_at()
    accepts(chronicle, posted)
    assert chronicle.promises() == promises


def test_what_happened_is_said() -> None:
    chronicle = left_at()
    chronicle.reads(7.0, 0, asked=6.9)
    accepts(chronicle, 8.0)
    assert [broken.what for broken in chronicle.broken()] == [
        "at 7.00 s ann-phone read a history of room, which ann had left at 5.00 s",
        "m9 of ann to room was accepted at 8.10 s; ann had left at 5.00 s",
    ]


def test_another_user_may_post_on() -> None:
    chronicle = left_at(user="bob")
    accepts(chronicle, 8.0, "ann")
    assert chronicle.promises() == []


def test_who_may_have_come_back_may_post() -> None:
    chronicle = left_at()
    chronicle.asks(7.9, "join", "ann", 9.0)
    accepts(chronicle, 8.0)
    assert chronicle.promises() == []


@pytest.mark.parametrize(("lost", "promises"), [(5.5, []), (20.0, ["refused"])])
def test_a_leave_that_the_log_may_have_lost_need_not_be_known_yet(lost: float, promises: list[str]) -> None:
    chronicle = left_at()
    accepts(chronicle, 8.0)
    chronicle.note(lost, "lost", stream="META", seqs=[])
    assert [each for each in chronicle.promises() if each == "refused"] == promises
