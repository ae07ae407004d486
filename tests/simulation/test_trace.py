import msgspec
import pytest
import structlog

from services.fan_out.worker import FanOutWorker
from tests.simulation.drawing import drawn
from tests.simulation.history import Entry
from tests.simulation.links import Linked
from tests.simulation.plan import Action, Fault
from tests.simulation.run import simulate
from tests.support.simulated import SMALL, TWO_WORKERS

PLAN = msgspec.structs.replace(
    TWO_WORKERS,
    actions=[
        Action(1.0, "connect", "ann-phone"),
        Action(5.0, "post", "bob", "room1"),
        Action(6.0, "leave", "bob", "room1"),
    ],
)


def traced(plan: object = PLAN) -> list[Entry]:
    trace = simulate(plan, traced=True).trace  # type: ignore[arg-type]
    assert trace is not None
    return trace.entries


@pytest.mark.parametrize("seed", range(1, 7))
def test_a_run_is_the_same_with_and_without_a_trace(seed: int) -> None:
    plain, with_trace = simulate(drawn(seed)), simulate(drawn(seed), traced=True)
    assert (plain.digest, plain.steps, plain.seconds) == (with_trace.digest, with_trace.steps, with_trace.seconds)
    assert plain.history.entries == with_trace.history.entries
    assert plain.trace is None
    assert with_trace.trace is not None
    assert with_trace.trace.entries


def test_a_trace_is_repeatable_and_leaves_the_product_as_it_was() -> None:
    methods = FanOutWorker.__init__, Linked._reach
    known = structlog.get_config()
    assert traced() == traced()
    assert (FanOutWorker.__init__, Linked._reach) == methods
    assert structlog.get_config() == known


def test_the_way_of_a_message_is_traced() -> None:
    entries = sorted((entry for entry in traced() if "m1" in entry.about["of"]), key=lambda entry: entry.what)
    assert [entry.what for entry in entries] == ["routes", "writes"]
    routes, writes = entries
    assert routes.about["to"] == ["instance1"]
    assert routes.about["process"].startswith("worker")
    assert (writes.about["process"], writes.about["seq"]) == ("writer1", routes.about["seq"])


def test_who_learns_of_a_user_is_traced() -> None:
    entries = [entry for entry in traced() if "ann" in entry.about["of"]]
    kinds = [(entry.what, entry.about["process"]) for entry in entries]
    assert kinds[0] == ("announces", "instance1")
    for worker in ("worker1", "worker2"):
        assert (
            kinds.index(("loads", worker)) < kinds.index(("located", worker)) < kinds.index(("is given", "instance1"))
        )


def test_a_change_of_members_is_traced_to_all_who_apply_it() -> None:
    entries = [entry for entry in traced() if "bob" in entry.about["of"]]
    assert [entry.what for entry in entries][:1] == ["member"]
    applied = sorted(entry.about["process"] for entry in entries if entry.what == "applies")
    assert applied == ["instance1", "worker1", "worker2"]
    assert {entry.about["change"] for entry in entries if entry.what == "applies"} == {"bob left room1"}


def test_who_reads_which_partition_and_follows_which_changes_is_traced() -> None:
    entries = traced(msgspec.structs.replace(SMALL, faults=[Fault(5.0, "kill", "worker1", seconds=3.0)]))
    told = {"begins to read", "follows", "asks for users", "presence set"}
    kinds = [entry.what for entry in entries if entry.what in told and entry.about["process"] != "gateway1"]
    caches = 1  # the instance follows the changes for its cache of membership checks
    assert kinds.count("begins to read") == kinds.count("follows") - caches == 2
    assert 2 <= kinds.count("presence set") <= kinds.count("asks for users")


def test_a_log_line_does_not_name_the_folder_of_the_run() -> None:
    shape = msgspec.structs.replace(SMALL.shape, snapshots=True)
    faults = [Fault(5.0, "stop", "worker1", seconds=2.0)]
    entries = traced(msgspec.structs.replace(SMALL, shape=shape, faults=faults))
    (restored,) = [entry for entry in entries if entry.about.get("event") == "snapshot restored"]
    assert restored.about["fields"]["path"] == "worker1/table.snapshot"


def test_who_notices_that_the_log_went_back_is_traced_and_log_lines_are() -> None:
    plan = msgspec.structs.replace(PLAN, faults=[Fault(8.0, "lose newest", "nats", "META", 1.0, 1)])
    entries = traced(plan)
    noticed = {entry.about["process"] for entry in entries if entry.what == "notices"}
    assert noticed == {"gateway1", "worker1", "worker2", "instance1", "writer1", "receipts1"}
    logged = [(entry.about["process"], entry.about["event"]) for entry in entries if entry.what == "logs"]
    assert ("gateway1", "membership changes were published again") in logged
