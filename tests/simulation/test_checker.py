"""Every promise has a history in which it holds and one in which it is broken, and those in which it is excused."""

import re
from pathlib import Path

import pytest

from tests.simulation import checker
from tests.simulation.checker import LEFT_WITHIN_S, RECOVERED_S, TOLD_WITHIN_S
from tests.support.chronicle import Chronicle

SHOWN = {"alive", "once", "order", "theirs", "missed", "heartbeat", "told", "accepted", "store"}
"""The promises that are shown broken below."""


def test_each_promise_is_shown_broken_here() -> None:
    known = set(re.findall(r'Broken\(\s*"(\w+)"', Path(checker.__file__).read_text()))
    assert known == SHOWN
    source = Path(__file__).read_text()
    assert {promise for promise in SHOWN if f'["{promise}"]' in source} == SHOWN


def lived() -> Chronicle:
    """Ann is connected, and three messages were posted and stored; she has got none so far."""
    chronicle = Chronicle()
    chronicle.opens(1.0)
    for seq, name in enumerate(("m1", "m2", "m3"), 1):
        chronicle.posts(1.0 + seq, name, seq)
    return chronicle


def test_a_history_in_which_all_goes_well_breaks_nothing() -> None:
    chronicle = lived()
    for seq, name in enumerate(("m1", "m2", "m3"), 1):
        chronicle.gets(5.0 + seq, name, seq)
    chronicle.frame(9.0, "heartbeat.ok", seq=3)
    chronicle.rests(50.0)
    assert chronicle.broken() == []


def test_the_history_of_a_run_that_did_not_come_to_its_end_is_checked_as_far_as_it_goes() -> None:
    chronicle = lived()
    chronicle.gets(5.0, "m1", 1)
    chronicle.gets(6.0, "m3", 3)
    assert chronicle.promises(ended=False) == []
    chronicle.gets(7.0, "m3", 4)
    assert chronicle.promises(ended=False) == ["once"]


# alive


@pytest.mark.parametrize(
    ("failure", "promises"), [("", []), ("InstanceReplaced: by another", []), ("KeyError: 'a'", ["alive"])]
)
def test_a_process_ends_only_when_it_is_asked_to(failure: str, promises: list[str]) -> None:
    chronicle = Chronicle()
    chronicle.note(3.0, "ended", process="worker1", failure=failure)
    assert chronicle.promises() == promises


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


# missed


def test_a_message_that_is_missed_between_two_others_is_seen_though_the_session_was_closed() -> None:
    chronicle = lived()
    chronicle.gets(5.0, "m1", 1)
    chronicle.gets(6.0, "m3", 3)
    chronicle.closes(7.0)
    (broken,) = chronicle.broken()
    assert broken.promise == "missed"
    assert "never got m2 of room (seq 2, posted at 3.00 s), and got 2 others" in broken.what


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


def test_what_was_posted_before_a_session_opened_is_missed_between_two_that_it_got() -> None:
    chronicle = Chronicle()
    chronicle.posts(1.0, "m1", 1)
    chronicle.posts(1.1, "m2", 2)
    chronicle.opens(2.0)
    chronicle.posts(3.0, "m3", 3)
    chronicle.gets(3.0, "m1", 1)
    chronicle.gets(4.0, "m3", 3)
    assert chronicle.promises() == ["missed"]


def test_what_the_log_has_lost_is_not_missed() -> None:
    chronicle = lived()
    chronicle.gets(5.0, "m1", 1)
    chronicle.loses(6.0, "m2", "m3")
    chronicle.frame(7.0, "full_refresh_required", reason="log_reset")
    chronicle.posts(8.0, "m4", 10)
    chronicle.gets(9.0, "m4", 10)
    chronicle.rests(50.0)
    assert chronicle.promises() == []


@pytest.mark.parametrize(("reason", "promises"), [("gap", []), ("log_reset", ["missed"])])
def test_who_was_told_of_a_gap_has_not_missed_what_was_posted_before(reason: str, promises: list[str]) -> None:
    chronicle = lived()
    chronicle.gets(5.0, "m1", 1)
    chronicle.frame(5.5, "full_refresh_required", reason=reason)
    chronicle.gets(6.0, "m3", 3)
    chronicle.rests(50.0)
    assert chronicle.promises() == promises


def test_who_was_told_of_a_gap_misses_what_is_posted_later() -> None:
    chronicle = Chronicle()
    chronicle.opens(1.0)
    chronicle.frame(2.0, "full_refresh_required", reason="gap")
    chronicle.posts(3.0, "m1", 1)
    chronicle.rests(50.0)
    assert chronicle.promises() == ["missed"]


@pytest.mark.parametrize("answered", [4.6, None])
def test_nothing_is_missed_once_somebody_has_asked_to_leave(answered: float | None) -> None:
    chronicle = lived()
    chronicle.gets(4.1, "m1", 1)
    chronicle.asks(4.5, "leave", "ann", answered)
    chronicle.posts(5.0, "m4", 4)
    chronicle.rests(50.0)
    assert chronicle.promises() == []


def test_what_is_missed_between_two_messages_before_a_leave_is_seen() -> None:
    chronicle = lived()
    chronicle.gets(4.1, "m1", 1)
    chronicle.gets(4.2, "m3", 3)
    chronicle.asks(4.5, "leave", "ann", 4.6)
    chronicle.rests(50.0)
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
    for at in told:
        chronicle.frame(at, "full_refresh_required", reason="gap")
    assert chronicle.promises() == promises


# told


def losing(at: float = 10.0) -> Chronicle:
    """Ann is connected, has got m1, and the log loses it."""
    chronicle = Chronicle()
    chronicle.opens(1.0)
    chronicle.posts(2.0, "m1", 1)
    chronicle.gets(3.0, "m1", 1)
    chronicle.loses(at, "m1")
    return chronicle


@pytest.mark.parametrize(
    ("after", "promises"), [(0.5, []), (TOLD_WITHIN_S - 0.1, []), (TOLD_WITHIN_S + 0.1, ["told"]), (None, ["told"])]
)
def test_who_is_connected_is_told_soon_that_the_log_has_lost_messages(after: float | None, promises: list[str]) -> None:
    chronicle = losing()
    if after is not None:
        chronicle.frame(10.0 + after, "full_refresh_required", reason="log_reset")
    assert chronicle.promises() == promises


def test_a_session_that_ends_before_it_recovers_need_not_be_told() -> None:
    chronicle = losing()
    chronicle.closes(10.0 + RECOVERED_S)
    assert chronicle.promises() == []


def test_a_session_that_ends_long_after_is_to_be_told() -> None:
    chronicle = losing()
    chronicle.closes(10.1 + RECOVERED_S)
    assert chronicle.promises() == ["told"]


def test_a_session_that_opens_after_the_loss_need_not_be_told() -> None:
    chronicle = Chronicle()
    chronicle.posts(2.0, "m1", 1)
    chronicle.loses(10.0, "m1")
    chronicle.opens(10.1)
    assert chronicle.promises() == []


@pytest.mark.parametrize("begin", [2.0, 12.0])
def test_another_fault_excuses_that_nobody_is_told(begin: float) -> None:
    chronicle = losing()
    assert chronicle.promises() == ["told"]
    chronicle.fault(begin, begin + 1.0)
    assert chronicle.promises() == []


def test_a_fault_long_before_does_not() -> None:
    chronicle = losing(at=40.0)
    chronicle.fault(2.0, 3.0)
    assert chronicle.promises() == ["told"]


@pytest.mark.parametrize(("told", "promises"), [(17.0, []), (25.9, []), (26.1, ["told"])])
def test_who_does_not_read_is_to_be_told_after_he_reads_again(told: float, promises: list[str]) -> None:
    chronicle = Chronicle()
    chronicle.opens(1.0)
    chronicle.posts(2.0, "m1", 1)
    chronicle.note(9.0, "stops reading", device="bob-phone", seconds=90.0)
    chronicle.loses(10.0, "m1")
    chronicle.note(12.0, "stops reading", device="ann-phone", seconds=8.0)
    chronicle.frame(told, "full_refresh_required", reason="log_reset")
    assert chronicle.promises() == promises


# accepted, once and store


def test_a_message_that_was_accepted_and_never_stored_is_seen() -> None:
    chronicle = Chronicle()
    chronicle.posts(1.0, "m1")
    chronicle.accepts(2.0, "m1")
    assert chronicle.promises() == ["accepted"]


def test_a_message_that_was_not_accepted_need_not_be_stored_and_may_be() -> None:
    chronicle = Chronicle()
    chronicle.posts(1.0, "m1")
    chronicle.note(2.0, "not accepted", user="bob", message="m1", status=503)
    chronicle.posts(3.0, "m2")
    chronicle.stores(3.1, "m2", 1)
    chronicle.rests(50.0)
    assert chronicle.promises() == []


def test_a_message_that_was_stored_and_lost_was_not_accepted_wrongly() -> None:
    chronicle = losing()
    chronicle.frame(11.0, "full_refresh_required", reason="log_reset")
    chronicle.rests(50.0)
    assert chronicle.promises() == []


def test_a_dead_letter_is_seen() -> None:
    chronicle = Chronicle()
    chronicle.dead = 2
    assert chronicle.promises() == ["accepted"]


def test_a_message_that_the_log_holds_twice_is_seen() -> None:
    chronicle = Chronicle()
    chronicle.posts(1.0, "m1", 1)
    chronicle.stores(2.0, "m1", 2)
    assert chronicle.promises() == ["once"]


def test_a_log_that_has_lost_events_may_store_a_message_again() -> None:
    chronicle = Chronicle()
    chronicle.posts(1.0, "m0", 1)
    chronicle.posts(1.1, "m1", 2)
    chronicle.loses(5.0, "m0")
    chronicle.stores(6.0, "m1", 10)
    chronicle.rests(50.0)
    assert chronicle.promises() == []


def test_a_message_that_the_store_lacks_at_rest_is_seen() -> None:
    chronicle = Chronicle()
    chronicle.posts(1.0, "m1", 1)
    chronicle.posts(2.0, "m2", 2)
    chronicle.rows = [(1, "m1")]
    assert chronicle.promises() == []
    chronicle.rests(50.0)
    assert chronicle.promises() == ["store"]


def test_a_message_that_the_store_has_twice_is_seen() -> None:
    chronicle = Chronicle()
    chronicle.posts(1.0, "m1", 1)
    chronicle.rows = [(1, "m1"), (2, "m1")]
    chronicle.rests(50.0)
    assert chronicle.promises() == ["store"]


def test_a_store_may_have_a_message_under_the_seq_that_it_had_before_the_log_lost_it() -> None:
    chronicle = Chronicle()
    chronicle.posts(1.0, "m0", 1)
    chronicle.posts(1.1, "m1", 2)
    chronicle.loses(5.0, "m1")
    chronicle.stores(6.0, "m1", 10)
    chronicle.rows = [(1, "m0"), (2, "m1")]
    chronicle.rests(50.0)
    assert chronicle.promises() == []
    chronicle.rows = [(1, "m0"), (2, "m1"), (10, "m1")]
    assert chronicle.promises() == []
