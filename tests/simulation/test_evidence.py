import pytest

from tests.simulation.evidence import RECOVERED_S, Evidence, Struck
from tests.simulation.timeline import NEVER
from tests.support.chronicle import PLAN, Chronicle, lived


def evidence(chronicle: Chronicle, *, ended: bool = True) -> Evidence:
    return Evidence(PLAN, chronicle.history, chronicle.found() if ended else None)


def test_messages_were_posted_once_and_stored_when_the_log_stored_them() -> None:
    chronicle = Chronicle()
    chronicle.posts(1.0, "m1")
    chronicle.stores(2.5, "m1", 7)
    chronicle.note(3.0, "stored", stream="META", seq=8, subject="channels.member.added.room", key="evt_1")
    known = evidence(chronicle)
    assert known.posted == {"m1": 1.0}
    assert known.stored == {7: 2.5}


def test_what_the_log_holds_is_known_by_channel() -> None:
    chronicle = lived()
    chronicle.posts(5.0, "m4", 4, channel="new1")
    chronicle.loses(6.0, "m2")
    known = evidence(chronicle)
    assert known.channels() == ["new1", "room"]
    assert known.held_in("room") == [(1, "m1"), (3, "m3")]
    assert known.held_in("elsewhere") == []


def test_of_a_run_that_did_not_come_to_its_end_nothing_is_held() -> None:
    known = evidence(lived(), ended=False)
    assert known.channels() == []
    assert known.held_in("room") == []


def test_the_tier_is_at_rest_after_the_last_fault_and_not_at_its_start() -> None:
    chronicle = Chronicle()
    assert evidence(chronicle).rested == NEVER
    chronicle.note(2.0, "at rest")
    assert evidence(chronicle).rested == NEVER
    chronicle.rests(50.0)
    assert evidence(chronicle).rested == 50.0


def test_a_session_is_gone_when_its_device_lost_its_network_though_nobody_was_told() -> None:
    chronicle = Chronicle()
    chronicle.opens(2.0)
    (session,) = evidence(chronicle).sessions
    assert evidence(chronicle).gone(session) == NEVER
    chronicle.note(5.0, "loses network", device=session.device, seconds=3.0)
    chronicle.closes(8.0)
    (session,) = evidence(chronicle).sessions
    assert evidence(chronicle).gone(session) == 5.0


def test_what_was_sent_in_a_session_that_has_ended_may_be_lost_though_the_device_came_again() -> None:
    chronicle = Chronicle()
    chronicle.opens(2.0)
    (session,) = evidence(chronicle).sessions
    assert evidence(chronicle).lasts(session.device, 5.0)
    assert not evidence(chronicle).lasts("another", 5.0)
    chronicle.closes(8.0)
    chronicle.opens(9.0)
    assert not evidence(chronicle).lasts(session.device, 5.0)
    assert evidence(chronicle).lasts(session.device, 9.5)


def test_a_device_that_stops_reading_reads_again_later() -> None:
    chronicle = Chronicle()
    chronicle.note(5.0, "stops reading", device="ann-phone", seconds=3.0)
    known = evidence(chronicle)
    assert known.read_again("ann-phone", 4.0, 2.0) == 8.0
    assert known.read_again("ann-phone", 2.0, 2.0) == 2.0
    assert known.read_again("bob-phone", 4.0, 2.0) == 4.0


def test_a_session_gets_everything_from_when_it_was_told_that_its_user_joined() -> None:
    chronicle = Chronicle()
    chronicle.opens(1.0, "eve-phone")
    chronicle.asks(2.0, "join", "eve", 4.0)
    assert evidence(chronicle).since(evidence(chronicle).sessions[0], "room") == NEVER
    chronicle.frame(2.5, "member.joined", "eve-phone", channel_id="room", user_id="bob")
    chronicle.frame(2.6, "member.joined", "eve-phone", channel_id="new1", user_id="eve")
    chronicle.frame(3.0, "member.joined", "eve-phone", channel_id="room", user_id="eve")
    assert evidence(chronicle).since(evidence(chronicle).sessions[0], "room") == 3.0


@pytest.mark.parametrize(
    ("begin", "end", "member"),
    [
        (1.0, 1.9, False),
        (2.5, 2.9, False),
        (3.1, 4.0, False),  # he may have joined at 3.5 only
        (4.1, 5.9, True),
        (4.1, 6.1, False),
        (5.9, 6.1, False),
        (6.1, 6.2, False),
        (7.1, 99.0, False),
    ],
)
def test_a_member_is_one_for_certain_from_the_answer_to_a_join_until_a_leave_is_asked_for(
    begin: float, end: float, *, member: bool
) -> None:
    chronicle = Chronicle()
    chronicle.asks(2.0, "join", "eve", 4.0)
    chronicle.asks(6.0, "leave", "eve", 7.0)
    assert evidence(chronicle).is_member("eve", "room", begin, end) == member


@pytest.mark.parametrize(("begin", "member"), [(2.9, False), (3.1, True)])
def test_who_was_told_that_he_joined_is_a_member_though_the_call_was_not_answered(
    begin: float, *, member: bool
) -> None:
    chronicle = Chronicle()
    chronicle.asks(2.0, "join", "eve")
    chronicle.opens(1.0, "eve-phone")
    chronicle.frame(3.0, "member.joined", "eve-phone", channel_id="room", user_id="eve")
    assert evidence(chronicle).is_member("eve", "room", begin, 9.0) == member
    assert not evidence(chronicle).is_member("bob", "new1", begin, 9.0)


@pytest.mark.parametrize(
    ("begin", "end", "calm"),
    [
        (1.0, 9.9, True),
        (1.0, 10.1, False),
        (11.0, 12.0, False),
        (20.0 + RECOVERED_S - 0.1, 99.0, False),
        (20.0 + RECOVERED_S + 0.1, 99.0, True),
    ],
)
def test_it_is_calm_where_no_fault_is_at_work_nor_was_shortly_before(begin: float, end: float, *, calm: bool) -> None:
    chronicle = Chronicle()
    chronicle.fault(10.0, 20.0)
    assert evidence(chronicle).is_calm(begin, end) == calm


def test_one_fault_may_be_left_out() -> None:
    chronicle = Chronicle()
    chronicle.fault(10.0, 20.0)
    assert evidence(chronicle).is_calm(20.0, 26.0, lambda fault: fault.ended == 20.0)
    chronicle.fault(5.0, 19.0, "pause", "worker1", "")
    assert not evidence(chronicle).is_calm(20.0, 26.0, lambda fault: fault.ended == 20.0)


def test_two_faults_of_a_kind_end_in_the_order_in_which_they_struck_and_one_may_never_end() -> None:
    chronicle = Chronicle()
    about = {"fault": "slow", "on": "worker1", "to": "nats"}
    for at in (10.0, 12.0):
        chronicle.note(at, "fault", seconds=9.0, **about)
    chronicle.note(15.0, "fault ended", **about)
    assert evidence(chronicle)._faults == [
        Struck("slow", "worker1", 10.0, 15.0),
        Struck("slow", "worker1", 12.0, NEVER),
    ]


def test_a_history_is_to_have_what_is_not_in_a_thread_alone() -> None:
    chronicle = Chronicle()
    chronicle.says(1.0, "m1", 1)
    chronicle.says(2.0, "m2", 2, to="m1")
    chronicle.says(3.0, "m3", 3, to="m1", also=True)
    known = evidence(chronicle)
    assert known.held_in("room") == [(1, "m1"), (2, "m2"), (3, "m3")]
    assert known.in_history("room") == [(1, "m1"), (3, "m3")]
    assert [known.is_only_in_thread(seq) for seq in (1, 2, 3, 9)] == [False, True, False, False]
    assert not evidence(chronicle, ended=False).is_only_in_thread(2)


def test_a_membership_begins_at_a_position_between_the_call_and_its_answer() -> None:
    chronicle = lived()
    assert evidence(chronicle).begins_at("ann", "room") == (0, 0)
    chronicle.asks(2.5, "join", "eve", 3.5)
    chronicle.asks(2.5, "join", "joe", None)
    assert evidence(chronicle).begins_at("eve", "room") == (1, 2)
    assert evidence(chronicle).begins_at("joe", "room") == (1, NEVER)
    chronicle.note(9.0, "lost", stream="META", events=1)
    assert evidence(chronicle).begins_at("eve", "room") == (1, NEVER)


def test_it_is_known_which_stream_has_lost_something() -> None:
    chronicle = lived()
    chronicle.loses(6.0, "m2")
    assert evidence(chronicle).has_lost("MESSAGES")
    assert not evidence(chronicle).has_lost("META")
