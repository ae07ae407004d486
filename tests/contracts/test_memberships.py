"""The contract of `fanout.ports.memberships.Memberships`, over every adapter."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from fanout.errors import ChannelExists, ChannelNotFound
from fanout.packed_ids import unpack
from fanout.ports.memberships import DM, ENDED_KEPT_S, Channel, Membership, Memberships
from services.adapters.mongo.memberships import MongoMemberships
from tests.support.clocks import Clock

CREATED = "2026-02-01T10:00:00.000Z"
LATER = "2026-02-01T11:00:00.000Z"
GENERAL = Channel("general", "General", private=False, created_by="alice", created_at=CREATED)
SECRET = Channel("secret", "Secret", private=True, created_by="bob", created_at=CREATED)
HOUR_US = ENDED_KEPT_S * 1_000_000


def joined(memberships: Sequence[Membership]) -> list[tuple[str, str]]:
    """Who is in, and since when."""
    assert all(each.left_at is None for each in memberships)
    return [(each.user_id, each.joined_at) for each in memberships]


async def left(memberships: Memberships, user_id: str) -> Membership:
    ended = await memberships.remove("general", user_id, LATER)
    assert ended is not None
    return ended


async def test_a_channel_is_created_with_its_first_members(memberships: Memberships) -> None:
    created = await memberships.create(GENERAL, ["bob", "alice"])
    assert joined(created) == [("bob", CREATED), ("alice", CREATED)]
    assert await memberships.members_of("general") == ["alice", "bob"]


@pytest.mark.parametrize("channel", [GENERAL, SECRET, replace(SECRET, name="", kind=DM)])
async def test_a_channel_is_found_whole(memberships: Memberships, channel: Channel) -> None:
    await memberships.create(channel, [])
    assert await memberships.channel(channel.channel_id) == channel


async def test_the_members_are_counted_up_to_a_limit(memberships: Memberships) -> None:
    await memberships.create(GENERAL, ["alice", "bob", "carol"])
    await left(memberships, "bob")
    assert [await memberships.member_count("general", limit) for limit in (1, 2, 3)] == [1, 2, 2]
    assert await memberships.member_count("nowhere", 3) == 0


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
    assert joined(added) == [("carol", LATER), ("bob", LATER)]
    assert await memberships.members_of("general") == ["alice", "bob", "carol"]


async def test_who_is_a_member_already_keeps_that_membership(memberships: Memberships) -> None:
    await memberships.create(GENERAL, ["alice"])
    added = await memberships.add("general", ["bob", "alice"], LATER)
    assert joined(added) == [("bob", LATER), ("alice", CREATED)]


async def test_nobody_is_added_to_a_channel_that_is_not_there(memberships: Memberships) -> None:
    with pytest.raises(ChannelNotFound):
        await memberships.add("nowhere", ["alice"], LATER)
    assert unpack(await memberships.packed_channels_of("alice")) == []


async def test_a_membership_ends_and_is_returned(memberships: Memberships) -> None:
    await memberships.create(GENERAL, ["alice", "bob"])
    ended = await left(memberships, "alice")
    assert (ended.user_id, ended.joined_at, ended.left_at) == ("alice", CREATED, LATER)
    assert await memberships.members_of("general") == ["bob"]
    assert unpack(await memberships.packed_channels_of("alice")) == []


async def test_what_was_not_there_cannot_end(memberships: Memberships) -> None:
    await memberships.create(GENERAL, ["alice"])
    assert await memberships.remove("general", "bob", LATER) is None
    assert await memberships.remove("nowhere", "alice", LATER) is None


async def test_a_membership_ends_once_and_a_repeat_says_how(memberships: Memberships) -> None:
    await memberships.create(GENERAL, ["alice"])
    results = await asyncio.gather(*(left(memberships, "alice") for _ in range(10)))
    assert len(set(results)) == 1
    await memberships.mark_published(results[:1])
    repeated = await memberships.remove("general", "alice", "2026-02-01T12:00:00.000Z")
    assert repeated == replace(results[0], unpublished=False)


async def test_many_memberships_of_a_channel_end_at_the_same_time(memberships: Memberships) -> None:
    users = [f"user-{number:02}" for number in range(30)]
    await memberships.create(GENERAL, ["alice", *users])
    ended = await asyncio.gather(*(left(memberships, user_id) for user_id in users))
    assert [each.user_id for each in ended] == users
    assert await memberships.members_of("general") == ["alice"]
    unpublished = {each.user_id for each in await memberships.unpublished(100) if each.left_at is not None}
    assert unpublished == set(users)


async def test_who_left_and_joins_again_has_a_new_membership(memberships: Memberships) -> None:
    [first] = await memberships.create(GENERAL, ["alice"])
    await left(memberships, "alice")
    [second] = await memberships.add("general", ["alice"], LATER)
    assert joined([second]) == [("alice", LATER)]
    assert second.membership_id != first.membership_id
    assert unpack(await memberships.packed_channels_of("alice")) == ["general"]


async def test_of_many_concurrent_joins_of_a_user_one_makes_the_membership(memberships: Memberships) -> None:
    await memberships.create(GENERAL, [])
    times = [f"2026-02-01T11:00:00.{number:03}Z" for number in range(50)]
    results = await asyncio.gather(*(memberships.add("general", ["alice"], time) for time in times))
    assert len({membership for [membership] in results}) == 1
    assert results[0] == [await memberships.membership("general", "alice")]
    assert await memberships.members_of("general") == ["alice"]


async def test_joins_beside_leaves_agree_on_the_newest_change(memberships: Memberships) -> None:
    """Each change has a version of its own, and the store keeps the highest."""
    await memberships.create(GENERAL, ["alice"])

    async def join() -> Membership:
        return (await memberships.add("general", ["alice"], LATER))[0]

    changes = await asyncio.gather(*(change for _ in range(20) for change in (left(memberships, "alice"), join())))
    by_version = {change.version: change for change in changes}
    assert all(by_version[change.version] == change for change in changes), "two changes have one version"
    newest = await memberships.membership("general", "alice")
    assert newest == by_version[max(by_version)]
    assert await memberships.is_member("general", "alice") is (newest.left_at is None)
    assert unpack(await memberships.packed_channels_of("alice")) == (["general"] if newest.left_at is None else [])
    assert await memberships.unpublished(10) == [newest]


async def test_versions_of_a_user_and_channel_rise_though_the_clock_stands_still(memberships: Memberships) -> None:
    [created] = await memberships.create(GENERAL, ["alice"])
    versions = [created.version]
    for _ in range(3):
        versions.append((await left(memberships, "alice")).version)
        versions.append((await memberships.add("general", ["alice"], LATER))[0].version)
    assert versions == sorted(set(versions))


async def test_a_version_is_at_least_the_time_in_microseconds(memberships: Memberships, clock: Clock) -> None:
    [created] = await memberships.create(GENERAL, ["alice"])
    assert created.version == clock.now
    clock.now += 5_000
    assert (await left(memberships, "alice")).version == clock.now


async def test_a_version_rises_also_after_the_document_has_gone_and_the_clock_went_back(
    memberships: Memberships, clock: Clock
) -> None:
    await memberships.create(GENERAL, ["alice"])
    ended = await left(memberships, "alice")
    await memberships.mark_published([ended])
    clock.now += HOUR_US
    assert await memberships.prune(10) == 1
    clock.now -= 2 * HOUR_US
    assert (await memberships.add("general", ["alice"], LATER))[0].version > ended.version


async def test_each_change_is_unpublished_until_it_was_published(memberships: Memberships, clock: Clock) -> None:
    created = await memberships.create(GENERAL, ["alice", "bob"])
    assert all(each.unpublished for each in created)
    assert await memberships.unpublished(10) == created
    clock.now += 1
    ended = await left(memberships, "alice")
    assert await memberships.unpublished(10) == [created[1], ended]
    assert await memberships.unpublished(1) == created[1:]
    assert await memberships.count_unpublished() == 2
    await memberships.mark_published([created[1], ended])
    assert await memberships.unpublished(10) == []
    assert await memberships.count_unpublished() == 0
    assert (await memberships.add("general", ["bob"], LATER))[0].unpublished is False


async def test_publishing_an_older_change_leaves_the_newer_one_unpublished(memberships: Memberships) -> None:
    created = await memberships.create(GENERAL, ["alice"])
    ended = await left(memberships, "alice")
    await memberships.mark_published(created)
    assert await memberships.unpublished(10) == [ended]


async def test_a_channel_from_before_the_services_ran_has_nothing_to_publish(memberships: Memberships) -> None:
    [created] = await memberships.create(GENERAL, ["alice"], published=True)
    assert not created.unpublished
    assert await memberships.unpublished(10) == []
    assert await memberships.unfinished(10) == []
    assert await memberships.is_member("general", "alice")


async def test_an_unpublished_change_gets_a_new_version(memberships: Memberships, clock: Clock) -> None:
    alice, bob = await memberships.create(GENERAL, ["alice", "bob"])
    await memberships.mark_published([bob])
    clock.now += 7
    assert await memberships.renew([alice, bob]) == [replace(alice, version=clock.now)]
    assert await memberships.renew([alice]) == [], "it has another version by now"
    assert await memberships.unpublished(10) == [replace(alice, version=clock.now)]


async def test_a_creation_is_unfinished_until_its_members_were_published(memberships: Memberships) -> None:
    created = await memberships.create(GENERAL, ["alice", "bob"])
    assert await memberships.unfinished(10) == ["general"]
    assert await memberships.resume_creation("general") == created
    await memberships.creation_published("general")
    assert await memberships.unfinished(10) == []
    assert await memberships.resume_creation("general") is None
    assert await memberships.resume_creation("nowhere") is None


async def test_resuming_a_creation_brings_back_nobody_who_left_and_adds_nobody_else(memberships: Memberships) -> None:
    [_, bob] = await memberships.create(GENERAL, ["alice", "bob"])
    ended = await left(memberships, "alice")
    await memberships.add("general", ["carol"], LATER)
    assert await memberships.resume_creation("general") == [ended, bob]
    assert await memberships.members_of("general") == ["bob", "carol"]


async def test_a_creation_is_resumed_by_several_at_once_and_beside_leaves(memberships: Memberships) -> None:
    users = [f"user-{number}" for number in range(20)]
    await memberships.create(GENERAL, users)
    resumed = [memberships.resume_creation("general") for _ in range(5)]
    leaving = [left(memberships, user) for user in users[:10]]
    results = await asyncio.gather(*resumed, *leaving)
    for result in results[:5]:
        assert isinstance(result, list)
        assert [each.user_id for each in result] == users
    assert await memberships.members_of("general") == sorted(users[10:])


async def test_a_document_is_found_also_of_a_membership_that_ended(memberships: Memberships) -> None:
    [created] = await memberships.create(GENERAL, ["alice"])
    found = await memberships.membership("general", "alice")
    assert found == created
    assert type(found.version) is int, "it goes into JSON"
    ended = await left(memberships, "alice")
    assert await memberships.membership("general", "alice") == ended
    assert await memberships.membership("general", "bob") is None


async def test_an_ended_membership_is_deleted_an_hour_after_it_was_published(
    memberships: Memberships, clock: Clock
) -> None:
    await memberships.create(GENERAL, ["alice", "bob", "carol"], published=True)
    ended = [await left(memberships, user) for user in ("alice", "bob")]
    clock.now += HOUR_US
    await memberships.mark_published(ended[:1])
    clock.now += HOUR_US - 1
    assert await memberships.prune(10) == 0
    clock.now += 1
    assert await memberships.prune(10) == 1
    assert await memberships.membership("general", "alice") is None
    assert await memberships.membership("general", "bob") == ended[1], "it is still to be published"
    assert await memberships.members_of("general") == ["carol"]


async def test_who_joins_while_documents_are_deleted_has_a_higher_version(
    memberships: Memberships, clock: Clock
) -> None:
    users = [f"user-{number}" for number in range(10)]
    await memberships.create(GENERAL, users, published=True)
    clock.now += HOUR_US
    ended = {user: await left(memberships, user) for user in users}
    await memberships.mark_published(list(ended.values()))
    clock.now += HOUR_US

    async def joins(user: str) -> list[Membership]:
        return await memberships.add("general", [user], LATER)

    pruning = asyncio.create_task(memberships.prune(100))
    joined_again = await asyncio.gather(*(joins(user) for user in users))
    await pruning
    for [membership] in joined_again:
        assert membership.version > ended[membership.user_id].version
        assert await memberships.membership("general", membership.user_id) == membership


async def test_who_came_back_is_not_deleted(memberships: Memberships, clock: Clock) -> None:
    await memberships.create(GENERAL, ["alice"], published=True)
    await memberships.mark_published([await left(memberships, "alice")])
    await memberships.mark_published(await memberships.add("general", ["alice"], LATER))
    clock.now += 2 * HOUR_US
    assert await memberships.prune(10) == 0
    assert await memberships.is_member("general", "alice")


async def test_changes_are_listed_from_a_version_on_in_pages(memberships: Memberships, clock: Clock) -> None:
    await memberships.create(GENERAL, ["zoe"], published=True)
    clock.now += 10
    since = clock.now
    await memberships.add("general", ["alice", "bob", "carol", "dora", "emil"], LATER)
    clock.now += 1
    await left(memberships, "bob")
    pages: list[list[Membership]] = []
    last = None
    while page := await memberships.changed_since(since, limit=2, after=last):
        pages.append(page)
        last = page[-1]
    assert [[each.user_id for each in page] for page in pages] == [["alice", "carol"], ["dora", "emil"], ["bob"]]
    assert [each.left_at for each in pages[-1]] == [LATER]
    assert await memberships.changed_since(clock.now + 1, limit=2) == []
    everything = await memberships.changed_since(0, limit=10)
    assert [each.user_id for each in everything] == ["zoe", "alice", "carol", "dora", "emil", "bob"]


async def test_membership_is_asked_for_one_user(memberships: Memberships) -> None:
    await memberships.create(GENERAL, ["alice"])
    assert await memberships.is_member("general", "alice")
    assert not await memberships.is_member("general", "bob")
    assert not await memberships.is_member("nowhere", "alice")
    await left(memberships, "alice")
    assert not await memberships.is_member("general", "alice")


async def test_channels_come_sorted_and_are_of_one_user(memberships: Memberships) -> None:
    await memberships.create(SECRET, ["alice", "bob"])
    await memberships.create(GENERAL, ["alice"])
    assert unpack(await memberships.packed_channels_of("alice")) == ["general", "secret"]
    assert unpack(await memberships.packed_channels_of("bob")) == ["secret"]
    assert unpack(await memberships.packed_channels_of("stranger")) == []


async def test_ids_sort_by_their_bytes(memberships: Memberships) -> None:
    await memberships.create(GENERAL, ["b", "a", "B", "_", "-", "9"])
    assert await memberships.members_of("general") == sorted(["b", "a", "B", "_", "-", "9"])
    for channel in ("b", "a", "B", "_", "-", "9"):
        await memberships.create(
            Channel(channel, channel, private=False, created_by="ann", created_at=CREATED), ["ann"]
        )
    assert await memberships.packed_channels_of("ann") == b"- 9 B _ a b"


async def test_very_many_members_are_added_and_listed(memberships: Memberships) -> None:
    # The server of the tests takes 5,000 documents a second; benchmarks/live reads 100,000 of it.
    count = 10_000 if isinstance(memberships, MongoMemberships) else 100_000
    users = [f"user-{number:06}" for number in range(count)]
    await memberships.create(GENERAL, [])
    added = await memberships.add("general", users, LATER)
    assert [membership.user_id for membership in added] == users
    assert await memberships.members_of("general") == users


async def test_an_open_store_answers(memberships: Memberships) -> None:
    await memberships.ping()


async def test_the_channels_of_a_user_are_read_page_by_page(memberships: Memberships) -> None:
    channels = [replace(GENERAL, channel_id=f"c{number}", name=f"n{number}") for number in range(5)]
    for channel in reversed(channels):
        await memberships.create(channel, ["alice", "bob"])
    await memberships.create(SECRET, ["bob"])
    await memberships.remove("c1", "alice", LATER)
    assert await memberships.channels_page("alice", "", 2) == [channels[0], channels[2]]
    assert await memberships.channels_page("alice", "c2", 9) == channels[3:]
    assert await memberships.channels_page("alice", "c4", 9) == []
    assert await memberships.channels_page("stranger", "", 9) == []
