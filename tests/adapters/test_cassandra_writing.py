"""Rows in Cassandra: one for each message, whatever comes again, dies in between or runs beside."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from fanout.errors import Unavailable
from fanout.events import StoredMessage
from fanout.ports.messages import LogPlace
from services.adapters.cassandra.bridge import Request, Rows
from services.adapters.cassandra.buckets import BUCKET_EVENTS
from services.adapters.cassandra.messages import CassandraMessages
from services.adapters.cassandra.row_table import MAX_BATCH_CHARACTERS, MAX_BATCH_ROWS
from tests.support.cassandra import opened_cassandra
from tests.support.stored import in_history


class Died(Exception):  # noqa: N818 - a process does
    """A process ends between two steps."""


@pytest.fixture
async def store(cassandra: str, keyspace_prefix: str) -> AsyncIterator[CassandraMessages]:
    async with opened_cassandra(cassandra, keyspace_prefix) as opened:
        yield opened


async def _table(store: CassandraMessages, table: str, columns: str) -> Rows:
    query = f"SELECT {columns} FROM {store.keyspace}.{table} LIMIT 10000"  # noqa: S608 - constants
    return sorted(await store.connection.execute("reading", query))


async def _places(store: CassandraMessages, table: str = "messages") -> list[tuple[int, str]]:
    return await _table(store, table, "seq, message_id")


def _moved(message: StoredMessage, seq: int) -> StoredMessage:
    return msgspec.structs.replace(message, seq=seq)


def _dies_after(store: CassandraMessages, monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    execute_all = store.connection.execute_all
    left = calls

    async def execute_until_death(what: str, requests: list[Request]) -> list[Rows]:
        nonlocal left
        if not requests:
            return []
        if left == 0:
            raise Died
        left -= 1
        return await execute_all(what, requests)

    monkeypatch.setattr(store.connection, "execute_all", execute_until_death)


@pytest.mark.parametrize("calls", range(7))
async def test_a_writer_that_dies_between_two_steps_leaves_one_row_when_the_message_comes_again(
    store: CassandraMessages, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    written = [in_history(seq) for seq in range(1, 4)]
    await store.write(written[:2])
    moved = [_moved(written[0], 11), _moved(written[1], 12), written[2]]
    with monkeypatch.context() as patched:
        _dies_after(store, patched, calls)
        try:
            await store.write(moved)
        except Died:
            assert calls < 6
    await store.write(moved)
    assert await _places(store) == sorted((each.seq, each.message_id) for each in moved)
    assert await _table(store, "message_index", "seq, message_id") == await _places(store)
    assert (await store.history("general")).messages == sorted(moved, key=lambda each: -each.seq)


@pytest.mark.parametrize("calls", range(7))
@pytest.mark.parametrize("also", [False, True])
async def test_a_writer_that_dies_between_two_steps_leaves_replies_that_count_once(
    store: CassandraMessages,
    monkeypatch: pytest.MonkeyPatch,
    calls: int,
    also: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    root = in_history(1)
    replies = [in_history(seq, thread_id=root.message_id, also_send_to_channel=also) for seq in range(2, 5)]
    await store.write([root, *replies[:2]])
    moved = [_moved(replies[0], 11), _moved(replies[1], BUCKET_EVENTS + 12), replies[2]]
    with monkeypatch.context() as patched:
        _dies_after(store, patched, calls)
        try:
            await store.write(moved)
        except Died:
            assert calls < 6
    await store.write(moved)
    rows = sorted((each.seq, each.message_id) for each in moved)
    of_root = (root.seq, root.message_id)
    assert await _places(store, "thread_messages") == rows
    assert await _places(store) == sorted([of_root, *rows] if also else [of_root])
    assert await _places(store, "message_index") == sorted([of_root, *rows])
    assert await store.reply_count(root.message_id) == 3
    assert (await store.replies(root.message_id)).messages == sorted(moved, key=lambda each: each.seq)


async def test_what_a_dead_writer_announced_is_done_by_the_next(
    store: CassandraMessages, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = in_history(1)
    await store.write([message])
    with monkeypatch.context() as patched:
        _dies_after(store, patched, 1)
        with pytest.raises(Died):
            await store.write([_moved(message, BUCKET_EVENTS * 5)])
    await store.write([message])  # an earlier event comes again, and the later one never does
    assert await _places(store) == [(BUCKET_EVENTS * 5, message.message_id)]
    assert (await store.history("general")).messages == [_moved(message, BUCKET_EVENTS * 5)]


async def test_a_slow_writer_brings_no_removed_row_back(
    store: CassandraMessages, monkeypatch: pytest.MonkeyPatch
) -> None:
    message, slow_may_go, slow_waits = in_history(1), asyncio.Event(), asyncio.Event()
    execute_all = store.connection.execute_all

    async def execute_slowly(what: str, requests: list[Request]) -> list[Rows]:
        if what == "storing messages":
            slow_waits.set()
            await slow_may_go.wait()
        return await execute_all(what, requests)

    with monkeypatch.context() as patched:
        patched.setattr(store.connection, "execute_all", execute_slowly)
        slow = asyncio.create_task(store.write([message]))
        await slow_waits.wait()
    await store.write([_moved(message, 9)])
    slow_may_go.set()
    await slow
    assert await _places(store) == [(9, message.message_id)]


async def test_the_place_in_the_log_is_stored_after_the_messages(
    store: CassandraMessages, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        _dies_after(store, patched, 2)
        with pytest.raises(Died):
            await store.write([in_history(5)], LogPlace(5, 1))
    assert await store.newest_place() is None
    await store.write([in_history(5)], LogPlace(5, 1))
    assert await store.newest_place() == LogPlace(5, 1)


async def test_messages_of_a_partition_are_written_in_batches_of_a_bounded_size(
    store: CassandraMessages, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute_all = store.connection.execute_all
    batches: list[int] = []

    async def execute_counting(what: str, requests: list[Request]) -> list[Rows]:
        if what == "storing messages":
            batches.extend(len(getattr(each.statement, "_statements_and_parameters", [0])) for each in requests)
        return await execute_all(what, requests)

    monkeypatch.setattr(store.connection, "execute_all", execute_counting)
    small = [in_history(seq) for seq in range(MAX_BATCH_ROWS + 1)]
    large = [in_history(seq, "large", "x" * (MAX_BATCH_CHARACTERS // 2)) for seq in range(5)]
    await store.write([*small, *large, in_history(BUCKET_EVENTS)])
    assert sorted(batches) == [1, 1, 1, 2, 2, MAX_BATCH_ROWS]
    assert len((await store.history("general", limit=200)).messages) == MAX_BATCH_ROWS + 2
    assert (await store.history("large")).messages == large[::-1]


async def test_no_row_has_a_tombstone_for_what_a_message_lacks(store: CassandraMessages) -> None:
    await store.write([in_history(1)])
    query = f"SELECT writetime(thread_id), thread_id, writetime(text) FROM {store.keyspace}.messages LIMIT 1"  # noqa: S608
    assert await store.connection.execute("reading", query) == [(None, None, 1)]
    # A null that was bound would hide what an earlier timestamp has.
    insert = f"UPDATE {store.keyspace}.messages USING TIMESTAMP 0 SET thread_id = 't' WHERE channel_id = 'general' "  # noqa: S608
    await store.connection.execute(
        "writing", f"{insert} AND bucket = 0 AND seq = 1 AND message_id = %s", await _id(store)
    )
    (found,) = (await store.history("general")).messages
    assert found.thread_id == "t"


async def test_an_error_that_would_come_again_is_not_called_unavailable(store: CassandraMessages) -> None:
    with pytest.raises(Exception, match=r"bigint|integer|int") as caught:
        await store.write([in_history(1 << 64)])
    assert not isinstance(caught.value, Unavailable)


async def _id(store: CassandraMessages) -> Any:
    return (await _places(store))[0][1]
