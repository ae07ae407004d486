"""The contract of `fanout.ports.memberships.Memberships`, over every adapter."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fanout.errors import ChannelExists, ChannelNotFound
from fanout.ports.memberships import Channel, Membership, Memberships
from services.adapters.sqlite.memberships import SqliteMemberships

CREATED = "2026-02-01T10:00:00.000Z"
LATER = "2026-02-01T11:00:00.000Z"
GENERAL = Channel("general", "General", private=False, created_by="alice", created_at=CREATED)
SECRET = Channel("secret", "Secret", private=True, created_by="bob", created_at=CREATED)


@pytest.fixture(params=["sqlite"])
async def memberships(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Memberships]:
    store = await SqliteMemberships.open(tmp_path / "memberships.db")
    yield store
    await store.close()


async def test_a_channel_is_created_with_its_first_members(memberships: Memberships) -> None:
    created = await memberships.create(GENERAL, ["bob", "alice"])
    assert created == [Membership("general", "bob", CREATED), Membership("general", "alice", CREATED)]
    assert await memberships.members_of("general") == ["alice", "bob"]


@pytest.mark.parametrize("channel", [GENERAL, SECRET])
async def test_a_channel_is_found_whole(memberships: Memberships, channel: Channel) -> None:
    await memberships.create(channel, [])
    assert await memberships.channel(channel.channel_id) == channel


async def test_no_channel_is_none(memberships: Memberships) -> None:
    assert await memberships.channel("nowhere") is None


async def test_a_channel_is_created_once_and_the_second_try_changes_nothing(memberships: Memberships) -> None:
    await memberships.create(GENERAL, ["alice"])
    with pytest.raises(ChannelExists):
        await memberships.create(Channel("general", "Mine", private=True, created_by="eve", created_at=LATER), ["eve"])
    assert await memberships.channel("general") == GENERAL
    assert await memberships.members_of("general") == ["alice"]


async def test_of_many_who_create_the_same_channel_one_succeeds(memberships: Memberships) -> None:
    tries = [memberships.create(GENERAL, [f"user-{number}"]) for number in range(20)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, ChannelExists) for result in results) == 19
    assert len(await memberships.members_of("general")) == 1


async def test_members_are_added(memberships: Memberships) -> None:
    await memberships.create(GENERAL, ["alice"])
    added = await memberships.add("general", ["carol", "bob"], LATER)
    assert added == [Membership("general", "carol", LATER), Membership("general", "bob", LATER)]
    assert await memberships.members_of("general") == ["alice", "bob", "carol"]


async def test_who_is_a_member_already_keeps_that_membership(memberships: Memberships) -> None:
    await memberships.create(GENERAL, ["alice"])
    added = await memberships.add("general", ["bob", "alice"], LATER)
    assert added == [Membership("general", "bob", LATER), Membership("general", "alice", CREATED)]


async def test_nobody_is_added_to_a_channel_that_is_not_there(memberships: Memberships) -> None:
    with pytest.raises(ChannelNotFound):
        await memberships.add("nowhere", ["alice"], LATER)
    assert await memberships.channels_of("alice") == []


async def test_a_membership_ends_and_is_returned(memberships: Memberships) -> None:
    await memberships.create(GENERAL, ["alice", "bob"])
    assert await memberships.remove("general", "alice") == Membership("general", "alice", CREATED)
    assert await memberships.members_of("general") == ["bob"]
    assert await memberships.channels_of("alice") == []


async def test_what_was_not_there_cannot_end(memberships: Memberships) -> None:
    await memberships.create(GENERAL, ["alice"])
    assert await memberships.remove("general", "bob") is None
    assert await memberships.remove("nowhere", "alice") is None


async def test_of_many_who_end_a_membership_one_does(memberships: Memberships) -> None:
    await memberships.create(GENERAL, ["alice"])
    results = await asyncio.gather(*(memberships.remove("general", "alice") for _ in range(10)))
    assert sum(result is not None for result in results) == 1


async def test_who_left_and_joins_again_has_a_new_membership(memberships: Memberships) -> None:
    await memberships.create(GENERAL, ["alice"])
    await memberships.remove("general", "alice")
    assert await memberships.add("general", ["alice"], LATER) == [Membership("general", "alice", LATER)]


async def test_membership_is_asked_for_one_user(memberships: Memberships) -> None:
    await memberships.create(GENERAL, ["alice"])
    assert await memberships.is_member("general", "alice")
    assert not await memberships.is_member("general", "bob")
    assert not await memberships.is_member("nowhere", "alice")
    await memberships.remove("general", "alice")
    assert not await memberships.is_member("general", "alice")


async def test_channels_come_sorted_and_are_of_one_user(memberships: Memberships) -> None:
    await memberships.create(SECRET, ["alice", "bob"])
    await memberships.create(GENERAL, ["alice"])
    assert await memberships.channels_of("alice") == ["general", "secret"]
    assert await memberships.channels_of("bob") == ["secret"]
    assert await memberships.channels_of("stranger") == []


async def test_ids_sort_by_their_bytes(memberships: Memberships) -> None:
    await memberships.create(GENERAL, ["b", "a", "B", "_", "-", "9"])
    assert await memberships.members_of("general") == sorted(["b", "a", "B", "_", "-", "9"])


async def test_a_hundred_thousand_members_are_added_and_listed(memberships: Memberships) -> None:
    users = [f"user-{number:06}" for number in range(100_000)]
    await memberships.create(GENERAL, [])
    added = await memberships.add("general", users, LATER)
    assert [membership.user_id for membership in added] == users
    assert await memberships.members_of("general") == users


async def test_an_open_store_answers(memberships: Memberships) -> None:
    await memberships.ping()
