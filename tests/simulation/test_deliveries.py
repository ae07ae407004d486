"""What sessions get: each message once, in order, and only of their users' channels."""

import pytest

from tests.simulation.deliveries import LEFT_WITHIN_S
from tests.simulation.evidence import RECOVERED_S
from tests.support.chronicle import Chronicle, lived

# once, order


def test_a_message_that_comes_twice_is_seen() -> None:
    chronicle = lived()
    chronicle.gets(5.0, "m1", 1)
    chronicle.gets(6.0, "m1", 2)
    assert chronicle.promises(ended=False) == ["once"]


def test_a_message_may_come_again_in_another_session_and_on_another_device() -> None:
    chronicle = lived()
    chronicle.gets(5.0, "m1", 1)
    chronicle.closes(6.0)
    chronicle.opens(7.0)
    chronicle.opens(7.0, "bob-phone")
    chronicle.gets(8.0, "m1", 1)
    chronicle.gets(8.0, "m1", 1, "bob-phone")
    assert chronicle.promises(ended=False) == []


def test_a_repeat_of_a_message_that_the_log_has_lost_is_another_message() -> None:
    chronicle = lived()
    chronicle.gets(5.0, "m3", 3)
    chronicle.gets(9.0, "m3", 4, message_id="msg_again")
    assert chronicle.promises(ended=False) == ["once"]
    chronicle.loses(8.0, "m3")
    assert "once" not in chronicle.promises(ended=False)
    chronicle.gets(10.0, "m3", 5, message_id="msg_again")
    assert "once" in chronicle.promises(ended=False)


def test_a_message_out_of_order_is_seen() -> None:
    chronicle = lived()
    chronicle.gets(5.0, "m2", 2)
    chronicle.gets(6.0, "m1", 1)
    assert chronicle.promises(ended=False) == ["order"]


def test_two_channels_have_no_common_order() -> None:
    chronicle = lived()
    chronicle.posts(4.5, "m4", channel="new1")
    chronicle.asks(4.6, "create", "ann", 4.7, channel="new1")
    chronicle.gets(5.0, "m2", 2)
    chronicle.gets(6.0, "m4", 1, channel="new1")
    assert chronicle.promises(ended=False) == []


# theirs


def test_a_message_of_a_channel_that_a_user_never_joined_is_seen() -> None:
    chronicle = lived()
    chronicle.opens(4.1, "eve-phone")
    chronicle.gets(5.0, "m1", 1, "eve-phone")
    assert chronicle.promises(ended=False) == ["theirs"]


def test_a_message_that_comes_before_a_user_asks_to_join_is_seen() -> None:
    chronicle = lived()
    chronicle.opens(4.1, "eve-phone")
    chronicle.gets(5.0, "m1", 1, "eve-phone")
    chronicle.asks(6.0, "join", "eve", 6.1)
    assert chronicle.promises(ended=False) == ["theirs"]


@pytest.mark.parametrize("answered", [4.3, None])
def test_somebody_who_has_asked_to_join_may_get_messages(answered: float | None) -> None:
    chronicle = lived()
    chronicle.opens(4.1, "eve-phone")
    chronicle.asks(4.2, "join", "eve", answered)
    chronicle.gets(5.0, "m3", 3, "eve-phone")
    assert chronicle.promises(ended=False) == []


def test_a_call_that_was_refused_makes_nobody_a_member() -> None:
    chronicle = lived()
    chronicle.opens(4.1, "eve-phone")
    chronicle.asks(4.2, "join", "eve", 4.3, status=403)
    chronicle.gets(5.0, "m3", 3, "eve-phone")
    assert chronicle.promises(ended=False) == ["theirs"]


def after_a_leave(posted: float, answered: float | None = 10.0) -> Chronicle:
    """Ann asks to leave at 9 s; a message is posted later."""
    chronicle = Chronicle()
    chronicle.opens(1.0)
    chronicle.asks(9.0, "leave", "ann", answered)
    chronicle.posts(posted, "m1", 1)
    return chronicle


def test_a_message_that_was_posted_long_after_a_user_left_is_seen() -> None:
    chronicle = after_a_leave(posted=10.1 + LEFT_WITHIN_S)
    chronicle.gets(20.0, "m1", 1)
    assert chronicle.promises(ended=False) == ["theirs"]


def test_a_message_that_was_posted_soon_after_a_user_left_may_come() -> None:
    chronicle = after_a_leave(posted=9.9 + LEFT_WITHIN_S)
    chronicle.gets(20.0, "m1", 1)
    assert chronicle.promises(ended=False) == []


def test_messages_may_come_after_a_leave_that_was_not_answered() -> None:
    chronicle = after_a_leave(posted=30.0, answered=None)
    chronicle.gets(31.0, "m1", 1)
    assert chronicle.promises(ended=False) == []


def test_messages_come_to_somebody_who_has_come_back() -> None:
    chronicle = Chronicle()
    chronicle.opens(1.0)
    chronicle.asks(9.0, "leave", "ann", 10.0)
    chronicle.asks(19.0, "join", "ann")
    chronicle.posts(20.0, "m1", 1)
    chronicle.gets(21.0, "m1", 1)
    assert chronicle.promises(ended=False) == []


@pytest.mark.parametrize(("begin", "end"), [(2.0, 9.0), (9.5, 9.8), (12.0, 13.0), (9.0, 900.0), (20.5, 900.0)])
def test_a_fault_that_is_at_work_excuses_messages_after_a_leave(begin: float, end: float) -> None:
    chronicle = after_a_leave(posted=20.0)
    chronicle.gets(21.0, "m1", 1)
    assert chronicle.promises(ended=False) == ["theirs"]
    chronicle.fault(begin, end)
    assert chronicle.promises(ended=False) == []


def test_a_fault_that_ended_long_before_a_leave_excuses_nothing() -> None:
    chronicle = Chronicle()
    chronicle.opens(0.5)
    chronicle.fault(1.0, 2.0)
    chronicle.asks(2.5 + RECOVERED_S, "leave", "ann", 3.0 + RECOVERED_S)
    chronicle.posts(20.0 + RECOVERED_S, "m1", 1)
    chronicle.gets(21.0 + RECOVERED_S, "m1", 1)
    assert chronicle.promises(ended=False) == ["theirs"]


def test_a_fault_that_never_ended_excuses_all_that_is_later() -> None:
    chronicle = Chronicle()
    chronicle.opens(0.5)
    chronicle.note(1.0, "fault", fault="kill", on="worker1", to="", seconds=900.0)
    chronicle.asks(100.0, "leave", "ann", 101.0)
    chronicle.posts(120.0, "m1", 1)
    chronicle.gets(121.0, "m1", 1)
    assert chronicle.promises(ended=False) == []


@pytest.mark.parametrize("kind", ["typing", "member.joined", "member.left"])
def test_who_hears_of_people_in_a_channel_that_he_never_joined_is_seen(kind: str) -> None:
    chronicle = Chronicle()
    for device in ("ann-phone", "eve-phone"):
        chronicle.opens(1.0, device)
    chronicle.frame(2.0, kind, channel_id="room", user_id="bob")
    assert chronicle.promises(ended=False) == []
    chronicle.frame(2.0, kind, "eve-phone", channel_id="room", user_id="bob")
    assert chronicle.promises(ended=False) == ["theirs"]
    assert f"got {kind} of room" in chronicle.broken(ended=False)[0].what


@pytest.mark.parametrize(("asked", "promises"), [(1.9, []), (2.1, ["theirs"])])
def test_who_has_asked_to_join_may_hear_of_people_there(asked: float, promises: list[str]) -> None:
    chronicle = Chronicle()
    chronicle.opens(1.0, "eve-phone")
    chronicle.asks(asked, "join", "eve")
    chronicle.frame(2.0, "typing", "eve-phone", channel_id="room", user_id="bob")
    assert chronicle.promises(ended=False) == promises
