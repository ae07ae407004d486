"""Pages across buckets: what they cost in round trips."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from fanout.events import StoredMessage
from fanout.message_rows import IN_CHANNELS
from fanout.ports.messages import Position
from services.adapters.cassandra.buckets import BUCKET_EVENTS
from services.adapters.cassandra.messages import CassandraMessages
from tests.support.cassandra import opened_cassandra
from tests.support.stored import in_history

BUCKETS = 10
EMPTY_BETWEEN = 20
IN_A_BUCKET = 30
WRITTEN_AT_ONCE = 100
OPENED = 2_000


@pytest.fixture
async def store(cassandra: str, keyspace_prefix: str) -> AsyncIterator[CassandraMessages]:
    """A channel with messages in ten buckets, and 200 empty ones between."""
    async with opened_cassandra(cassandra, keyspace_prefix) as opened:
        yield opened


def _written() -> list[StoredMessage]:
    firsts = [bucket * (EMPTY_BETWEEN + 1) * BUCKET_EVENTS for bucket in range(BUCKETS)]
    return [in_history(first + number) for first in firsts for number in range(IN_A_BUCKET)]


def _at(message: StoredMessage) -> Position:
    return Position(message.seq, message.message_id)


@pytest.mark.parametrize("limit", [25, 7, 200])
async def test_a_page_is_one_round_trip_and_the_first_one_two(store: CassandraMessages, limit: int) -> None:
    written = _written()
    await store.write(written)
    seen: list[StoredMessage] = []
    trips = []
    while len(seen) < len(written):
        before = store.reading[IN_CHANNELS].round_trips
        seen += (await store.history("general", before=_at(seen[-1]) if seen else None, limit=limit)).messages
        trips.append(store.reading[IN_CHANNELS].round_trips - before)
    assert seen == written[::-1]
    assert trips == [2, *[1] * (len(trips) - 1)]


async def test_pages_towards_the_newest_cost_the_same(store: CassandraMessages) -> None:
    written = _written()
    await store.write(written)
    seen = [written[0]]
    trips = []
    while len(seen) < len(written):
        before = store.reading[IN_CHANNELS].round_trips
        seen += (await store.history("general", after=_at(seen[-1]), limit=25)).messages[::-1]
        trips.append(store.reading[IN_CHANNELS].round_trips - before)
    assert seen == written
    assert trips == [2, *[1] * (len(trips) - 1)]


async def test_before_the_first_message_there_is_nothing_and_it_costs_one(store: CassandraMessages) -> None:
    written = _written()
    await store.write(written[IN_A_BUCKET:])
    before = store.reading[IN_CHANNELS].round_trips
    assert (await store.history("general", before=_at(written[IN_A_BUCKET - 1]))).messages == []
    assert (await store.history("nowhere")).messages == []
    assert store.reading[IN_CHANNELS].round_trips - before == 2


async def test_a_bucket_that_another_process_opens_is_seen_by_the_next_page(
    store: CassandraMessages, cassandra: str, keyspace_prefix: str
) -> None:
    written = _written()
    await store.write(written[:IN_A_BUCKET])
    assert (await store.history("general", limit=5)).messages == written[IN_A_BUCKET - 5 : IN_A_BUCKET][::-1]
    async with opened_cassandra(cassandra, keyspace_prefix) as other:
        await other.write(written[2 * IN_A_BUCKET : 3 * IN_A_BUCKET])
        assert (await store.history("general", limit=5)).messages == written[3 * IN_A_BUCKET - 5 : 3 * IN_A_BUCKET][
            ::-1
        ]
        # One in the middle, of an event that came late.
        await other.write(written[IN_A_BUCKET : IN_A_BUCKET + 1])
        page = await store.history("general", before=_at(written[2 * IN_A_BUCKET]), limit=2)
    assert page.messages == [written[IN_A_BUCKET], written[IN_A_BUCKET - 1]]


async def test_more_buckets_than_a_list_names_at_once_are_all_read(store: CassandraMessages) -> None:
    written = [in_history(bucket * BUCKET_EVENTS) for bucket in range(30)]
    await store.write(written)
    seen: list[StoredMessage] = []
    while page := (await store.history("general", before=_at(seen[-1]) if seen else None, limit=4)).messages:
        seen += page
    assert seen == written[::-1]


async def test_buckets_whose_messages_moved_away_do_not_end_a_page(store: CassandraMessages) -> None:
    written = [in_history(bucket * BUCKET_EVENTS) for bucket in range(30)]
    await store.write(written)
    top = 40 * BUCKET_EVENTS
    again = [replace(each, seq=top + number) for number, each in enumerate(written[1:])]
    await store.write(again)
    assert (await store.history("general", before=Position(top), limit=3)).messages == [written[0]]
    assert (await store.history("general", after=Position(-1), limit=3)).messages == [again[1], again[0], written[0]]


async def test_a_channel_that_is_written_and_opened_by_very_many_costs_the_others_nothing(
    store: CassandraMessages,
) -> None:
    quiet = [in_history(number, "quiet") for number in range(IN_A_BUCKET)]
    busy = [in_history(number * BUCKET_EVENTS // 500, "busy") for number in range(2_500)]  # in five buckets
    await store.write(quiet)
    assert len((await store.history("quiet")).messages) == IN_A_BUCKET
    stored = 0

    async def write() -> None:
        nonlocal stored
        for start in range(0, len(busy), WRITTEN_AT_ONCE):
            await store.write(busy[start : start + WRITTEN_AT_ONCE])
            stored = start + WRITTEN_AT_ONCE

    async def open_history() -> None:
        expected = busy[stored - 1].seq if stored else -1
        page = await store.history("busy", limit=50)
        newest = page.messages[0].seq if page.messages else -1
        assert newest >= expected, "a page lacks what was stored before it was asked for"

    writing, before = asyncio.create_task(write()), store.reading[IN_CHANNELS].round_trips
    opening: list[asyncio.Task[None]] = []
    while len(opening) < OPENED:
        opening += [asyncio.create_task(open_history()) for _ in range(OPENED // 10)]
        assert (await store.history("quiet")).messages == quiet[::-1]
    await asyncio.gather(writing, *opening)
    assert stored == len(busy)
    trips = store.reading[IN_CHANNELS].round_trips - before
    assert trips < OPENED / 10, "identical reads are joined"
