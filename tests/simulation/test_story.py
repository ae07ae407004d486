import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.simulation.drawing import _KINDS, drawn
from tests.simulation.evidence import Broken
from tests.simulation.focus import Focus
from tests.simulation.history import Entry
from tests.simulation.plan import Plan, Shape
from tests.simulation.run import Outcome, simulate
from tests.simulation.story import _SENTENCES, _lines, story
from tests.simulation.tables import Wrong
from tests.simulation.trace_sentences import TRACE_SENTENCES
from tests.simulation.words import words_of
from tests.support.chronicle import PLAN, Chronicle

FOLDER = Path(__file__).parent
NOT_TOLD = {"killed"}
"""What explains nothing that the fault itself does not."""


def traced(*entries: tuple[float, str, dict[str, Any]]) -> Any:
    """A trace with some entries."""
    return SimpleNamespace(entries=[Entry(*entry) for entry in entries], changes={}, wrong=[])


def told(chronicle: Chronicle) -> list[str]:
    """The sentences of a history, with their times."""
    outcome = Outcome(PLAN, chronicle.history, [], 0.0, 0, "")
    text = story(outcome)
    return [line.strip() for line in text.splitlines() if re.match(r" +\d+\.\d{3} s ", line)]


def test_a_story_has_a_beginning_what_happened_and_what_does_not_hold() -> None:
    shape, slow = Shape(1, 2, 1, 1, 3, snapshots=True), {"worker1 redis": 0.4}
    plan = Plan(7, shape, {"ann-phone": "ann"}, {"room": ["bob", "ann"]}, [], [], slow)
    chronicle = Chronicle()
    chronicle.opens(1.0)
    chronicle.posts(12.3456, "m1", 4)
    tier = (
        "A tier of 1 gateway, 2 fan-out workers, 1 notification instance, 1 message writer and 1 receipt writer; "
        "3 partitions, with snapshots."
    )
    outcome = Outcome(plan, chronicle.history, [Broken("missed", "ann-phone never got m1")], 50.0, 9, "abc")
    assert story(outcome).splitlines() == [
        f"Seed 7. {tier}",
        "ann, bob are members of room.",
        "worker1 reaches redis slowly: each way takes 0.4 s longer.",
        "",
        "Words:",
        *(f"  {line}." for line in words_of("instance1 the log seq 4\n  missed:")),
        "",
        "   1.000 s  ann-phone is connected to instance1",
        "  12.346 s  bob posts m1 to room",
        "  12.346 s  the log stores m1 as seq 4",
        "  12.346 s  m1 is accepted",
        "",
        "What was promised and does not hold:",
        "  missed: ann-phone never got m1",
    ]
    outcome.broken.clear()
    assert story(outcome).splitlines()[-1] == "Every promise holds."


def test_frames_are_told() -> None:
    chronicle = Chronicle()
    chronicle.opens(1.0)
    chronicle.gets(2.0, "m1", 4)
    chronicle.frame(3.0, "heartbeat.ok", seq=4)
    chronicle.frame(4.0, "member.joined", user_id="eve", channel_id="room")
    chronicle.frame(5.0, "member.left", user_id="eve", channel_id="room")
    chronicle.frame(6.0, "full_refresh_required", reason="log_reset", after_ms=0)
    chronicle.frame(7.0, "full_refresh_required", reason="gap")
    chronicle.frame(8.0, "typing.update")
    assert told(chronicle)[1:] == [
        "2.000 s  ann-phone gets m1 of room (seq 4)",
        "3.000 s  ann-phone is told that everything up to seq 4 was delivered to it",
        "4.000 s  ann-phone hears that eve joined room",
        "5.000 s  ann-phone hears that eve left room",
        "6.000 s  ann-phone is told to read its channels again: the log went back",
        "7.000 s  ann-phone is told to read its channels again: something may have been missed",
        "8.000 s  ann-phone gets typing.update",
    ]


def test_what_people_ask_for_is_told() -> None:
    chronicle = Chronicle()
    chronicle.asks(1.0, "leave", "ann", 1.5)
    chronicle.asks(2.0, "join", "eve")
    for at, to, users in ((3.0, "invite", ["eve"]), (4.0, "create", ["ann", "eve"]), (5.0, "create", ["ann"])):
        chronicle.note(at, "asks", call=9, to=to, user="ann", channel="room", users=users)
    chronicle.note(6.0, "answered", call=9, status=0)
    assert told(chronicle) == [
        "1.000 s  ann asks to leave room (call 1)",
        "1.500 s  call 1 is answered: 200",
        "2.000 s  eve asks to join room (call 2)",
        "3.000 s  ann asks to invite eve to room (call 9)",
        "4.000 s  ann asks to create room with eve (call 9)",
        "5.000 s  ann asks to create room (call 9)",
        "6.000 s  call 9 is answered: not at all",
    ]


def test_a_change_of_members_that_is_stored_is_told() -> None:
    chronicle = Chronicle()
    chronicle.note(1.0, "stored", stream="META", seq=3, subject="channels.member.added.room", key="evt_1")
    assert told(chronicle) == ["1.000 s  the log stores a change of the members of room (seq 3)"]


def test_an_error_is_told_with_its_process() -> None:
    chronicle = Chronicle()
    chronicle.note(1.0, "error", process="worker1", error="KeyError('a') in _evict")
    assert told(chronicle) == ["1.000 s  worker1 makes an error: KeyError('a') in _evict"]


def test_a_history_that_is_read_is_told() -> None:
    chronicle = Chronicle()
    chronicle.posts(0.5, "m1", 2)
    chronicle.posts(0.6, "m2", 7)
    chronicle.reads(1.0, 7, 2, 7)
    chronicle.reads(2.0, 7, 8, above=5)
    chronicle.reads(3.0, 7, below=5, newest=9)
    chronicle.note(4.0, "refused", device="ann-phone", user="ann", channel="room", asked=3.9, status=403)
    read, unknown = "ann-phone reads the history of room", "complete up to seq 7; the end of the log is not known"
    assert told(chronicle)[6:] == [
        f"1.000 s  {read}: m1 (seq 2), m2 (seq 7); {unknown}",
        f"2.000 s  {read} after seq 5: lost (seq 8); {unknown}",
        f"3.000 s  {read} before seq 5: no message; complete up to seq 7; the end of the log is at seq 9",
        "4.000 s  ann-phone is refused the history of room (status 403)",
    ]


def test_a_loss_and_the_end_of_a_fault_are_told() -> None:
    chronicle = Chronicle()
    chronicle.posts(1.0, "m1", 1)
    chronicle.loses(5.0, "m1")
    chronicle.fault(6.0, 7.0, "kill", "worker1", "")
    assert told(chronicle)[3:] == [
        "4.500 s  nats loses its power for 0.5 s",
        "5.000 s  the log has lost messages: m1 (seq 1)",
        "5.000 s  nats is back, without what it has lost",
        "6.000 s  worker1 is killed, and is started again 1.0 s later",
        "7.000 s  worker1 is started again",
    ]


@pytest.mark.parametrize("kind", sorted(set(_KINDS)))
def test_each_fault_is_told_with_who_it_strikes_and_for_how_long(kind: str) -> None:
    chronicle = Chronicle()
    chronicle.fault(2.0, 9.5, kind, "worker7", "redis")
    sentence = told(chronicle)[0]
    assert ("worker7" in sentence) == (kind != "deploy")
    assert ("7.5 s" in sentence) == (kind != "remove")
    assert ("redis" in sentence) == (kind in {"cut", "stall", "slow"})


def noted() -> set[str]:
    """The kinds of entries that the modules of the simulation write."""
    modules = [file.read_text() for file in FOLDER.glob("*.py") if not file.name.startswith("test_")]
    return {kind for text in modules for kind in re.findall(r'note\(\s*"([^"]+)"', text)}


def test_each_kind_of_entry_is_told_or_left_out_on_purpose() -> None:
    assert noted() == set(_SENTENCES) | NOT_TOLD
    assert not set(_SENTENCES) & (NOT_TOLD | set(TRACE_SENTENCES))


def test_what_is_left_out_has_no_line() -> None:
    chronicle = Chronicle()
    chronicle.note(1.0, "killed", process="worker1")
    assert told(chronicle) == []


def test_each_entry_of_a_run_is_told() -> None:
    outcome = simulate(drawn(3))
    lines = list(_lines(outcome, Focus(outcome.plan, outcome.history, [])))
    assert len(lines) == len([entry for entry in outcome.history.entries if entry.what not in NOT_TOLD])


def test_what_processes_did_is_told_where_it_happened_once_the_tier_has_started() -> None:
    chronicle = Chronicle()
    chronicle.note(2.0, "at rest")
    chronicle.opens(5.0)
    trace = traced(
        (1.0, "resumes", {"of": [], "process": "worker1", "instance": "instance1"}),
        (1.5, "begins to read", {"of": [], "process": "worker1", "part": "0"}),
        (4.0, "removed", {"of": ["ann"], "process": "worker1", "user": "ann", "instance": "instance1"}),
    )
    text = story(Outcome(PLAN, chronicle.history, [], 9.0, 0, "", trace)).splitlines()
    assert [line.strip() for line in text if " s  " in line and "at rest" not in line] == [
        "1.500 s  worker1 begins to read partition 0",
        "4.000 s  worker1 no longer has ann on instance1",
        "5.000 s  ann-phone is connected to instance1",
    ]


def test_a_trace_is_told_as_far_as_it_concerns_the_broken_promises() -> None:
    about = {"process": "worker1", "instance": "instance1"}
    trace = traced(
        (4.0, "removed", {"of": ["ann"], "user": "ann", **about}),
        (4.0, "removed", {"of": ["bob"], "user": "bob", **about}),
    )
    trace.wrong.append(Wrong(["ann"], "worker1 did not have ann", 4.0))
    trace.wrong.append(Wrong(["ann"], "worker2 did not have ann", 4.0, 6.5))
    trace.wrong.append(Wrong(["bob"], "worker1 did not have bob", 4.0))
    text = story(Outcome(PLAN, Chronicle().history, [Broken("rest", "ann is lost")], 9.0, 0, "", trace))
    assert "has ann" in text
    assert "has bob" not in text
    assert text.splitlines()[-3:] == [
        "What the tables had wrong for more than a second, and since when:",
        "  from 4.000 s to the end: worker1 did not have ann",
        "  from 4.000 s to 6.500 s: worker2 did not have ann",
    ]


def test_a_change_of_members_is_named_where_there_is_a_trace() -> None:
    chronicle = Chronicle()
    chronicle.note(1.0, "stored", stream="META", seq=3, subject="channels.member.left.room", key="evt_1")
    chronicle.note(2.0, "lost", stream="META", events=1)
    trace = traced()
    trace.changes[3] = "ann left room"
    text = story(Outcome(PLAN, chronicle.history, [], 9.0, 0, "", trace))
    assert "1.000 s  the log stores the change that ann left room (seq 3)" in text
    assert "2.000 s  the log has lost changes of members: ann left room (seq 3)" in text
