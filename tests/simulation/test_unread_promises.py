"""The promises about what is unread: each is broken by what breaks it, and by nothing else."""

from typing import Any

import pytest

from tests.support.chronicle import ROOM, Chronicle


def posted() -> Chronicle:
    """Bob posts four messages, of which one is in a thread alone. Two mention Ann, who marks the second one as read."""
    chronicle = Chronicle()
    chronicle.opens(0.5)
    chronicle.says(2.0, "m1", 1, mentions=["ann"])
    chronicle.says(3.0, "m2", 2)
    chronicle.says(4.0, "m3", 3, to="m1", mentions=["ann"])
    chronicle.says(5.0, "m4", 4, mentions=["bob"])
    for seq in (1, 2, 4):
        chronicle.gets(seq + 1.1, f"m{seq}", seq)
    message = {"client_msg_id": "m3", "message_id": "msg_m3", "thread_id": "msg_m1"}
    chronicle.frame(4.1, "thread.reply", channel_id=ROOM, seq=3, message=message)
    marks(chronicle, 6.0, 2)
    chronicle.pointers = {"ann": 2}
    chronicle.rests(20.0, caught_up=False)
    chronicle.reads(21.0, 4, 1, 2, 4)
    chronicle.note(22.0, "last marks")
    chronicle.note(24.0, "last looks")
    return chronicle


def marks(chronicle: Chronicle, at: float, seq: int, *, elsewhere: bool = False) -> None:
    about = {"device": "ann-phone", "user": "ann", "session": 1, "channel": ROOM, "elsewhere": elsewhere}
    chronicle.note(at, "marks read", **about, message=f"m{seq}", message_id=f"msg_m{seq}", seq=seq)


def looks(
    chronicle: Chronicle,
    *,
    unread: int = 1,
    last_read: str | None = "msg_m2",
    latest: str | None = "msg_m4",
    at: float = 25.0,
    at_rest: bool = True,
    **counts: Any,
) -> None:
    about = {"user": "ann", "asked": at - 0.1}
    chronicle.note(at, "lists", **about, channels=[[ROOM, unread, last_read, latest]], at_rest=at_rest)
    told = {"channels": {ROOM: unread} if unread else {}, "total": unread, "mentions": 1}
    chronicle.note(at, "counts", **about, **told | counts)


def test_nothing_is_broken_where_the_recount_is_right() -> None:
    chronicle = posted()
    looks(chronicle, at=10.0, at_rest=False, last_read=None)
    looks(chronicle)
    assert chronicle.broken() == []


@pytest.mark.parametrize("unread", [0, 2, 3])
def test_messages_after_the_pointer_are_unread_but_for_replies_in_threads(unread: int) -> None:
    chronicle = posted()
    looks(chronicle, unread=unread)
    assert chronicle.promises() == ["unread"]
    assert "m4" in chronicle.broken()[0].what


@pytest.mark.parametrize(
    "wrong",
    [
        {"total": 2},
        {"channels": {ROOM: 2}, "total": 2},
        {"mentions": 0},
        {"mentions": 2},
        {"latest": "msg_m3"},
        {"latest": None},
        {"last_read": "msg_m1"},
        {"last_read": None},
    ],
)
def test_everything_that_a_user_is_told_has_to_be_right(wrong: dict[str, Any]) -> None:
    chronicle = posted()
    looks(chronicle, **wrong)
    assert chronicle.promises() == ["unread"]


def test_a_list_has_the_channels_of_the_user() -> None:
    chronicle = posted()
    chronicle.note(25.0, "lists", user="ann", asked=24.9, channels=[], at_rest=True)
    chronicle.note(25.0, "lists", user="eve", asked=24.9, channels=[[ROOM, 0, None, None]], at_rest=True)
    assert chronicle.promises() == ["unread", "unread"]


def test_the_pointer_is_where_the_user_has_marked_something() -> None:
    chronicle = posted()
    chronicle.pointers = {"ann": 4}
    looks(chronicle, unread=0, last_read="msg_m4", mentions=0)
    assert chronicle.promises() == ["unread"]


@pytest.mark.parametrize(("pointer", "promises"), [(0, 0), (1, 1), (4, 0)])
def test_what_is_marked_at_rest_is_read(pointer: int, promises: int) -> None:
    chronicle = posted()
    marks(chronicle, 22.5, 4)
    marks(chronicle, 22.6, 1, elsewhere=True)
    chronicle.pointers = {"ann": pointer} if pointer else {}
    assert [promise for promise in chronicle.promises() if promise != "receipts"] == ["unread"] * promises


def test_a_mark_of_a_session_that_has_ended_may_be_lost() -> None:
    chronicle = posted()
    marks(chronicle, 22.5, 4)
    chronicle.pointers = {"ann": 2}
    chronicle.closes(22.55)
    assert chronicle.promises() == []


@pytest.mark.parametrize(("later", "promises"), [(None, 1), ("msg_m1", 1), ("msg_m2", 0), ("msg_m4", 0)])
def test_a_pointer_only_rises(later: str | None, promises: int) -> None:
    chronicle = posted()
    looks(chronicle, at=8.0, at_rest=False)
    looks(chronicle, at=9.0, at_rest=False, last_read=later)
    assert chronicle.promises() == ["unread"] * promises


def test_the_pointer_of_who_has_left_is_forgotten() -> None:
    chronicle = posted()
    looks(chronicle, at=8.0, at_rest=False)
    chronicle.asks(8.5, "leave", "ann", None)
    looks(chronicle, at=9.0, at_rest=False, last_read=None)
    assert chronicle.promises() == []


def test_a_log_that_has_lost_messages_may_leave_more_unread_and_not_less() -> None:
    chronicle = posted()
    chronicle.loses(6.0, "m2")
    looks(chronicle, unread=2, mentions=3)
    assert "unread" not in chronicle.promises()
    looks(chronicle, unread=0, mentions=1)
    assert "unread" in chronicle.promises()


@pytest.mark.parametrize(
    ("code", "elsewhere", "promises"),
    [
        ("unknown_message", False, 1),
        ("unknown_message", True, 0),
        ("not_a_member", False, 1),
        ("unavailable", False, 0),
        ("bad_frame", False, 1),
    ],
)
def test_a_mark_is_refused_for_a_reason(code: str, elsewhere: bool, promises: int) -> None:  # noqa: FBT001
    chronicle = Chronicle()
    chronicle.opens(1.0)
    chronicle.says(2.0, "m1", 1)
    chronicle.gets(2.1, "m1", 1)
    marks(chronicle, 3.0, 1, elsewhere=elsewhere)
    chronicle.frame(3.1, "error", code=code, offending_type="mark_read")
    chronicle.frame(3.1, "error", code="malformed", offending_type="typing.start")
    assert chronicle.promises() == ["unread"] * promises


def joined(*changes: tuple[float, str, float | None], pointer: int) -> Chronicle:
    """Three messages, at 2, 4 and 6 s, and changes of Ann's membership."""
    chronicle = Chronicle()
    for number in (1, 2, 3):
        chronicle.says(2.0 * number, f"m{number}", number)
    for asked, to, answered in changes:
        chronicle.asks(asked, to, "ann", answered)
    chronicle.pointers = {"ann": pointer}
    chronicle.rests(20.0, caught_up=False)
    chronicle.note(22.0, "last marks")
    chronicle.note(24.0, "last looks")
    last_read = f"msg_m{pointer}" if pointer else None
    looks(chronicle, unread=3 - pointer, last_read=last_read, latest="msg_m3", mentions=0)
    return chronicle


@pytest.mark.parametrize(
    ("changes", "right"),
    [
        ([], [0]),
        ([(1.0, "leave", 1.1), (3.0, "join", 3.1)], [1]),
        ([(1.0, "remove", 1.1), (3.0, "invite", 5.0)], [1, 2]),
        ([(1.0, "leave", None), (3.0, "join", 3.1)], [0, 1, 2, 3]),
        ([(1.0, "leave", 1.1), (3.0, "join", None)], [1, 2, 3]),
        ([(3.0, "join", 5.0)], [0, 1, 2]),
        ([(1.0, "leave", 1.1), (3.0, "join", 3.1), (4.5, "leave", 4.6), (5.0, "join", 5.1)], [2]),
        ([(2.5, "leave", 4.5), (3.0, "join", 3.1)], [0, 1, 2]),
    ],
)
def test_who_joins_has_nothing_unread_of_before(
    changes: list[tuple[float, str, float | None]], right: list[int]
) -> None:
    found = [pointer for pointer in range(4) if not joined(*changes, pointer=pointer).broken()]
    assert found == right


@pytest.mark.parametrize(
    ("pointer", "unread", "is_broken"),
    [(2, 1, False), (2, 0, False), (0, 2, False), (0, 1, True)],
    ids=["exact", "m1 was read and lost", "nothing was read", "nothing was read, and one is missing"],
)
def test_after_a_loss_only_what_was_read_and_then_lost_may_be_missing(
    pointer: int, unread: int, *, is_broken: bool
) -> None:
    chronicle = posted()
    chronicle.loses(7.0, "m1")
    chronicle.pointers = {"ann": pointer} if pointer else {}
    looks(chronicle, unread=unread, last_read="msg_m2" if pointer else None, mentions=1)
    assert ("unread" in chronicle.promises()) == is_broken


@pytest.mark.parametrize(("later", "is_broken"), [("msg_m2", False), ("msg_m1", True)])
def test_a_pointer_that_rises_from_a_reply_may_name_the_message_before_it(later: str, *, is_broken: bool) -> None:
    chronicle = posted()
    chronicle.pointers = {"ann": 3}
    marks(chronicle, 7.0, 3)
    looks(chronicle, at=8.0, at_rest=False, last_read="msg_m3")
    looks(chronicle, at=9.0, at_rest=False, last_read=later)
    assert ("unread" in chronicle.promises()) == is_broken
