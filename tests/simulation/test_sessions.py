import pytest

from tests.simulation.sessions import Session, sessions_of, unopened
from tests.simulation.timeline import NEVER
from tests.support.chronicle import Chronicle


def only(chronicle: Chronicle) -> Session:
    (session,) = sessions_of(chronicle.history)
    return session


def test_a_session_lasts_from_its_opening_to_its_end() -> None:
    chronicle = Chronicle()
    chronicle.opens(1.0)
    session = only(chronicle)
    assert (session.device, session.user, session.instance) == ("ann-phone", "ann", "instance1")
    assert (session.opened, session.closed) == (1.0, NEVER)
    assert session.name == "ann-phone on instance1 (since 1.00 s)"
    chronicle.closes(5.0)
    assert only(chronicle).closed == 5.0


def test_each_frame_belongs_to_the_session_that_got_it() -> None:
    chronicle = Chronicle()
    chronicle.opens(1.0)
    chronicle.gets(2.0, "m1", 1)
    chronicle.opens(2.5, "bob-phone")
    chronicle.gets(3.0, "m1", 1, "bob-phone")
    chronicle.closes(4.0)
    chronicle.opens(5.0)
    chronicle.gets(6.0, "m2", 2)
    got = [
        (session.device, [frame["seq"] for _, frame in session.messages()])
        for session in sessions_of(chronicle.history)
    ]
    assert got == [("ann-phone", [1]), ("bob-phone", [1]), ("ann-phone", [2])]


def test_what_comes_without_a_session_is_of_none() -> None:
    chronicle = Chronicle()
    chronicle.note(1.0, "closed", device="ann-phone", session=7, code=1006, reason="gone")
    assert sessions_of(chronicle.history) == []


def test_frames_that_come_before_the_session_are_found() -> None:
    chronicle = Chronicle()
    chronicle.opens(1.0)
    chronicle.frame(2.0, "typing")
    assert unopened(chronicle.history) == []
    for at, session in ((3.0, 1), (4.0, 2), (6.0, 2)):
        chronicle.note(at, "frame", device="ann-phone", session=session, frame={"type": "typing"})
    chronicle.opens(5.0)
    assert [entry.at for entry in unopened(chronicle.history)] == [4.0]


def test_a_session_knows_when_its_user_joined_a_channel() -> None:
    chronicle = Chronicle()
    chronicle.opens(1.0)
    for at, kind, channel, user in (
        (2.0, "joined", "room", "ann"),
        (3.0, "left", "room", "ann"),
        (4.0, "joined", "room", "bob"),
        (5.0, "joined", "new1", "ann"),
        (6.0, "joined", "room", "ann"),
    ):
        chronicle.frame(at, f"member.{kind}", channel_id=channel, user_id=user)
    chronicle.gets(7.0, "m1", 1)
    assert only(chronicle).joined("room") == [2.0, 6.0]


def test_messages_are_those_of_one_channel_if_that_is_asked_for() -> None:
    chronicle = Chronicle()
    chronicle.opens(1.0)
    chronicle.gets(2.0, "m1", 1)
    chronicle.frame(2.5, "typing", channel_id="room", user_id="bob")
    chronicle.gets(3.0, "m2", 2, channel="new1")
    session = only(chronicle)
    assert [at for at, _ in session.messages()] == [2.0, 3.0]
    assert [at for at, _ in session.messages("new1")] == [3.0]
    assert list(session.messages("elsewhere")) == []


@pytest.mark.parametrize(("upto", "refreshed"), [(1.9, 0.0), (2.0, 2.0), (3.9, 2.0), (4.0, 4.0), (NEVER, 4.0)])
def test_a_session_was_refreshed_when_it_was_last_told_of_a_gap(upto: float, refreshed: float) -> None:
    chronicle = Chronicle()
    chronicle.opens(1.0)
    chronicle.frame(2.0, "full_refresh_required", reason="gap")
    chronicle.frame(3.0, "full_refresh_required", reason="log_reset", after_ms=0)
    chronicle.frame(4.0, "full_refresh_required", reason="gap")
    assert only(chronicle).refreshed(upto) == refreshed


def test_a_session_that_was_never_told_was_never_refreshed() -> None:
    chronicle = Chronicle()
    chronicle.opens(1.0)
    chronicle.frame(3.0, "full_refresh_required", reason="log_reset", after_ms=0)
    assert only(chronicle).refreshed(NEVER) == 0.0
