"""Every promise has a history in which it holds and one in which it is broken, and those in which it is excused."""

import re
from pathlib import Path

import pytest

from tests.simulation import checker
from tests.simulation.checker import LEFT_WITHIN_S, RECOVERED_S, TOLD_WITHIN_S
from tests.support.chronicle import Chronicle, lived

SHOWN = {"alive", "once", "order", "theirs", "missed", "heartbeat", "history", "told", "accepted", "store"}
"""The promises that are shown broken here and in `test_checker_of_deliveries`."""


def test_each_promise_is_shown_broken_here() -> None:
    known = set(re.findall(r'Broken\(\s*"(\w+)"', Path(checker.__file__).read_text()))
    assert known == SHOWN
    source = "".join(file.read_text() for file in Path(__file__).parent.glob("test_checker*.py"))
    assert {promise for promise in SHOWN if f'["{promise}"]' in source} == SHOWN


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
