"""The table of calls is one that routes, documents and clients can rely on."""

import re
from pathlib import Path
from typing import Any, cast

import msgspec

from fanout.api import channels, devices, history, messages, realtime, receipts, unread
from services.gateway.table import table
from services.runtime import operations

ROOT = Path(__file__).parents[2]
SERVED = table(
    cast("Any", "commands"),
    cast("Any", "queries"),
    cast("Any", "unread"),
    cast("Any", "receipts"),
    cast("Any", "drafts"),
    cast("Any", "devices"),
)
ROWS = [served.call for served in SERVED]


def test_every_resource_is_served_by_the_service_that_handles_it() -> None:
    ports = {served.call.name: served.port for served in SERVED}
    assert {ports[row.name] for row in (*messages.CALLS, *channels.CALLS)} == {"commands"}
    assert {ports[row.name] for row in (*history.CALLS, *realtime.CALLS)} == {"queries"}
    assert {ports[row.name] for row in unread.CALLS} == {"unread"}
    assert {ports[row.name] for row in receipts.CALLS} == {"receipts"}
    assert {ports[row.name] for row in devices.CALLS} == {"devices"}


def test_names_and_paths_are_unique() -> None:
    rows = [*ROWS, *operations.CALLS]
    assert len({row.name for row in rows}) == len({(row.method, row.route) for row in rows}) == len(rows)


def test_parts_of_a_path_are_fields_of_the_request() -> None:
    for row in ROWS:
        assert set(re.findall(r"{(\w+)}", row.route)) <= {field.name for field in msgspec.structs.fields(row.request)}


def test_every_error_that_a_call_can_give_has_a_status() -> None:
    codes: dict[str, Any] = {}
    for row in ROWS:
        for error in row.all_errors:
            assert error.status
            assert codes.setdefault(error.code, error) is error, f"{error.code} is defined twice"


def test_the_contract_names_no_call_that_there_is_not() -> None:
    section = (ROOT / "docs/contract.md").read_text().partition("## 2. REST")[2].partition("\n## ")[0]
    named = set(re.findall(r"`((?:chat|channels|realtime|unread)\.\w+)`", section))
    assert named
    assert named <= {row.name for row in ROWS}
