import json
from typing import Any

from fanout.lanes import Lane
from tests.simulation.routing_trace import RoutingTrace

LANE = Lane("MESSAGES", 0)


class Told:
    """A routing trace of one partition in which two messages were stored, and what it has told."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, dict[str, Any]]] = []
        self.trace = RoutingTrace(lambda what, of, **about: self.entries.append((what, {"of": of, **about})), 1)
        for seq, name in enumerate(("m1", "m2"), 1):
            self.trace.stored("MESSAGES", seq, "room", json.dumps({"message": {"client_msg_id": name}}).encode())
        self.trace.fetched("worker1", "reader", [1, 2])

    def routes(self) -> list[tuple[str, list[str]]]:
        return [(about["message"], about["to"]) for what, about in self.entries if what == "routes"]


def test_a_message_is_told_with_the_instances_that_it_was_sent_to_once_it_is_acknowledged() -> None:
    told = Told()
    for to in ("instance2", "instance1", "instance1"):
        told.trace.sent("worker1", to, "message.new", LANE, 1)
    assert not told.entries
    told.trace.acked("worker1", "reader", 1)
    assert told.routes() == [("m1", ["instance1", "instance2"])]
    told.trace.acked("worker1", "reader", 2)
    assert told.routes()[1:] == [("m2", [])]
    told.trace.acked("worker1", "reader", 2)
    assert len(told.entries) == 2
    assert told.entries[0][1]["of"] == ["m1", "room"]


def test_a_mark_names_what_the_worker_was_given_and_did_not_send() -> None:
    told = Told()
    told.trace.sent("worker1", "instance1", "message.new", LANE, 1)
    told.trace.sent("worker1", "instance1", "mark", LANE, 2)
    told.trace.sent("worker1", "instance1", "mark", LANE, 2)
    told.trace.sent("worker2", "instance1", "mark", LANE, 2)
    ((what, about),) = told.entries
    assert what == "marks"
    assert (about["process"], about["to"], about["seq"], about["messages"]) == ("worker1", "instance1", 2, ["m2"])


def test_changes_of_members_are_not_told_here() -> None:
    told = Told()
    told.trace.stored("META", 1, "room", b"{}")
    told.trace.sent("worker1", "instance1", "mark", Lane("META", 0), 2)
    assert not told.entries


def test_a_mark_far_above_a_log_that_went_back_is_told_at_once() -> None:
    told = Told()
    told.trace.sent("worker1", "instance1", "mark", LANE, 1 << 50)
    assert [about["messages"] for _, about in told.entries] == [["m1", "m2"]]
