"""What the report of a size says of the hardware that it wants."""

import re

import pytest
from benchmarks.reports import sizing_sections
from benchmarks.reports.sizing_hardware import another_deployment, hardware, ram_bytes
from msgspec.structs import replace

from benchmarks.measure.fill import Filled, Snapshot
from benchmarks.population import Population
from benchmarks.report import Section

POPULATION = Population(users=100_000, channels=5_000_000, memberships=30_000_000, instances=100)
SNAPSHOT = Snapshot(
    file_bytes=100_000_000,
    written_seconds=1.0,
    written_extra_bytes=50_000_000,
    restored_seconds=2.0,
    restored_bytes=500_000_000,
)
FILLED = Filled(
    resident_bytes=400_000_000,
    structures={"bytes_memberships": 90_000_000, "bytes_cache": 10_000_000},
    entries=20_000_000,
    fill_seconds=8.0,
    names_seconds=8.0,
    lookups_per_second=7e6,
    events_per_second=900_000.0,
    answers="",
    snapshot=SNAPSHOT,
)


@pytest.fixture
def section() -> Section:
    (only,) = hardware(POPULATION, FILLED)
    return only


def said_of(section: Section, name: str) -> tuple[str, str]:
    (found,) = (row for table in section.tables for row in table.rows if row.name == name)
    return found.cells[0], found.meaning


def test_ram_is_the_most_that_is_held_with_a_quarter_and_the_process() -> None:
    assert ram_bytes(FILLED) == 725_000_000
    assert ram_bytes(replace(FILLED, snapshot=None)) == 600_000_000
    assert ram_bytes(replace(FILLED, snapshot=replace(SNAPSHOT, written_extra_bytes=200_000_000))) == 850_000_000


def test_the_tier_is_an_example_in_numbers(section: Section) -> None:
    assert "For 3 workers and 100 instances that is 3 x 725 MB + 100 x 138 MB = 16 GB." in section.text
    assert "measured by fanout bench sockets" in section.text
    assert "which is not measured" in section.text


def test_cores_are_of_a_worker_at_the_rate_that_was_measured(section: Section) -> None:
    cores, meaning = said_of(section, "each worker")
    assert cores == "1"
    assert "at 900 K events/s of 300 bytes" in meaning
    assert "see fanout bench pipeline" in meaning
    assert said_of(section, "each machine")[0] == "1"
    assert "measured by fanout bench sockets" in said_of(section, "each server instance")[1]


@pytest.mark.parametrize(
    ("population", "size", "of"),
    [
        (POPULATION, "about 138 MB", "1,000 users (users / instances)"),
        (replace(POPULATION, instances=2), "about 800 MB", "50,000 users (users / instances)"),
    ],
)
def test_an_instance_has_twice_what_the_formula_says_of_its_users(population: Population, size: str, of: str) -> None:
    shown, meaning = said_of(hardware(population, FILLED)[0], "RAM for each server instance")
    assert shown == size
    assert of in meaning
    assert "sockets and buffers" in meaning


def test_the_formula_is_of_the_table_and_leads_to_the_ram_to_plan_for() -> None:
    text = another_deployment(POPULATION, FILLED).text
    assert text.startswith("table = users online x 1 kB + channels x 60 bytes.")
    assert "RAM = table x 1.25 x 1.25 + 100 MB" in text
    assert "25 % on top" in text
    assert re.search(r"\bnot the RAM to plan for", text)


def test_a_small_table_gives_no_formula() -> None:
    small = replace(POPULATION, memberships=999_999, channels=1_000)
    section = another_deployment(small, FILLED)
    assert "says nothing about a large one" in section.text
    assert not section.tables
    assert " x " not in section.text
    assert "RAM for each server instance" not in {row.name for row in hardware(small, FILLED)[0].tables[0].rows}


def test_events_are_among_the_speeds_with_the_instances_of_a_channel() -> None:
    shown, meaning = said_of(sizing_sections.speed(POPULATION, FILLED), "events routed into batches")
    assert shown == "900 K/s"
    assert "4 on average" in meaning


def test_a_table_without_a_snapshot_says_nothing_of_hardware() -> None:
    assert not hardware(POPULATION, replace(FILLED, snapshot=None))
