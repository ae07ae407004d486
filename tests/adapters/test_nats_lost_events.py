"""A log that went back: contract section 4, "When the log goes back", at the log's own edge."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from fanout.errors import FanoutError, Unavailable
from fanout.ports.log import Log
from fanout.streams import MESSAGES
from services.adapters.nats import NatsConnection, api
from services.runtime.tasks import retry_forever
from tests.support.log_worlds import READERS, Reading, World, again, published, tail
from tests.support.reading import append_messages, collect, payloads, seqs, soon, until
from tests.support.servers import NatsServer


@pytest.fixture
async def world(nats_server: NatsServer) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(nats_server, stack)


@pytest.mark.parametrize("reader", READERS)
async def test_events_may_be_lost_again_also_those_that_came_after_the_first_loss(
    world: World, reader: Callable[[Log], "asyncio.Future[Reading]"]
) -> None:
    log = await world.log()
    await append_messages(log, "general", range(10))
    early = await world.save(log)
    await again(log, range(10, 30))
    late = await world.save(log, "late")
    reading = await reader(log)
    given = await again(log, range(30, 60))
    for saved, numbers in ((late, range(60, 70)), (early, range(70, 100)), (late, range(100, 110))):
        await reading.has(numbers.start - 1)
        world.server.lose_all_since(saved)
        new = await again(log, numbers)
        await reading.has(*numbers)
        assert min(new) > max(given)
        assert payloads(reading.events[-len(numbers) :]) == list(numbers)
        given += new
    reading.stop()


@pytest.mark.parametrize("reader", READERS)
async def test_a_log_that_has_grown_past_its_old_end_before_anybody_looked_is_noticed(
    world: World, reader: Callable[[Log], "asyncio.Future[Reading]"]
) -> None:
    log = await world.log()
    given = await append_messages(log, "general", range(10))
    saved = await world.save(log)
    reading = await reader(log)
    given += await again(log, range(10, 60))
    await reading.has(*range(60))
    connection = log._nc
    await connection.close()  # nobody of this process looks
    world.server.lose_all_since(saved)
    await published(await world.connect(), range(100, 200))
    reading.stop()
    other = await world.log()
    await other.recall(MESSAGES, given[-1], reading.events[-1].stored_ns)
    reading = await reader(other)
    await reading.has(*range(100, 200))
    came = [event for event in reading.events if event.seq > max(given)]
    assert payloads(came) == list(range(100, 200))
    assert [reset.stream for reset in world.resets] == [MESSAGES]
    reading.stop()


@pytest.mark.parametrize("reader", READERS)
async def test_a_stream_that_is_deleted_under_a_living_connection_is_created_again_above_all_that_was_given(
    world: World, reader: Callable[[Log], "asyncio.Future[Reading]"]
) -> None:
    log = await world.log()
    given = await append_messages(log, "general", range(10))
    reading = await reader(log)
    await reading.has(*range(10))
    await api.call(await world.connect(), f"STREAM.DELETE.{MESSAGES}")
    new = await again(log, range(10, 20))
    await reading.has(*range(10, 20))
    assert min(new) > max(given)
    assert payloads(reading.events) == list(range(20))
    assert seqs(reading.events) == sorted(seqs(reading.events))
    reading.stop()


async def test_a_stream_that_somebody_made_again_from_one_is_numbered_above_all_that_was_given(world: World) -> None:
    log = await world.log()
    given = await append_messages(log, "general", range(30))
    config = (await api.stream_info(log._nc, MESSAGES))["config"]
    nc = await world.connect()
    await api.call(nc, f"STREAM.DELETE.{MESSAGES}")
    config.pop("first_seq", None)
    await api.call(nc, f"STREAM.CREATE.{MESSAGES}", config)
    await published(nc, range(100, 140))
    await until(lambda: asyncio.sleep(0, bool(world.resets) or None))
    reading = await tail(log)
    await reading.has(*range(100, 140))
    assert min(seqs(reading.events)) > max(given)
    stored = await log.get(MESSAGES, reading.events[3].seq)
    assert stored is not None
    assert stored.payload == b"103"
    reading.stop()


@pytest.mark.parametrize("reader", READERS)
async def test_a_stream_that_is_deleted_in_the_middle_of_a_comparison_ends_no_reader(
    world: World, reader: Callable[[Log], "asyncio.Future[Reading]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await world.log()
    await append_messages(log, "general", range(5))
    reading = await reader(log)
    await reading.has(*range(5))
    nc, stored_message = await world.connect(), api.stored_message
    deleted: list[str] = []

    async def delete_first(asking: NatsConnection, stream: str, seq: int) -> api.Found | None:
        if not deleted and stream == MESSAGES:
            deleted.append(stream)
            await api.call(nc, f"STREAM.DELETE.{MESSAGES}")
        return await stored_message(asking, stream, seq)

    monkeypatch.setattr(api, "stored_message", delete_first)
    await until(lambda: asyncio.sleep(0, bool(deleted) or None))
    await again(log, range(5, 10))
    await reading.has(*range(10))
    await soon(log.ping())
    reading.stop()


async def test_a_stream_that_somebody_made_again_with_other_partitions_ends_its_readers(world: World) -> None:
    log = await world.log()
    await append_messages(log, "general", range(5))
    config = (await api.stream_info(log._nc, MESSAGES))["config"]
    reader = await log.claim(MESSAGES, 0, "worker")
    assert len(await soon(reader.fetch())) == 5
    fetching = asyncio.ensure_future(reader.fetch())
    nc = await world.connect()
    await api.call(nc, f"STREAM.DELETE.{MESSAGES}")
    del config["subject_transform"]
    await api.call(nc, f"STREAM.CREATE.{MESSAGES}", config)
    with pytest.raises(FanoutError, match="partitions"):
        await soon(fetching)
    await until(lambda: asyncio.sleep(0, log._failure))
    with pytest.raises(Unavailable, match="partitions"):
        await append_messages(log, "general", [5])


async def test_a_record_that_is_older_than_the_one_known_ends_the_readers(world: World) -> None:
    log = await world.log()
    await append_messages(log, "general", range(5))
    older = await world.deployment.log_record(MESSAGES)
    assert older is not None
    world.server.lose_everything()
    await again(log, range(5, 10))
    reader = await log.claim(MESSAGES, 0, "worker")
    assert len(await soon(reader.fetch())) == 5
    world.deployment._records[MESSAGES] = older  # the membership store is restored
    with pytest.raises(FanoutError, match="membership store"):
        await soon(reader.fetch())


async def test_who_has_yet_to_notice_reads_all_up_to_a_position_that_another_was_given(world: World) -> None:
    log, other = await world.log(), await world.log()
    given = await append_messages(log, "general", range(30))
    await other.close()  # it compares by itself no more
    config = (await api.stream_info(log._nc, MESSAGES))["config"]
    await api.call(log._nc, f"STREAM.DELETE.{MESSAGES}")
    await api.call(log._nc, f"STREAM.CREATE.{MESSAGES}", config)
    await log.ping()
    new = await append_messages(log, "general", range(100, 110))
    events = [event async for event in other.read(MESSAGES, after=given[-1], upto=new[-1])]
    assert (payloads(events), seqs(events)) == (list(range(100, 110)), new)


async def test_an_answer_that_comes_late_is_none_to_the_new_event_in_the_old_place(world: World) -> None:
    log, other = await world.log(), await world.log()
    await append_messages(log, "general", range(10))
    saved = await world.save(log)
    late = await log.consume(MESSAGES, "message-writer")
    await again(log, range(10, 30))
    held = await collect(late, 30)
    await other.ping()  # it knows of them, too
    world.server.lose_all_since(saved)
    quick = await retry_forever(lambda: other.consume(MESSAGES, "message-writer"), "joining")
    await again(other, range(100, 120))
    await collect(quick, 30)
    await late.ack(held)
    await retry_forever(log._nc.ping, "having the answers taken in")
    await other._nc.close()  # its worker dies with what it holds
    reading = Reading(late.fetch, late.ack)  # type: ignore[arg-type]
    await reading.has(*range(100, 120))
    reading.stop()
