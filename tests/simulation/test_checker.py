"""Every promise has a history in which it holds and one in which it is broken, and those in which it is excused."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.simulation import caught_up, checker, completeness, deliveries, pages
from tests.simulation.checker import TOLD_WITHIN_S
from tests.simulation.evidence import RECOVERED_S
from tests.support.chronicle import Chronicle, lived

PROMISES = {
    checker: {"alive", "errors", "opened", "once", "told", "accepted", "store"},
    deliveries: {"once", "order", "theirs"},
    caught_up: {"caught up"},
    completeness: {"missed", "timely", "heartbeat"},
    pages: {"history"},
}
"""The promises of each module, which its tests show broken."""


@pytest.mark.parametrize("module", PROMISES, ids=lambda module: module.__name__)
def test_each_promise_is_shown_broken(module: ModuleType) -> None:
    file = Path(str(module.__file__))
    assert set(re.findall(r'Broken\(\s*"([\w ]+)"', file.read_text())) == PROMISES[module]
    shown = re.findall(r'\["([\w ]+)"', file.with_name(f"test_{file.name}").read_text())
    assert PROMISES[module] <= set(shown)


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


# errors and opened


def test_an_error_that_nobody_handles_is_told() -> None:
    chronicle = Chronicle()
    chronicle.note(2.0, "error", process="worker1", error="KeyError('a') in _evict")
    assert chronicle.promises() == ["errors"]
    assert chronicle.broken()[0].what == "at 2.00 s worker1: KeyError('a') in _evict"


def test_auth_ok_is_the_first_frame() -> None:
    chronicle = Chronicle()
    chronicle.opens(2.0)
    chronicle.frame(3.0, "typing", channel_id="room", user_id="bob")
    assert chronicle.promises() == []
    frame = {"type": "typing", "channel_id": "room", "user_id": "bob"}
    chronicle.note(1.0, "frame", device="ann-phone", session=1, frame=frame)
    assert chronicle.promises() == ["opened"]
    assert chronicle.broken()[0].what == "at 1.00 s ann-phone got typing before auth.ok"


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
        chronicle.frame(10.0 + after, "full_refresh_required", reason="log_reset", after_ms=1)
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
    chronicle.frame(told, "full_refresh_required", reason="log_reset", after_ms=0)
    assert chronicle.promises() == promises


@pytest.mark.parametrize("second", [13.0, 33.0])
@pytest.mark.parametrize(("later_s", "promises"), [(-0.1, ["told"]), (0.1, [])])
def test_who_was_told_of_one_loss_need_not_be_told_of_the_next_if_the_refresh_is_still_to_come(
    second: float, later_s: float, promises: list[str]
) -> None:
    chronicle = losing()
    chronicle.posts(10.5, "m2", 2)
    chronicle.loses(second, "m2")
    after_ms = round((second + later_s - 11.0) * 1_000)
    chronicle.frame(11.0, "full_refresh_required", reason="log_reset", after_ms=after_ms)
    chronicle.rests(70.0)
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
    chronicle.frame(11.0, "full_refresh_required", reason="log_reset", after_ms=0)
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
