"""What is particular to memberships in MongoDB: documents, calls of several writes, and reading without a stall."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from bson import decode_all

from fanout.api.channels import CreateChannel
from fanout.errors import ChannelExists, OutcomeUnknown, Unavailable
from fanout.ports.memberships import Channel
from services.adapters.mongo.documents import channel_document
from services.adapters.mongo.memberships import READ_AT_ONCE, MongoMemberships
from services.command.service import CommandService
from services.runtime.membership_cache import MembershipCache
from services.runtime.time_slice import SLICE_S
from tests.support.faulty import NO_FOLLOWERS, NO_MESSAGES, faulty_log
from tests.support.reading import PATIENCE_S

NOW = 1_770_000_000_000_000
CREATED = "2026-02-01T10:00:00.000Z"
LATER = "2026-02-01T11:00:00.000Z"
GENERAL = Channel("general", "General", private=False, created_by="alice", created_at=CREATED)


@pytest.fixture
async def store(mongo_url: str) -> AsyncIterator[MongoMemberships]:
    opened = await MongoMemberships.open(mongo_url, clock=lambda: NOW, timeout_s=PATIENCE_S)
    yield opened
    await opened.close()


async def _document(store: MongoMemberships, key: str) -> dict[str, object]:
    document = await store._documents.find_one({"_id": key})
    assert document is not None
    del document["membership_id"]
    return document


async def test_the_document_of_a_membership_through_its_life(store: MongoMemberships) -> None:
    [joined] = await store.create(GENERAL, ["alice"])
    names = {"_id": "general:alice", "channel_id": "general", "user_id": "alice", "joined_at": CREATED}
    lasting = {**names, "version": NOW, "active": True}
    assert await _document(store, "general:alice") == {**lasting, "untold": NOW}
    await store.mark_published([joined])
    assert await _document(store, "general:alice") == lasting
    left = await store.remove("general", "alice", LATER)
    ended = {**names, "version": NOW + 1, "active": False, "left_at": LATER}
    assert await _document(store, "general:alice") == {**ended, "untold": NOW + 1}
    assert left is not None
    await store.mark_published([left])
    assert await _document(store, "general:alice") == {**ended, "told_at": NOW}
    await store.add("general", ["alice"], LATER)
    again = {**names, "joined_at": LATER, "version": NOW + 2, "active": True, "untold": NOW + 2}
    assert await _document(store, "general:alice") == again


async def test_a_document_without_a_kind_is_an_ordinary_channel(store: MongoMemberships) -> None:
    document = channel_document(GENERAL, None)
    del document["kind"]
    await store._channels.insert_one(document)
    assert await store.channel("general") == GENERAL


async def test_the_first_members_are_in_the_channels_document_until_they_are_published(store: MongoMemberships) -> None:
    await store.create(GENERAL, ["alice", "bob"])
    document = await store._channels.find_one({"_id": "general"})
    assert document == channel_document(GENERAL, ["alice", "bob"])
    await store.creation_published("general")
    assert await store._channels.find_one({"_id": "general"}) == channel_document(GENERAL, None)


async def test_a_creation_that_ended_between_channel_and_members_is_finished_by_its_creator_alone(
    store: MongoMemberships,
) -> None:
    await store._channels.insert_one(channel_document(GENERAL, ["alice", "bob"]))  # all that the killed gateway did
    request = CreateChannel("General", "general", ["bob"])
    async with faulty_log() as log:
        commands = CommandService(log, store, MembershipCache(store), NO_MESSAGES, NO_FOLLOWERS)
        with pytest.raises(ChannelExists):
            await commands.create_channel("eve", request)
        assert await store.members_of("general") == []
        assert (await commands.create_channel("alice", request)).channel_id == "general"
        assert await store.members_of("general") == ["alice", "bob"]
        assert await store.unfinished(10) == []
        with pytest.raises(ChannelExists):
            await commands.create_channel("alice", request)


async def test_a_creation_that_failed_after_the_channel_may_have_been_done(
    store: MongoMemberships, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise Unavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(store._writer, "admit", away)
        with pytest.raises(OutcomeUnknown):
            await store.create(GENERAL, ["alice"])
    assert await store.unfinished(10) == ["general"]
    resumed = await store.resume_creation("general")
    assert resumed is not None
    assert [each.user_id for each in resumed] == ["alice"]


async def test_a_version_is_above_that_of_a_document_that_is_deleted_while_the_user_joins(
    store: MongoMemberships, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document is deleted, by a process whose clock is ahead, after the joining call has read the channel."""
    await store.create(GENERAL, [])
    insert = store._writer._insert

    async def insert_after_deletion(*arguments: Any, **options: Any) -> object:
        await store._channels.update_one({"_id": "general"}, {"$max": {"pruned": NOW + 500}})
        return await insert(*arguments, **options)

    monkeypatch.setattr(store._writer, "_insert", insert_after_deletion)
    [membership] = await store.add("general", ["alice"], LATER)
    assert membership.version == NOW + 501
    assert await store.unpublished(10) == [membership]


async def test_long_lists_are_read_in_batches_with_a_turn_of_the_loop_after_each(
    store: MongoMemberships, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = [f"user-{number:05}" for number in range(3 * READ_AT_ONCE + 1)]
    await store.create(GENERAL, users, published=True)
    turns, decoded = 0, list[tuple[int, int]]()

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def decode(batch: bytes) -> list[dict[str, str]]:
        documents = decode_all(batch)
        decoded.append((len(documents), turns))
        time.sleep(2 * SLICE_S)
        return documents

    monkeypatch.setattr("services.adapters.mongo.memberships.decode_all", decode)
    counting = asyncio.create_task(count_turns())
    lists = await asyncio.gather(*(store.members_of("general") for _ in range(3)))
    counting.cancel()
    assert lists == [users] * 3
    assert sorted(count for count, _ in decoded) == [*[1] * 3, *[READ_AT_ONCE] * 9]
    assert len({turn for _, turn in decoded}) == len(decoded), "two batches are decoded in one turn"


async def test_a_channel_that_another_program_has_written_is_no_other_channel(store: MongoMemberships) -> None:
    await store.create(GENERAL, ["alice"])
    documents: list[dict[str, object]] = [
        {"_id": f"strange-{number}", "user_id": "alice", "channel_id": value, "active": True}
        for number, value in enumerate(["hall secret", "", "é", 7])
    ]
    await store._documents.insert_many(documents)
    assert await store.packed_channels_of("alice") == b"general"
