"""A Cassandra that is killed, or away, while messages are written, counted and counted again."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial

import pytest
from redis.asyncio import Redis

from fanout.errors import Unavailable
from fanout.streams import DEAD, MESSAGES, UNREAD_COUNTER
from fanout.subjects import message
from services.adapters.cassandra.messages import CassandraMessages
from tests.support import soak
from tests.support.cassandra import opened_cassandra
from tests.support.observing import eventually
from tests.support.servers import CassandraServer, NatsServer
from tests.support.soak import Outage, Traffic, progress
from tests.support.store_worlds import StoreWorld, some_at_once, store_world
from tests.support.traffic import WholeRun

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

TIMEOUT_S = 1.0
TIMEOUT_TO_CREATE_S = 30.0
"""Tables take far longer than rows."""
PATIENCE_S = 300.0
"""Reached only by a test that fails."""
PATIENCE_OF_SOAK_S = 1_500.0
LOST = 3
POISON = b"not json"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CassandraServer]:
    """One for this module: it is killed."""
    server = CassandraServer(tmp_path_factory.mktemp("cassandra"))
    server.start()
    yield server
    server.close()


@pytest.fixture
async def messages(server: CassandraServer, keyspace_prefix: str) -> AsyncIterator[CassandraMessages]:
    host = f"127.0.0.1:{server.port}"
    async with opened_cassandra(host, keyspace_prefix, timeout_s=TIMEOUT_TO_CREATE_S) as made:
        await made.ping()
    async with opened_cassandra(host, keyspace_prefix, timeout_s=TIMEOUT_S) as opened:
        yield opened


@pytest.fixture
async def world(nats_server: NatsServer, redis_url: str, messages: CassandraMessages) -> AsyncIterator[StoreWorld]:
    async with store_world(nats_server.url, redis_url, messages) as world:
        yield world


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


async def _is_back(world: StoreWorld) -> None:
    """Wait until the message store answers, so that rows which are missing are seen to be missing."""

    async def answers() -> bool:
        with suppress(Unavailable):
            await world.messages.ping()
            return True
        return False

    await eventually(answers, PATIENCE_S)


async def _all_counted(world: StoreWorld) -> bool:
    return await world.log.acknowledged(MESSAGES, UNREAD_COUNTER) >= await world.log.last_seq(MESSAGES)


async def test_counting_again_needs_the_store_and_never_gives_less_than_the_truth(
    world: StoreWorld, server: CassandraServer, redis: Redis
) -> None:
    async def damage() -> None:
        await redis.hincrby("channel-latest:general", "count", -LOST)

    async def recalculated() -> int | None:
        """The result on damaged counts; None while there is none."""
        await damage()
        try:
            return (await world.queries.recalculate("alice")).total
        except Unavailable:
            await redis.hincrby("channel-latest:general", "count", LOST)
            return None

    await world.create("general", "alice", "bob")
    writer = await world.start_writer()
    await some_at_once(world.post("general") for _ in range(10))
    await world.caught_up(PATIENCE_S)
    server.kill()
    try:
        await some_at_once(world.post("general") for _ in range(30))
        await eventually(partial(_all_counted, world), PATIENCE_S)
        assert await recalculated() is None
        await writer.crash()  # so that its backlog is still to be written when the store is back
    finally:
        await asyncio.to_thread(server.start)
    await _is_back(world)
    assert await recalculated() == 40
    await world.start_writer()
    results: list[int] = []
    while not await world.is_caught_up():
        results += [] if (result := await recalculated()) is None else [result]
    progress("counted again %s times while the backlog was written", len(results))
    assert all(result >= 40 for result in results), results
    assert await recalculated() == 40


@pytest.mark.parametrize("outage", soak.STORE_AWAY)
async def test_a_store_that_was_away_gets_every_message_once_and_only_the_poisonous_event_is_dead(
    world: StoreWorld, server: CassandraServer, outage: Outage
) -> None:
    posted: dict[str, set[str]] = {f"c{number}": set() for number in range(5)}

    async def post(channel: str) -> None:
        posted[channel].add((await world.post(channel)).message_id)

    writers = [await world.start_writer() for _ in range(2)]
    await some_at_once(post(channel) for channel in posted)
    server.kill()
    ends = time.monotonic() + outage.seconds
    try:
        channels = [list(posted)[number % 5] for number in range(outage.messages)]
        await some_at_once(map(post, channels[::2]))
        poisonous = await world.log.append(message("c0"), POISON, msg_id="poison")
        await writers[0].crash()
        await world.start_writer()
        await some_at_once(map(post, channels[1::2]))
        while (left := ends - time.monotonic()) > 0:
            progress("Cassandra is away for %.0f s more", left)
            await asyncio.sleep(min(left, 30))
        assert not world.failures
    finally:
        await asyncio.to_thread(server.start)
    await world.caught_up(PATIENCE_S)
    await _is_back(world)
    dead = [event async for event in world.log.read(DEAD, after=0, upto=await world.log.last_seq(DEAD))]
    assert [event.payload for event in dead] == [POISON]
    assert await world.log.get(MESSAGES, poisonous.seq) is not None
    for channel, ids in posted.items():
        stored = await world.history(channel)
        assert (len(stored), set(stored)) == (len(ids), ids)


@pytest.mark.parametrize("traffic", soak.WHOLE_RUN)
async def test_all_rows_reply_counts_and_unread_counts_are_exact_though_every_event_comes_twice_and_the_store_dies(
    world: StoreWorld, server: CassandraServer, traffic: Traffic
) -> None:
    run = WholeRun(world, traffic)
    await run.create_channels()
    for _ in range(2):
        await world.start_writer(twice=True)

    async def kill_the_store() -> None:
        await run.has_accepted(traffic.messages // 2)
        server.kill()
        progress("Cassandra is killed")
        await asyncio.to_thread(server.start)
        progress("Cassandra is back")

    async with asyncio.TaskGroup() as group:
        group.create_task(kill_the_store())
        group.create_task(run.post_and_read())
    progress("all %s messages are accepted", traffic.messages)
    await world.caught_up(PATIENCE_OF_SOAK_S)
    await _is_back(world)
    run.every_event_came_twice()
    exact = run.reply_counts_are_exact, run.unread_counts_are_exact
    for check in (run.rows_are_there_once, run.receipts_are_there_once, *exact):
        progress("checking: %s", check.__name__)
        await check()
