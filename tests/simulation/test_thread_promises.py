"""The promises about threads: each is broken by what breaks it, and by nothing else."""

from typing import Any

import pytest

from tests.support.chronicle import ROOM, Chronicle


def talked() -> Chronicle:
    """Ann is connected and gets a message, a reply to it in its thread alone, and one that is in the channel too."""
    chronicle = Chronicle()
    chronicle.opens(1.0)
    chronicle.says(2.0, "m1", 1)
    chronicle.gets(2.1, "m1", 1)
    chronicle.says(3.0, "m2", 2, to="m1")
    chronicle.says(4.0, "m3", 3, to="m1", also=True)
    return chronicle


def gets_replies(chronicle: Chronicle, first: str = "thread.reply", second: str = "message.new") -> None:
    for at, kind, seq in ((3.1, first, 2), (4.1, second, 3)):
        message = {"client_msg_id": f"m{seq}", "message_id": f"msg_m{seq}", "thread_id": "msg_m1"}
        chronicle.frame(at, kind, channel_id=ROOM, seq=seq, message=message)


def reads_thread(chronicle: Chronicle, *seqs: int, at: float = 9.0, user: str = "ann", **about: Any) -> None:
    of = {"user": user, "channel": ROOM, "thread": "m1", "thread_id": "msg_m1", "asked": at - 0.1}
    replies = [[seq, f"m{seq}"] for seq in seqs]
    more = {"replies": replies, "counts": [len(seqs)], "upto": 3, "at_rest": False}
    chronicle.note(at, "thread", **of | more | about)


def test_nothing_is_broken_where_each_reply_comes_as_one() -> None:
    chronicle = talked()
    gets_replies(chronicle)
    reads_thread(chronicle, 2, 3)
    reads_thread(chronicle, 2, 3, at=30.0, at_rest=True)
    chronicle.note(10.0, "refused thread", user="eve", **_about_thread(), asked=9.9, status=403)
    chronicle.rests(20.0, caught_up=False)
    chronicle.reads(21.0, 3, 1, 3)
    assert chronicle.broken() == []


@pytest.mark.parametrize(("first", "second"), [("message.new", "message.new"), ("thread.reply", "thread.reply")])
def test_a_reply_comes_by_the_frame_of_its_kind(first: str, second: str) -> None:
    chronicle = talked()
    gets_replies(chronicle, first, second)
    assert chronicle.promises() == ["threads"]


def test_a_reply_that_never_comes_is_missed() -> None:
    chronicle = talked()
    chronicle.gets(4.1, "m3", 3)
    assert "missed" in chronicle.promises()


def test_a_reply_that_is_in_its_thread_alone_is_in_no_history() -> None:
    chronicle = talked()
    gets_replies(chronicle)
    chronicle.reads(9.0, 3, 1, 2, 3)
    assert chronicle.promises() == ["history"]


@pytest.mark.parametrize(
    ("seqs", "about", "promises"),
    [
        ((2,), {"upto": 2}, []),
        ((2,), {"counts": [2], "upto": 2}, []),
        ((2,), {"counts": [1]}, ["threads", "threads"]),
        ((3,), {}, ["threads", "threads"]),
        ((3, 2), {}, ["threads"]),
        ((2, 2, 3), {"counts": [2]}, ["threads"]),
        ((2, 3), {"counts": [3]}, ["threads"]),
        ((2, 3), {"counts": [1]}, ["threads"]),
        ((2,), {"upto": 2, "counts": [2], "at_rest": True}, ["threads"]),
    ],
)
def test_who_reads_a_thread_gets_each_reply_once_and_how_many_there_are(
    seqs: tuple[int, ...], about: dict[str, Any], promises: list[str]
) -> None:
    chronicle = talked()
    gets_replies(chronicle)
    reads_thread(chronicle, *seqs, **about)
    assert chronicle.promises() == promises


def test_a_log_that_has_lost_a_reply_counts_nothing() -> None:
    chronicle = talked()
    gets_replies(chronicle)
    chronicle.loses(6.0, "m3")
    reads_thread(chronicle, 2, 3)
    assert "threads" not in chronicle.promises()


def test_who_has_left_or_was_never_there_reads_no_thread() -> None:
    chronicle = talked()
    gets_replies(chronicle)
    reads_thread(chronicle, 2, 3, user="eve")
    chronicle.asks(10.0, "remove", "ann", 10.5)
    reads_thread(chronicle, 2, 3, at=11.3)
    reads_thread(chronicle, 2, 3, at=12.0)
    assert chronicle.promises() == ["refused", "refused"]


@pytest.mark.parametrize(("user", "status", "promises"), [("ann", 403, 1), ("eve", 404, 1), ("eve", 403, 0)])
def test_members_are_not_refused_a_thread(user: str, status: int, promises: int) -> None:
    chronicle = talked()
    gets_replies(chronicle)
    chronicle.note(9.0, "refused thread", user=user, **_about_thread(), asked=8.9, status=status)
    assert chronicle.promises() == ["threads"] * promises


@pytest.mark.parametrize(("astray", "status", "promises"), [(False, 404, 1), (True, 404, 0), (False, 403, 0)])
def test_a_reply_to_a_message_of_the_channel_is_not_refused(astray: bool, status: int, promises: int) -> None:  # noqa: FBT001
    chronicle = talked()
    gets_replies(chronicle)
    about = {"to": "m1", "thread_id": "msg_m1", "also": False, "astray": astray}
    chronicle.note(6.0, "posts", user="bob", channel=ROOM, message="m4", **about)
    chronicle.note(6.1, "not accepted", user="bob", message="m4", status=status)
    assert chronicle.promises() == ["threads"] * promises


def test_a_reply_that_goes_astray_is_not_accepted() -> None:
    chronicle = talked()
    gets_replies(chronicle)
    about = {"to": "m2", "thread_id": "msg_m2", "also": False, "astray": True}
    chronicle.note(6.0, "posts", user="bob", channel=ROOM, message="m4", **about)
    chronicle.stores(6.0, "m4", 4)
    chronicle.accepts(6.1, "m4")
    assert "threads" in chronicle.promises()


@pytest.mark.parametrize(("rows", "count"), [(["m2", "m3"], 0), (["m2"], 1), (["m2", "m2", "m3"], 1)])
def test_the_message_store_has_each_reply_once(rows: list[str], count: int) -> None:
    chronicle = talked()
    gets_replies(chronicle)
    chronicle.rests(20.0, caught_up=False)
    chronicle.reads(21.0, 3, 1, 3)
    chronicle.thread_rows = rows
    assert chronicle.promises() == ["store"] * count


def _about_thread() -> dict[str, str]:
    return {"channel": ROOM, "thread": "m1", "thread_id": "msg_m1"}
