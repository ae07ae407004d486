"""The contract of `fanout.ports.followers.Followers`, over every adapter: they are parts of the membership stores."""

import asyncio

import pytest

from fanout.ids import new_message_id
from fanout.ports.memberships import ENDED_KEPT_S, Channel
from tests.contracts.conftest import MembershipStore
from tests.support.clocks import Clock

AT = "2026-02-01T10:00:00.000Z"
THREAD, OTHER = new_message_id(), new_message_id()


@pytest.fixture
async def store(memberships: MembershipStore) -> MembershipStore:
    for name in ("general", "random"):
        channel = Channel(name, name, private=True, created_by="alice", created_at=AT)
        await memberships.create(channel, ["alice", "bob", "carol"])
    return memberships


async def test_who_follows_is_listed_once_and_sorted(store: MembershipStore) -> None:
    assert await store.followers_of(THREAD) == []
    await store.follow("general", THREAD, ["bob"])
    await store.follow("general", THREAD, ["bob", "alice", "bob"])
    await store.follow("general", THREAD, [])
    assert await store.followers_of(THREAD) == ["alice", "bob"]
    assert await store.followers_of(OTHER) == []


async def test_only_members_of_the_channel_follow(store: MembershipStore) -> None:
    await store.follow("general", THREAD, ["alice", "mallory"])
    await store.follow("nowhere", OTHER, ["alice"])
    assert await store.followers_of(THREAD) == ["alice"]
    assert await store.followers_of(OTHER) == []
    await store.add("general", ["mallory"], AT)
    assert await store.followers_of(THREAD) == ["alice"]  # joining is not following


async def test_who_leaves_follows_no_more_and_not_anew(store: MembershipStore) -> None:
    await store.follow("general", THREAD, ["alice", "bob"])
    await store.follow("random", OTHER, ["bob"])
    await store.remove("general", "bob", AT)
    assert await store.followers_of(THREAD) == ["alice"]
    await store.follow("general", THREAD, ["bob"])  # a mention
    assert await store.followers_of(THREAD) == ["alice"]
    assert await store.followers_of(OTHER) == ["bob"]


async def test_who_comes_back_follows_again_only_by_what_happens_then(store: MembershipStore) -> None:
    await store.follow("general", THREAD, ["bob"])
    await store.remove("general", "bob", AT)
    await store.add("general", ["bob"], AT)
    assert await store.followers_of(THREAD) == []
    await store.follow("general", THREAD, ["bob"])
    assert await store.followers_of(THREAD) == ["bob"]


async def test_many_who_follow_at_once_all_do(store: MembershipStore) -> None:
    users = [f"user-{number:03}" for number in range(60)]
    await store.add("general", users, AT)
    await asyncio.gather(*(store.follow("general", THREAD, users[start : start + 30]) for start in (0, 10, 20, 30, 30)))
    assert await store.followers_of(THREAD) == users


async def test_what_ended_memberships_followed_is_deleted_with_them(store: MembershipStore, clock: Clock) -> None:
    await store.follow("general", THREAD, ["alice", "bob", "carol"])
    ended = [await store.remove("general", user, AT) for user in ("bob", "carol")]
    await store.mark_published([each for each in ended if each is not None])
    (again,) = await store.add("general", ["carol"], AT)
    await store.mark_published([again])
    await store.follow("general", THREAD, ["carol"])
    clock.now += (ENDED_KEPT_S + 1) * 1_000_000
    assert await store.prune(10) == 1
    assert await store.followers_of(THREAD) == ["alice", "carol"]
    await store.add("general", ["bob"], AT)
    assert await store.followers_of(THREAD) == ["alice", "carol"]
