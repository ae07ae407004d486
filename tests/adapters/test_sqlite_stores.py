"""What the SQLite stores promise beyond the contracts of the ports: durability, and a file shared by processes."""

import asyncio
import contextlib
import re
import sqlite3
from pathlib import Path

import pytest

from fanout.errors import ChannelExists, FanoutError, ForeignStore, Unavailable
from fanout.events import StoredMessage
from fanout.packed_ids import unpack
from fanout.ports.memberships import CHANNEL, Channel
from services.adapters.sqlite.database import Database, inspect
from services.adapters.sqlite.memberships import SqliteMemberships
from services.adapters.sqlite.messages import SqliteMessages
from tests.support.stored import in_history

CREATED = "2026-02-01T10:00:00.000Z"


def _channel(channel_id: str) -> Channel:
    return Channel(channel_id, channel_id, private=False, created_by="alice", created_at=CREATED)


async def test_memberships_survive_a_restart(tmp_path: Path) -> None:
    store = await SqliteMemberships.open(tmp_path / "memberships.db")
    await store.create(_channel("general"), ["alice"])
    await store.close()
    store = await SqliteMemberships.open(tmp_path / "memberships.db")
    assert await store.channel("general") == _channel("general")
    assert await store.members_of("general") == ["alice"]
    await store.close()


async def test_messages_survive_a_restart(tmp_path: Path) -> None:
    message = in_history(1)
    store = await SqliteMessages.open(tmp_path / "messages.db")
    await store.write([message])
    await store.close()
    store = await SqliteMessages.open(tmp_path / "messages.db")
    assert (await store.history("general")).messages == [message]
    await store.close()


async def test_messages_of_before_the_first_release_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "messages.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE messages (channel_id TEXT, message_id TEXT, text TEXT)")
        connection.execute("PRAGMA user_version = 1")
    with pytest.raises(FanoutError, match=r"messages\.db was written .* before its first release.* move the file away"):
        await SqliteMessages.open(path)
    with pytest.raises(FanoutError, match="before its first release"):
        inspect(path, SqliteMessages.schema)


async def test_a_file_of_before_threads_gets_their_tables_and_keeps_its_messages(tmp_path: Path) -> None:
    path, before = tmp_path / "messages.db", SqliteMessages.schema[:2]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for statement in before[1]:
            connection.execute(statement)
        connection.execute(
            "INSERT INTO messages (channel_id, seq, message_id, sender_id, text, sent_at) VALUES (?, ?, ?, ?, ?, ?)",
            ("general", 1, "msg_1", "alice", "Hi", CREATED),
        )
        connection.execute(f"PRAGMA user_version = {len(before)}")
        connection.commit()
    store = await SqliteMessages.open(path)
    message = StoredMessage("msg_1", "general", "alice", "Hi", CREATED, seq=1)
    reply = in_history(2, thread_id="msg_1", also_send_to_channel=True)
    await store.write([reply])
    assert (await store.history("general")).messages == [reply, message]
    assert (await store.replies("msg_1")).messages == [reply]
    await store.close()


async def test_memberships_of_before_threads_get_the_table_of_followers(tmp_path: Path) -> None:
    path, before = tmp_path / "memberships.db", SqliteMemberships.schema[:2]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for statement in before[1]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(before)}")
        connection.commit()
    store = await SqliteMemberships.open(path)
    await store.create(_channel("general"), ["alice"])
    await store.follow("general", "msg_1", ["alice"])
    assert await store.followers_of("msg_1") == ["alice"]
    await store.close()


async def test_two_who_share_the_file_of_messages_sign_with_one_key(tmp_path: Path) -> None:
    one, other = [await SqliteMessages.open(tmp_path / "messages.db") for _ in range(2)]
    keys = await asyncio.gather(*(store.cursor_key() for store in (one, other, one)))
    assert len(set(keys)) == 1
    await one.close()
    await other.close()
    third = await SqliteMessages.open(tmp_path / "messages.db")
    assert await third.cursor_key() == keys[0]
    await third.close()


async def test_two_who_share_the_file_of_memberships_agree(tmp_path: Path) -> None:
    one, other = [await SqliteMemberships.open(tmp_path / "memberships.db") for _ in range(2)]
    await one.create(_channel("general"), ["alice"])
    with pytest.raises(ChannelExists):
        await other.create(_channel("general"), ["bob"])
    await other.add("general", ["bob"], CREATED)
    assert await one.members_of("general") == ["alice", "bob"]
    users = [f"user-{number:03}" for number in range(200)]
    await asyncio.gather(*(store.add("general", users, CREATED) for store in (one, other)))
    assert len(await one.members_of("general")) == 202
    await one.close()
    await other.close()


async def test_two_who_write_the_same_messages_store_them_once(tmp_path: Path) -> None:
    one, other = [await SqliteMessages.open(tmp_path / "messages.db") for _ in range(2)]
    written = [in_history(seq) for seq in range(1, 51)]
    await asyncio.gather(*(store.write([message]) for store in (one, other) for message in written))
    assert (await one.history("general", limit=1_000)).messages == written[::-1]
    assert (await other.history("general", limit=1_000)).messages == written[::-1]
    await one.close()
    await other.close()


async def test_a_hundred_thousand_channels_of_one_user_are_listed(tmp_path: Path) -> None:
    channels = [f"channel-{number:06}" for number in range(100_000)]
    store = await SqliteMemberships.open(tmp_path / "memberships.db")
    await store._database.write(
        lambda connection: connection.executemany(
            "INSERT INTO memberships VALUES (?, 'alice', 'mem_1', 1, ?, NULL, 0, 1)",
            [(channel, CREATED) for channel in channels],
        )
    )
    assert unpack(await store.packed_channels_of("alice")) == channels
    await store.close()


async def test_a_channel_that_another_program_has_written_is_no_other_channel(tmp_path: Path) -> None:
    store = await SqliteMemberships.open(tmp_path / "memberships.db")
    await store._database.write(
        lambda connection: connection.executemany(
            "INSERT INTO memberships VALUES (?, 'alice', 'mem_1', 1, ?, NULL, 0, 1)",
            [(channel, CREATED) for channel in ("general", "hall secret", "", "é")],
        )
    )
    assert await store.packed_channels_of("alice") == b"general"
    await store.close()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT channel_id FROM memberships WHERE user_id = 'alice' AND left_at IS NULL ORDER BY channel_id",
        "SELECT user_id FROM memberships WHERE channel_id = 'general' AND left_at IS NULL ORDER BY user_id",
        "SELECT * FROM memberships WHERE (version, channel_id, user_id) > (1, '', '') ORDER BY version",
    ],
)
async def test_lists_are_read_from_an_index_and_not_sorted(tmp_path: Path, query: str) -> None:
    store = await SqliteMemberships.open(tmp_path / "memberships.db")
    plan = await store._database.read(
        lambda connection: [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]
    )
    await store.close()
    assert len(plan) == 1
    assert plan[0].startswith("SEARCH memberships USING")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM messages WHERE channel_id = '' AND (seq, message_id) < (5, '') ORDER BY 2 DESC, 3 DESC",
        "SELECT * FROM messages WHERE channel_id = '' AND (seq, message_id) > (5, '') ORDER BY 2, 3",
        "SELECT channel_id FROM messages WHERE message_id = 'm'",
        "SELECT * FROM thread_messages WHERE thread_id = '' AND (seq, message_id) > (5, '') ORDER BY 2, 3",
        "SELECT channel_id FROM thread_messages WHERE message_id = 'm'",
    ],
)
async def test_pages_and_places_are_read_from_an_index_and_not_sorted(tmp_path: Path, query: str) -> None:
    store = await SqliteMessages.open(tmp_path / "messages.db")
    plan = await store._database.read(
        lambda connection: [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]
    )
    await store.close()
    assert len(plan) == 1
    assert re.match("SEARCH (thread_)?messages USING", plan[0])


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM memberships WHERE untold = 1 ORDER BY version LIMIT 9",
        "SELECT * FROM memberships WHERE left_at IS NOT NULL AND untold = 0 AND told_at <= 1 ORDER BY told_at LIMIT 9",
        "SELECT channel_id FROM channels WHERE pending IS NOT NULL LIMIT 9",
    ],
)
async def test_what_the_sweep_looks_for_has_an_index_of_its_own(tmp_path: Path, query: str) -> None:
    """So that it costs nothing where there is nothing to do, however many memberships there are."""
    store = await SqliteMemberships.open(tmp_path / "memberships.db")
    plan = await store._database.read(
        lambda connection: [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]
    )
    await store.close()
    assert len(plan) == 1
    assert "memberships_untold" in plan[0] or "memberships_ended" in plan[0] or "channels_unfinished" in plan[0]


async def test_memberships_of_an_unreleased_layout_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "memberships.db"
    with contextlib.closing(sqlite3.connect(path)) as old:
        old.execute("CREATE TABLE memberships (channel_id TEXT, user_id TEXT, joined_at TEXT)")
        old.execute("PRAGMA user_version = 1")
    with pytest.raises(FanoutError, match=rf"{path} .*before its first release.*move the file away"):
        await SqliteMemberships.open(path)


async def test_channels_of_the_layout_before_direct_messages_are_channels(tmp_path: Path) -> None:
    path = tmp_path / "memberships.db"
    before = SqliteMemberships.schema[:2]
    database = await Database.open(path, before)
    await database.write(
        lambda connection: connection.execute(
            "INSERT INTO channels VALUES ('general', 'general', 0, 'alice', 't', NULL)"
        )
    )
    await database.close()
    store = await SqliteMemberships.open(path)
    found = await store.channel("general")
    await store.close()
    assert found is not None
    assert (found.created_by, found.kind) == ("alice", CHANNEL)


async def test_all_of_a_write_is_stored_or_nothing(tmp_path: Path) -> None:
    store = await SqliteMessages.open(tmp_path / "messages.db")
    await store._database.write(lambda connection: connection.execute("PRAGMA max_page_count = 8").fetchone())
    small, big = in_history(1), in_history(2, text="x" * 100_000)
    with pytest.raises(Unavailable):
        await store.write([small, big])
    assert (await store.history("general")).messages == []
    await store.close()


async def test_in_memory_both_live() -> None:
    memberships, messages = await SqliteMemberships.open(None), await SqliteMessages.open(None)
    await memberships.create(_channel("general"), ["alice"])
    message = in_history(1)
    await messages.write([message])
    assert await memberships.is_member("general", "alice")
    assert (await messages.history("general")).messages == [message]
    await memberships.close()
    await messages.close()


async def test_a_membership_store_belongs_to_one_prefix(tmp_path: Path) -> None:
    store = await SqliteMemberships.open(tmp_path / "memberships.db")
    for _ in range(2):
        await store.deployment.claim_prefix("one")
    for other in ("", "two"):
        with pytest.raises(ForeignStore, match="FANOUT_PREFIX=one"):
            await store.deployment.claim_prefix(other)
    await store.close()
