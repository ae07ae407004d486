"""A session: its end, its pace, and what presence records of it."""

import pytest
from prometheus_client import REGISTRY

from fanout.error_codes import CloseCode
from services.notification import session as module
from services.notification.session import FRAMES, TYPING, Ending, Session
from tests.support.sessions import session_of


class Clock:
    now = 1000.0

    def monotonic_s(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "machine", clock)
    return clock


def closed(code: int) -> float:
    return REGISTRY.get_sample_value("fanout_connections_closed_total", {"code": str(code)}) or 0.0


def test_the_first_reason_to_end_stands_and_is_told_once() -> None:
    ended, told = session_of("alice"), []
    before = closed(4408)
    ended.when_ended(lambda _, ending: told.append(ending))
    ended.end(CloseCode.HEARTBEAT_TIMEOUT, "no heartbeat in time")
    ended.end(CloseCode.DRAINING, "draining")
    assert told == [ended.ending] == [Ending(CloseCode.HEARTBEAT_TIMEOUT, "no heartbeat in time")]
    assert closed(4408) - before == 1


def test_who_listens_after_the_end_is_told_too() -> None:
    ended: Session = session_of("alice")
    told: list[Ending] = []
    ended.end(CloseCode.REPLACED, "replaced")
    ended.when_ended(lambda _, ending: told.append(ending))
    assert told == [Ending(CloseCode.REPLACED, "replaced")]


def test_presence_gets_what_the_client_last_said() -> None:
    open_session = session_of("alice")
    assert open_session.attends("idle", "general")
    assert not open_session.attends("idle", "general"), "it is not new"
    open_session.recorded(7)
    connection = open_session.connection("first")
    assert (connection.user_id, connection.instance_id) == ("alice", "notif-1")
    assert (connection.device_id, connection.connected_at) == (open_session.device_id, open_session.connected_at)
    assert (connection.client_state, connection.focused_channel) == ("idle", "general")
    assert (connection.incarnation, connection.order) == ("first", 7)


def test_sessions_are_told_apart_by_identity() -> None:
    assert len({session_of("alice"), session_of("alice")}) == 2
    assert session_of("alice").session_id != session_of("alice").session_id


def test_a_burst_is_read_at_once_and_then_at_the_long_run_rate(clock: Clock) -> None:
    busy = session_of("alice")
    assert [busy.pace() for _ in range(FRAMES.at_once)] == pytest.approx([0.0] * FRAMES.at_once)
    assert busy.pace() == pytest.approx(1 / FRAMES.per_s)
    clock.now += 1 / FRAMES.per_s
    assert busy.pace() == pytest.approx(1 / FRAMES.per_s)
    clock.now += FRAMES.at_once / FRAMES.per_s + 1
    assert [busy.pace() for _ in range(FRAMES.at_once)] == pytest.approx([0.0] * FRAMES.at_once), "quiet for a while"


def test_typing_beyond_its_rate_is_not_passed_on_and_comes_back(clock: Clock) -> None:
    typist = session_of("alice")
    passed = [typist.may_type() for _ in range(3 * TYPING.at_once)]
    assert passed.count(True) == TYPING.at_once, "as docs/protocol.md says"
    assert passed == sorted(passed, reverse=True)
    assert not typist.may_type()
    clock.now += 1 / TYPING.per_s
    assert typist.may_type()
    assert not typist.may_type()
