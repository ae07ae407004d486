"""Nothing is missing in what sessions get, and by what heartbeats say."""

import pytest

from tests.simulation.completeness import AT_ONCE_S
from tests.simulation.plan import Plan
from tests.support.chronicle import PLAN, SLOW, Chronicle, lived

# missed


def test_a_message_that_is_missed_between_two_others_is_seen_though_the_session_was_closed() -> None:
    chronicle = lived()
    chronicle.gets(5.0, "m1", 1)
    chronicle.gets(6.0, "m3", 3)
    chronicle.closes(7.0)
    (broken,) = chronicle.broken()
    assert broken.promise == "missed"
    assert (
        "never got m2 of room over its socket (seq 2, stored at 3.00 s), and got 2 other messages of room"
        in broken.what
    )


def test_the_first_message_after_a_session_opened_is_missed_once_a_later_one_came() -> None:
    chronicle = lived()
    chronicle.gets(5.0, "m2", 2)
    chronicle.closes(7.0)
    assert chronicle.promises() == ["missed"]


def test_the_last_message_is_missed_by_a_session_that_is_open_at_the_end() -> None:
    chronicle = lived()
    chronicle.gets(5.0, "m1", 1)
    chronicle.gets(6.0, "m2", 2)
    assert chronicle.promises() == []
    chronicle.rests(50.0)
    assert chronicle.promises() == ["missed"]


def test_a_session_that_got_nothing_at_all_has_missed_everything() -> None:
    chronicle = lived()
    chronicle.rests(50.0)
    assert chronicle.promises() == ["missed"] * 3


def test_the_last_messages_are_not_missed_by_a_session_that_was_closed() -> None:
    chronicle = lived()
    chronicle.gets(5.0, "m1", 1)
    chronicle.closes(6.0)
    chronicle.rests(50.0)
    assert chronicle.promises() == []


def test_what_was_posted_before_a_session_opened_is_not_missed() -> None:
    chronicle = Chronicle()
    chronicle.posts(1.0, "m1", 1)
    chronicle.opens(2.0)
    chronicle.posts(3.0, "m2", 2)
    chronicle.gets(4.0, "m2", 2)
    chronicle.rests(50.0)
    assert chronicle.promises() == []


def test_what_was_stored_before_a_session_opened_is_not_missed_between_two_that_it_got() -> None:
    chronicle = Chronicle()
    chronicle.posts(1.0, "m1", 1)
    chronicle.posts(1.1, "m2", 2)
    chronicle.opens(2.0)
    chronicle.posts(3.0, "m3", 3)
    chronicle.gets(3.0, "m1", 1)
    chronicle.gets(4.0, "m3", 3)
    chronicle.rests(50.0)
    assert chronicle.promises() == []


@pytest.mark.parametrize(("stored", "promises"), [(1.9, []), (2.1, ["missed"])])
def test_what_counts_is_when_the_log_stored_a_message_that_was_posted_before_a_session_opened(
    stored: float, promises: list[str]
) -> None:
    chronicle = Chronicle()
    chronicle.posts(1.0, "m1")
    chronicle.opens(2.0)
    chronicle.stores(stored, "m1", 1)
    chronicle.rests(50.0)
    assert chronicle.promises() == promises


def test_what_the_log_has_lost_is_not_missed() -> None:
    chronicle = lived()
    chronicle.gets(5.0, "m1", 1)
    chronicle.loses(6.0, "m2", "m3")
    chronicle.frame(7.0, "full_refresh_required", reason="log_reset", after_ms=0)
    chronicle.posts(8.0, "m4", 10)
    chronicle.gets(9.0, "m4", 10)
    chronicle.rests(50.0)
    assert chronicle.promises() == []


def told(reason: str = "gap", *, at: float = 5.5) -> Chronicle:
    """Ann got m1 and m3, and was told in between to read the history."""
    chronicle = lived()
    chronicle.gets(5.0, "m1", 1)
    chronicle.frame(at, "full_refresh_required", reason=reason)
    chronicle.gets(6.0, "m3", 3)
    return chronicle


@pytest.mark.parametrize(("reason", "promises"), [("gap", []), ("log_reset", ["missed"])])
def test_who_was_told_of_a_gap_and_read_the_history_has_not_missed_what_was_posted_before(
    reason: str, promises: list[str]
) -> None:
    chronicle = told(reason)
    chronicle.reads(6.5, 3, 1, 2, 3)
    chronicle.rests(50.0)
    assert chronicle.promises() == promises


def test_who_had_read_the_history_when_told_of_a_gap_need_not_read_it_again() -> None:
    chronicle = told()
    chronicle.reads(5.4, 3, 1, 2, 3)
    chronicle.rests(50.0)
    assert chronicle.promises() == []


@pytest.mark.parametrize(("upto", "above"), [(1, 0), (3, 2)], ids=["not so far", "not from there"])
def test_what_no_page_covers_is_missed(upto: int, above: int) -> None:
    chronicle = told()
    chronicle.reads(6.5, upto, 1, 2, 3, above=above)
    chronicle.rests(50.0)
    assert chronicle.promises() == ["missed"]


def test_who_was_told_of_a_gap_reads_it_later_if_the_session_ends_or_the_user_leaves() -> None:
    chronicle = told()
    chronicle.closes(7.0)
    chronicle.rests(50.0)
    assert chronicle.promises() == []
    chronicle = told()
    chronicle.asks(6.5, "leave", "ann", 6.6)
    chronicle.rests(50.0, caught_up=False)
    assert chronicle.promises() == []


def test_who_was_told_of_a_gap_misses_what_is_posted_later() -> None:
    chronicle = Chronicle()
    chronicle.opens(1.0)
    chronicle.frame(2.0, "full_refresh_required", reason="gap")
    chronicle.posts(3.0, "m1", 1)
    chronicle.rests(50.0)
    chronicle.reads(49.0, 1, 1)
    assert chronicle.promises() == ["missed"]


@pytest.mark.parametrize("answered", [4.6, None])
def test_nothing_is_missed_once_somebody_has_asked_to_leave(answered: float | None) -> None:
    chronicle = lived()
    chronicle.gets(4.1, "m1", 1)
    chronicle.asks(4.5, "leave", "ann", answered)
    chronicle.posts(5.0, "m4", 4)
    chronicle.rests(50.0, caught_up=False)
    assert chronicle.promises() == []


def test_what_is_missed_between_two_messages_before_a_leave_is_seen() -> None:
    chronicle = lived()
    chronicle.gets(4.1, "m1", 1)
    chronicle.gets(4.2, "m3", 3)
    chronicle.asks(4.5, "leave", "ann", 4.6)
    chronicle.rests(50.0, caught_up=False)
    assert chronicle.promises() == ["missed"]


def test_a_stranger_misses_nothing() -> None:
    chronicle = Chronicle()
    chronicle.opens(1.0, "eve-phone")
    chronicle.posts(2.0, "m1", 1)
    chronicle.rests(50.0)
    assert chronicle.promises() == []


def joined(told: float) -> Chronicle:
    """Eve, who is connected, has joined, and hears of it; m1 was posted before that, and m2 later."""
    chronicle = Chronicle()
    chronicle.opens(1.0, "eve-phone")
    chronicle.asks(2.0, "join", "eve", 2.5)
    chronicle.posts(2.6, "m1", 1)
    chronicle.frame(told, "member.joined", "eve-phone", channel_id="room", user_id="eve")
    chronicle.posts(4.0, "m2", 2)
    return chronicle


def test_who_has_joined_misses_messages_from_when_he_was_told() -> None:
    chronicle = joined(told=3.0)
    chronicle.rests(50.0)
    assert chronicle.promises() == ["missed"]
    assert "m2" in chronicle.broken()[0].what


def test_who_has_joined_does_not_miss_what_was_posted_before_he_was_told() -> None:
    chronicle = joined(told=3.0)
    chronicle.gets(5.0, "m2", 2, "eve-phone")
    chronicle.rests(50.0)
    assert chronicle.promises() == []


def test_a_message_that_came_before_the_user_was_told_that_he_joined_is_not_missed() -> None:
    chronicle = Chronicle()
    chronicle.opens(1.0, "eve-phone")
    chronicle.asks(2.0, "join", "eve", 2.5)
    chronicle.posts(2.6, "m1", 1)
    chronicle.gets(2.8, "m1", 1, "eve-phone")
    chronicle.frame(3.0, "member.joined", "eve-phone", channel_id="room", user_id="eve")
    chronicle.posts(4.0, "m2", 2)
    chronicle.gets(5.0, "m2", 2, "eve-phone")
    chronicle.rests(50.0)
    assert chronicle.promises() == []


# heartbeat


def heartbeat(upto: int) -> Chronicle:
    """Ann gets m2 only after a heartbeat was answered."""
    chronicle = lived()
    chronicle.gets(4.1, "m1", 1)
    chronicle.frame(5.0, "heartbeat.ok", seq=upto)
    chronicle.gets(6.0, "m2", 2)
    chronicle.gets(6.1, "m3", 3)
    chronicle.rests(50.0)
    return chronicle


def test_a_heartbeat_that_says_too_much_is_seen() -> None:
    chronicle = heartbeat(upto=2)
    assert chronicle.promises() == ["heartbeat"]
    assert "all up to 2 was delivered, and had not got m2 of room (seq 2)" in chronicle.broken()[0].what


def test_a_heartbeat_may_say_that_nothing_more_was_delivered() -> None:
    assert heartbeat(upto=1).promises() == []


def test_a_heartbeat_speaks_for_neither_strangers_nor_what_was_before() -> None:
    chronicle = Chronicle()
    chronicle.posts(0.5, "m1", 1)
    for device in ("ann-phone", "eve-phone"):
        chronicle.opens(1.0, device)
    chronicle.posts(2.0, "m2", 2)
    chronicle.gets(2.5, "m2", 2)
    for device in ("ann-phone", "eve-phone"):
        chronicle.frame(5.0, "heartbeat.ok", device, seq=2)
    assert chronicle.promises() == []


def test_a_heartbeat_does_not_speak_for_who_has_asked_to_leave_before_the_message() -> None:
    chronicle = Chronicle()
    chronicle.opens(1.0)
    chronicle.asks(2.0, "leave", "ann", 2.5)
    chronicle.posts(3.0, "m1", 1)
    chronicle.frame(5.0, "heartbeat.ok", seq=1)
    assert chronicle.promises() == []


@pytest.mark.parametrize(
    ("told", "promises"),
    [([4.5], []), ([4.5, 7.0], []), ([7.0], ["heartbeat"]), ([2.5], ["heartbeat"]), ([], ["heartbeat"])],
)
def test_a_heartbeat_does_not_speak_for_what_was_posted_before_the_client_was_told_of_a_gap(
    told: list[float], promises: list[str]
) -> None:
    chronicle = Chronicle()
    chronicle.opens(1.0)
    chronicle.posts(3.0, "m1", 1)
    chronicle.frame(5.0, "heartbeat.ok", seq=1)
    chronicle.gets(8.0, "m1", 1)
    chronicle.reads(9.0, 1, 1)
    for at in told:
        chronicle.frame(at, "full_refresh_required", reason="gap")
    chronicle.rests(50.0)
    assert chronicle.promises() == promises


@pytest.mark.parametrize(("upto", "promises"), [(2, ["heartbeat"]), (3, [])])
def test_a_heartbeat_speaks_for_what_the_device_did_not_read_after_a_gap(upto: int, promises: list[str]) -> None:
    chronicle = lived()
    chronicle.frame(4.5, "full_refresh_required", reason="gap")
    chronicle.frame(5.0, "heartbeat.ok", seq=3)
    for seq in (1, 2, 3):
        chronicle.gets(6.0, f"m{seq}", seq)
    chronicle.reads(7.0, upto, 1, 2, 3)
    chronicle.rests(50.0)
    assert chronicle.promises() == promises


# timely


LATE = AT_ONCE_S + 0.1


def late_by(seconds: float, plan: Plan = PLAN) -> Chronicle:
    chronicle = Chronicle(plan)
    chronicle.opens(2.0)
    chronicle.posts(30.0, "m1", 1)
    chronicle.gets(30.0 + seconds, "m1", 1)
    chronicle.rests(70.0)
    return chronicle


@pytest.mark.parametrize(("seconds", "promises"), [(AT_ONCE_S - 0.1, []), (LATE, ["timely"])])
def test_while_nothing_goes_wrong_a_message_is_delivered_at_once(seconds: float, promises: list[str]) -> None:
    assert late_by(seconds).promises() == promises


def test_over_a_slow_connection_a_message_may_come_later() -> None:
    assert late_by(LATE, SLOW).promises() == []


@pytest.mark.parametrize(
    ("what", "on", "promises"), [("refuse", "redis", ["timely"]), ("refuse", "stores", []), ("cut", "worker1", [])]
)
def test_a_redis_that_refuses_delays_nothing_and_other_faults_may(what: str, on: str, promises: list[str]) -> None:
    chronicle = late_by(LATE)
    chronicle.fault(20.0, 40.0, what, on, "")
    assert chronicle.promises() == promises


def test_who_does_not_read_gets_a_message_later() -> None:
    chronicle = late_by(LATE)
    chronicle.note(29.0, "stops reading", device="ann-phone", seconds=4.0)
    assert chronicle.promises() == []


def test_who_has_lost_the_network_gets_nothing_in_time() -> None:
    chronicle = late_by(LATE)
    chronicle.note(29.0, "loses network", device="ann-phone", seconds=9.0)
    assert chronicle.promises() == []


@pytest.mark.parametrize(("joined", "promises"), [(1.0, ["missed"]), (3.0, [])])
def test_a_device_that_reads_late_that_it_is_admitted_hears_of_what_changed_since(
    joined: float, promises: list[str]
) -> None:
    chronicle = Chronicle()
    chronicle.asks(joined, "join", "eve", joined + 0.1)
    chronicle.opens(5.0, "eve-phone", admitted=2.0)
    chronicle.posts(6.0, "m1", 1)
    chronicle.rests(50.0)
    assert chronicle.promises() == promises
