"""The sizer's table: how many of each part, and what they take; what was not measured says so."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from benchmarks.cases.planning import Costs, another_deployment, costs_of, plan, ram_bytes
from benchmarks.errors import NumberError
from benchmarks.fill import Filled
from benchmarks.population import SPEC
from benchmarks.report import Table

FILLED = Filled(
    resident_bytes=400_000_000,
    entries=20_000_000,
    fill_seconds=8.0,
    lookups_per_second=7e6,
    answers="",
    events_per_second=900_000.0,
    structures={"bytes_memberships": 90_000_000, "bytes_cache": 10_000_000},
    snapshot_bytes=100_000_000,
    written_extra_bytes=50_000_000,
    restored_bytes=500_000_000,
)
COSTS = Costs(
    instance_bytes_per_connection=10_000,
    instance_s_per_delivery=1e-5,
    instance_s_per_connection=1e-3,
    worker_s_per_message=1e-3,
    nats_s_per_message=1e-4,
    redis_s_per_message=1e-5,
    gateway_s_per_message=1e-3,
)


def cells(table: Table) -> dict[str, list[str]]:
    return {row.name: [str(cell) for cell in row.cells] for row in table.rows}


def test_what_was_not_measured_says_so_and_the_total_is_a_lower_bound() -> None:
    shown = cells(plan(SPEC, 2_000, FILLED, Costs()))
    assert shown["fan-out workers"] == ["3", "3", "2.17 GB", "600 MB", "3 MB/s"]
    assert shown["notification instances"] == ["100", "not measured here", "not measured here", "none", "6 MB/s"]
    assert shown["nats-server"][1:3] == ["not measured here", "not measured here"]
    assert shown["redis-server"][1:] == ["not measured here", "not measured here", "not measured here", "none"]
    assert shown["total"][0] == "112"
    assert shown["total"][1:4] == ["at least 3", "at least 2.17 GB", "at least 208 GB"]


def test_reports_of_other_benchmarks_fill_it_in(tmp_path: Path) -> None:
    shown = cells(plan(SPEC, 2_000, FILLED, COSTS))
    assert shown["fan-out workers"][:2] == ["6", "6"]
    assert shown["notification instances"][1:3] == ["0.24", "14.8 GB"]
    assert [shown[part][1] for part in ("gateways", "nats-server", "redis-server")] == ["4", "0.4", "0.04"]
    for name, known in (("sockets", {"instance_s_per_delivery": 2.0}), ("pipeline", {"nats_s_per_message": 3.0})):
        (tmp_path / name).write_text(json.dumps({"name": name, "figures": {"planning": known, "other": 1}}))
    read = costs_of([str(tmp_path / name) for name in ("sockets", "pipeline")])
    assert (read.instance_s_per_delivery, read.nats_s_per_message, read.redis_s_per_message) == (2.0, 3.0, None)


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_file_that_is_no_report_is_refused(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    if content:
        path.write_text(content)
    with pytest.raises(NumberError, match=r"--figures .*figures\.json"):
        costs_of([str(path)])


def test_ram_is_the_most_that_is_held_with_a_quarter_and_the_process() -> None:
    assert ram_bytes(FILLED) == 725_000_000
    assert ram_bytes(replace(FILLED, written_extra_bytes=200_000_000)) == 850_000_000


def test_the_formula_is_of_the_table_and_leads_to_the_ram_to_plan_for() -> None:
    text = another_deployment(SPEC, FILLED).text
    assert text.startswith("table = users online x 1 kB + channels x 60 bytes.")
    assert "RAM = table x 1.25 x 1.25 + 100 MB" in text
    assert "not the RAM to plan for" in text


def test_a_small_table_gives_no_formula() -> None:
    small = replace(SPEC, memberships=999_999, channels=1_000)
    table = another_deployment(small, FILLED)
    assert "so small a table says nothing" in table.text
    assert not table.rows
    assert cells(plan(small, 2_000, FILLED, COSTS))["notification instances"][2] == "not measured here"
