"""The contract of `fanout.ports.deployment.Deployment`, over every adapter."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fanout.log_record import LogRecord, Segment
from fanout.ports.deployment import Deployment
from services.adapters.embedded.deployment import EmbeddedDeployment
from services.adapters.mongo.memberships import MongoMemberships
from services.adapters.sqlite.memberships import SqliteMemberships

FIRST = LogRecord.first("monday")
SECOND = LogRecord("monday", 2, (*FIRST.segments, Segment(7, 1_000, 2)))
ANOTHER_SECOND = LogRecord("monday", 2, (*FIRST.segments, Segment(9, 2_000, 2)))


@dataclass
class Processes:
    """Two processes of one deployment."""

    one: Deployment
    other: Deployment


@pytest.fixture(params=["embedded", "sqlite", "mongo"])
async def processes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Processes]:
    if request.param == "embedded":
        deployment = EmbeddedDeployment()
        yield Processes(deployment, deployment)
        return
    stores: list[SqliteMemberships | MongoMemberships]
    if request.param == "mongo":
        url = request.getfixturevalue("mongo_url")
        stores = [await MongoMemberships.open(url) for _ in range(2)]
    else:
        stores = [await SqliteMemberships.open(tmp_path / "memberships.db") for _ in range(2)]
    yield Processes(*(store.deployment for store in stores))
    for store in stores:
        await store.close()


async def test_there_is_no_id_until_one_is_made(processes: Processes) -> None:
    assert await processes.one.existing_id() is None
    made = await processes.one.make_id()
    assert made.startswith("dep_")
    assert await processes.other.existing_id() == made


async def test_a_wanted_id_is_taken_where_there_is_none(processes: Processes) -> None:
    assert await processes.one.make_id("dep_of_the_streams") == "dep_of_the_streams"
    assert await processes.other.make_id("dep_another") == "dep_of_the_streams"


async def test_of_many_who_make_an_id_all_have_the_same(processes: Processes) -> None:
    made = await asyncio.gather(*(each.make_id() for each in (processes.one, processes.other) for _ in range(10)))
    assert len(set(made)) == 1


async def test_there_is_no_record_of_a_stream_until_one_is_kept(processes: Processes) -> None:
    assert await processes.one.log_record("MESSAGES") is None
    assert await processes.one.replace_log_record("MESSAGES", FIRST)
    assert await processes.other.log_record("MESSAGES") == FIRST
    assert await processes.other.log_record("META") is None


async def test_a_record_is_replaced_by_its_successor_alone(processes: Processes) -> None:
    await processes.one.replace_log_record("MESSAGES", FIRST)
    assert await processes.one.replace_log_record("MESSAGES", SECOND)
    assert not await processes.other.replace_log_record("MESSAGES", ANOTHER_SECOND)
    assert not await processes.other.replace_log_record("MESSAGES", FIRST)
    assert await processes.other.log_record("MESSAGES") == SECOND


async def test_of_many_first_records_one_is_kept(processes: Processes) -> None:
    records = [LogRecord.first(f"day-{number}") for number in range(10)]
    kept = await asyncio.gather(*(processes.other.replace_log_record("MESSAGES", record) for record in records))
    assert sum(kept) == 1
    assert await processes.one.log_record("MESSAGES") == records[kept.index(True)]
