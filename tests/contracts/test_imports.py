"""The contract of `fanout.ports.imports.Imports`, over every adapter."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from fanout.errors import ChannelNotFound
from fanout.packed_ids import unpack
from fanout.ports.imports import Imports, NewMembership
from fanout.ports.memberships import ENDED_KEPT_S, Channel, Memberships
from services.adapters.mongo.memberships import MongoMemberships
from services.adapters.sqlite.database import Database
from services.adapters.sqlite.memberships import SqliteMemberships
from tests.support.reading import PATIENCE_S

CREATED = "2026-02-01T10:00:00.000Z"
LATER = "2026-02-01T11:00:00.000Z"
GENERAL = Channel("general", "General", private=False, created_by="alice", created_at=CREATED)
SECRET = Channel("secret", "Secret", private=True, created_by="bob", created_at=CREATED)
NOW = 1_770_000_000_000_000
MANY = 2_500
"""More than one batch of any adapter."""


class Clock:
    now = NOW

    def __call__(self) -> int:
        return self.now


class Store(NamedTuple):
    """A store that is filled by imports, and how it looks by the port of memberships."""

    imports: Imports
    memberships: Memberships
    clock: Clock


@pytest.fixture(params=["sqlite", "mongo"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    clock = Clock()
    opened: SqliteMemberships | MongoMemberships
    if request.param == "mongo":
        url = request.getfixturevalue("mongo_url")
        opened = await MongoMemberships.open(url, clock=clock, timeout_s=PATIENCE_S)
    else:
        opened = SqliteMemberships(await Database.open(tmp_path / "memberships.db", SqliteMemberships.schema), clock)
    yield Store(opened.imports, opened, clock)
    await opened.close()


@pytest.fixture
async def two_channels(store: Store) -> Store:
    assert await store.imports.create_channels([GENERAL, SECRET]) == 2
    return store


async def test_channels_are_created_whole_and_finished(two_channels: Store) -> None:
    assert await two_channels.memberships.channel("general") == GENERAL
    assert await two_channels.memberships.channel("secret") == SECRET
    assert await two_channels.memberships.unfinished(10) == []
    assert await two_channels.memberships.members_of("general") == []


async def test_a_channel_that_exists_stays_as_it_is(two_channels: Store) -> None:
    other = Channel("general", "Other", private=True, created_by="eve", created_at=LATER)
    third = Channel("third", "Third", private=False, created_by="eve", created_at=LATER)
    assert await two_channels.imports.create_channels([other, third, third]) == 1
    assert await two_channels.memberships.channel("general") == GENERAL
    assert await two_channels.memberships.channel("third") == third


async def test_the_channels_that_do_not_exist_are_found(two_channels: Store) -> None:
    assert await two_channels.imports.missing_channels({"general", "nowhere", "secret", "never"}) == {
        "nowhere",
        "never",
    }
    assert await two_channels.imports.missing_channels(set()) == set()


async def test_memberships_of_many_channels_begin_at_once(two_channels: Store) -> None:
    new = [
        NewMembership("general", "alice", CREATED),
        NewMembership("secret", "alice", LATER),
        NewMembership("general", "bob", LATER),
    ]
    assert await two_channels.imports.add_memberships(new) == 3
    assert await two_channels.memberships.members_of("general") == ["alice", "bob"]
    assert unpack(await two_channels.memberships.packed_channels_of("alice")) == ["general", "secret"]
    membership = await two_channels.memberships.membership("secret", "alice")
    assert membership is not None
    assert (membership.joined_at, membership.left_at, membership.version) == (LATER, None, NOW)
    assert membership.membership_id.startswith("mem_")


async def test_what_begins_is_unpublished_unless_no_service_runs(two_channels: Store) -> None:
    await two_channels.imports.add_memberships([NewMembership("general", "alice", CREATED)])
    await two_channels.imports.add_memberships([NewMembership("general", "bob", CREATED)], published=True)
    assert [each.user_id for each in await two_channels.memberships.unpublished(10)] == ["alice"]
    assert [each.user_id for each in await two_channels.memberships.changed_since(0, limit=10)] == ["alice", "bob"]


async def test_a_repeat_changes_nothing(two_channels: Store) -> None:
    new = [NewMembership("general", "alice", CREATED), NewMembership("secret", "bob", CREATED)]
    await two_channels.imports.add_memberships(new)
    await two_channels.memberships.mark_published(await two_channels.memberships.unpublished(10))
    before = await two_channels.memberships.changed_since(0, limit=10)
    two_channels.clock.now += 1_000
    later = [each._replace(joined_at=LATER) for each in new]
    assert await two_channels.imports.add_memberships([*later, NewMembership("secret", "carol", LATER)]) == 1
    after = await two_channels.memberships.changed_since(0, limit=10)
    assert [each for each in after if each.user_id != "carol"] == before


async def test_the_first_of_two_rows_of_a_user_and_a_channel_counts(two_channels: Store) -> None:
    new = [NewMembership("general", "alice", CREATED), NewMembership("general", "alice", LATER)]
    assert await two_channels.imports.add_memberships(new) == 1
    membership = await two_channels.memberships.membership("general", "alice")
    assert membership is not None
    assert membership.joined_at == CREATED


async def test_who_has_left_becomes_a_member_again(two_channels: Store) -> None:
    await two_channels.imports.add_memberships([NewMembership("general", "alice", CREATED)])
    ended = await two_channels.memberships.remove("general", "alice", LATER)
    assert ended is not None
    assert await two_channels.imports.add_memberships([NewMembership("general", "alice", LATER)]) == 1
    again = await two_channels.memberships.membership("general", "alice")
    assert again is not None
    assert again.left_at is None
    assert again.version > ended.version
    assert again.membership_id != ended.membership_id


async def test_a_version_is_above_that_of_a_document_that_was_deleted(two_channels: Store) -> None:
    await two_channels.imports.add_memberships([NewMembership("general", "alice", CREATED)])
    ended = await two_channels.memberships.remove("general", "alice", LATER)
    assert ended is not None
    await two_channels.memberships.mark_published([ended])
    two_channels.clock.now += ENDED_KEPT_S * 1_000_000 + 1
    assert await two_channels.memberships.prune(10) == 1
    two_channels.clock.now = NOW - 5_000_000  # another process, whose clock is behind
    await two_channels.imports.add_memberships([NewMembership("general", "alice", LATER)])
    again = await two_channels.memberships.membership("general", "alice")
    assert again is not None
    assert again.version > ended.version


async def test_an_unknown_channel_refuses_the_whole_call(two_channels: Store) -> None:
    new = [NewMembership("general", "alice", CREATED), NewMembership("nowhere", "alice", CREATED)]
    with pytest.raises(ChannelNotFound, match="nowhere"):
        await two_channels.imports.add_memberships(new)
    assert unpack(await two_channels.memberships.packed_channels_of("alice")) == []


async def test_no_rows_are_no_work(store: Store) -> None:
    assert await store.imports.create_channels([]) == 0
    assert await store.imports.add_memberships([]) == 0


async def test_many_rows_are_written_whole(two_channels: Store) -> None:
    new = [NewMembership("general", f"user-{number:04}", CREATED) for number in range(MANY)]
    assert await two_channels.imports.add_memberships(new, published=True) == MANY
    assert await two_channels.memberships.members_of("general") == [each.user_id for each in new]
    assert await two_channels.memberships.count_unpublished() == 0


async def test_two_imports_of_the_same_rows_write_each_once(two_channels: Store) -> None:
    new = [NewMembership("general", f"user-{number}", CREATED) for number in range(50)]
    began = await asyncio.gather(*(two_channels.imports.add_memberships(new) for _ in range(4)))
    assert sum(began) == 50
    assert len(await two_channels.memberships.changed_since(0, limit=100)) == 50


async def test_progress_is_kept_by_name(store: Store) -> None:
    assert await store.imports.progress("one") is None
    await store.imports.keep_progress("one", "10")
    await store.imports.keep_progress("two", "5")
    await store.imports.keep_progress("one", "20")
    assert await store.imports.progress("one") == "20"
    assert await store.imports.progress("two") == "5"
