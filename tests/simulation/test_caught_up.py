"""At rest, devices know each message of their users' channels, once."""

import pytest

from tests.support.chronicle import Chronicle


def caught_up() -> Chronicle:
    """Ann was connected twice; m1 was posted before, m2 in between, and m3 after. She got m3 over the socket."""
    chronicle = Chronicle()
    chronicle.posts(0.5, "m1", 1)
    chronicle.opens(1.0)
    chronicle.closes(2.0)
    chronicle.posts(3.0, "m2", 2)
    chronicle.opens(4.0)
    chronicle.posts(5.0, "m3", 3)
    chronicle.gets(6.0, "m3", 3)
    return chronicle


@pytest.mark.parametrize(
    ("reads", "promises"),
    [
        ([(1.5, 1), (4.5, 2)], []),
        ([(4.5, 1, 2)], []),
        ([(4.5, 2)], ["caught up"]),
        ([(1.5, 1)], ["caught up"]),
        ([], ["caught up", "caught up"]),
    ],
)
def test_at_rest_a_device_knows_what_was_posted_before_and_between_its_sessions(
    reads: list[tuple[float, int]], promises: list[str]
) -> None:
    chronicle = caught_up()
    for at, *seqs in reads:
        chronicle.reads(at, 0, *seqs)
    assert chronicle.promises() == []
    chronicle.rests(50.0, caught_up=False)
    assert chronicle.promises() == promises


def test_what_a_device_does_not_know_is_said() -> None:
    chronicle = caught_up()
    chronicle.reads(4.5, 0, 1)
    chronicle.rests(50.0, caught_up=False)
    (broken,) = chronicle.broken()
    assert broken.what == "at rest ann-phone does not know m2 of room (seq 2, stored at 3.00 s)"


def test_a_device_that_is_not_connected_at_rest_need_not_know_anything() -> None:
    chronicle = caught_up()
    chronicle.closes(7.0)
    chronicle.rests(50.0, caught_up=False)
    assert chronicle.promises() == []


def test_a_device_knows_each_message_once() -> None:
    chronicle = caught_up()
    chronicle.reads(4.5, 0, 1, 2)
    chronicle.stores(4.6, "m2", 4)
    chronicle.reads(7.0, 0, 4)
    chronicle.rests(50.0, caught_up=False)
    assert chronicle.promises() == ["missed", "caught up", "once", "store"]
    assert "at rest ann-phone has msg_m2 2 times" in [broken.what for broken in chronicle.broken()]


def test_a_message_that_was_lost_and_stored_again_is_known_once() -> None:
    chronicle = caught_up()
    chronicle.reads(4.5, 0, 1, 2)
    chronicle.loses(7.0, "m2")
    chronicle.frame(8.0, "full_refresh_required", reason="log_reset", after_ms=0)
    chronicle.stores(9.0, "m2", 10)
    chronicle.gets(9.5, "m2", 10)
    chronicle.rests(50.0, caught_up=False)
    assert chronicle.promises() == []


@pytest.mark.parametrize(("asked", "promises"), [([], ["caught up"]), ([("leave", 7.0)], [])])
def test_only_a_member_is_to_have_caught_up(asked: list[tuple[str, float]], promises: list[str]) -> None:
    chronicle = caught_up()
    chronicle.reads(4.5, 0, 1)
    for to, at in asked:
        chronicle.asks(at, to, "ann")
    chronicle.rests(50.0, caught_up=False)
    assert chronicle.promises() == promises


@pytest.mark.parametrize(("by", "count"), [("page", 2), ("message", 1), ("joined", 2), ("left", 0), ("", 0)])
def test_a_device_is_to_have_caught_up_in_a_later_channel_if_it_has_heard_of_it(by: str, count: int) -> None:
    chronicle = Chronicle()
    chronicle.asks(1.0, "create", "ann", 1.5, 201, "new1")
    chronicle.posts(2.0, "m1", 1, channel="new1")
    chronicle.posts(2.5, "m2", 2, channel="new1")
    chronicle.opens(3.0)
    if by == "page":
        chronicle.reads(4.0, 0, channel="new1")
    elif by == "message":
        chronicle.gets(4.0, "m2", 2, channel="new1")
    elif by:
        chronicle.frame(4.0, f"member.{by}", channel_id="new1", user_id="ann")
    chronicle.rests(50.0, caught_up=False)
    assert chronicle.promises() == ["caught up"] * count
