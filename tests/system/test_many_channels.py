"""Users of very many channels: their logins over MongoDB, and what is unread over Redis, beside a recount."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from redis.asyncio import Redis

from benchmarks.live.long_logins import opened_logins
from benchmarks.live.stalls import Watch
from fanout.api.unread import Counts
from fanout.events import timestamp
from fanout.ids import new_membership_id
from fanout.packed_ids import pack, unpack
from fanout.ports.memberships import Membership
from services.adapters.mongo.documents import membership_document
from services.adapters.mongo.documents_by_id import in_batches
from services.adapters.mongo.memberships import MongoMemberships
from tests.support import soak
from tests.support.faulty import FaultyMessages, faulty_messages
from tests.support.servers import NatsServer
from tests.support.soak import Channels, progress
from tests.support.store_worlds import StoreWorld, some_at_once, store_world

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

PATIENCE_S = 200.0
"""Reached only by a test that fails."""
MESSAGES_EACH = 3
JOINED_AT_ONCE = 1_000
READ_AT_ONCE = 500
"""Channels that one round trip to Redis reads."""
LONGEST_STEP_S = 0.05
"""Processor time of one step of the loop: far more than one takes, and far less than all channels take."""


@pytest.fixture
async def messages() -> AsyncIterator[FaultyMessages]:
    async with faulty_messages() as messages:
        yield messages


@pytest.fixture
async def world(nats_server: NatsServer, redis_url: str, messages: FaultyMessages) -> AsyncIterator[StoreWorld]:
    async with store_world(nats_server.url, redis_url, messages) as world:
        yield world


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


async def round_trips(redis: Redis) -> int:
    """Scripts that Redis has run since its statistics were reset, without those that it did not know yet."""
    statistics = (await redis.info("commandstats"))["cmdstat_evalsha"]
    return int(statistics["calls"]) - int(statistics["failed_calls"])


@contextmanager
def no_collection() -> Iterator[None]:
    """The services keep the collector from walking over all objects; the objects of pytest take it longest."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("channels", soak.CHANNELS_OF_THREE_USERS)
async def test_three_users_log_in_at_once_in_short_steps(mongo_url: str, channels: int) -> None:
    users, names = ["ann", "ben", "cid"], [f"channel-{number:07}" for number in range(channels)]
    store = await MongoMemberships.open(mongo_url, timeout_s=PATIENCE_S)
    for user in users:
        await _join_all(store, user, names)
        progress("%s is in %s channels", user, channels)
    try:
        with no_collection():
            async with opened_logins(store, dict.fromkeys(users, names)) as bench:
                seen = await bench.measure(users, lambda user: _unpacked(store, user), rounds=1)
    finally:
        await store.close()
    progress("the longest step took %.4f s of processor time", seen.stalls.longest_work)
    assert seen.stalls.longest_work < LONGEST_STEP_S


async def _join_all(store: MongoMemberships, user: str, names: list[str]) -> None:
    for some in in_batches(names, JOINED_AT_ONCE):
        memberships = (Membership(name, user, new_membership_id(), 1, timestamp()) for name in some)
        await store._documents.insert_many(map(membership_document, memberships))


async def _unpacked(store: MongoMemberships, user: str) -> list[str]:
    return unpack(await store.packed_channels_of(user))


@pytest.mark.parametrize("channels", soak.CHANNELS_OF_ONE_USER)
async def test_counts_beside_a_recount_agree_in_bounded_round_trips_and_steps(
    world: StoreWorld, messages: FaultyMessages, redis: Redis, channels: Channels
) -> None:
    ids = sorted(f"c{number}" for number in range(channels.all))
    world.memberships.outcomes["packed_channels_of"] = pack(ids)
    large = ids[:: channels.all // channels.with_messages]
    writer = await world.start_writer()
    await some_at_once(world.post(channel) for channel in large for _ in range(MESSAGES_EACH))
    await world.caught_up(PATIENCE_S)
    await writer.crash()  # its round trips are not to be counted
    progress("%s channels have messages", len(large))
    await redis.config_resetstat()
    messages.calls.clear()
    watch = Watch()
    with no_collection():
        async with watch:
            recounted, *counted = await asyncio.gather(
                world.queries.recalculate("alice"), *(world.queries.counts("alice") for _ in range(3))
            )
    expected = Counts(dict.fromkeys(large, MESSAGES_EACH), MESSAGES_EACH * len(large), 0)
    assert recounted == expected
    assert counted == [expected] * 3
    assert await round_trips(redis) == 5 * -(-channels.all // READ_AT_ONCE)
    assert messages.calls["history"] == channels.all
    seen = watch.result()
    progress("the longest step took %.4f s of processor time", seen.longest_work)
    assert seen.longest_work < LONGEST_STEP_S
