"""`channels.remove`: who may, what happens to those who are removed, and what its repeat does."""

from collections.abc import AsyncIterator

import pytest

from fanout.api.channels import ChannelRequest, CreateChannel, RemoveRequest
from fanout.errors import CallRejected, Unavailable
from fanout.events import MemberJoined, decode_member_event
from fanout.streams import META
from fanout.subjects import channel_of
from services.command.service import CommandService
from services.runtime.membership_cache import MembershipCache
from tests.support.faulty import NO_FOLLOWERS, NO_MESSAGES, FaultyLog, FaultyMemberships, faulty_log, faulty_memberships

GENERAL = ChannelRequest("general")


@pytest.fixture
async def log() -> AsyncIterator[FaultyLog]:
    async with faulty_log() as log:
        yield log


@pytest.fixture
async def memberships() -> AsyncIterator[FaultyMemberships]:
    async with faulty_memberships() as memberships:
        yield memberships


@pytest.fixture
def commands(log: FaultyLog, memberships: FaultyMemberships) -> CommandService:
    return CommandService(log, memberships, MembershipCache(memberships), NO_MESSAGES, NO_FOLLOWERS)


def creation(members: list[str]) -> CreateChannel:
    return CreateChannel("General", "general", members)


async def published(log: FaultyLog) -> list[str]:
    """The member events in the log, as `+user` and `-user`."""
    events = [decode_member_event(stored.payload, channel_of(stored.subject)) for stored in await log.stored(META)]
    return [("+" if isinstance(event, MemberJoined) else "-") + event.user_id for event in events]


def removal(*user_ids: str) -> RemoveRequest:
    return RemoveRequest("general", list(user_ids))


async def test_the_creator_removes_others_who_are_told_of_once(
    commands: CommandService, log: FaultyLog, memberships: FaultyMemberships
) -> None:
    others = [f"user-{number:02}" for number in range(40)]
    await commands.create_channel("alice", creation(members=[*others, "bob"]))
    before = await published(log)
    for _ in range(2):
        await commands.remove("alice", removal(*others, "nobody", others[0]))
    assert await memberships.members_of("general") == ["alice", "bob"]
    assert sorted((await published(log))[len(before) :]) == [f"-{user}" for user in others]


async def test_a_removal_that_was_not_published_is_published_by_its_repeat(
    commands: CommandService, log: FaultyLog, memberships: FaultyMemberships
) -> None:
    await commands.create_channel("alice", creation(members=["bob", "carol"]))
    log.down = True
    with pytest.raises(Unavailable):
        await commands.remove("alice", removal("bob", "carol"))
    log.down = False
    assert await memberships.members_of("general") == ["alice"]
    await commands.remove("alice", removal("bob", "carol"))
    assert await published(log) == ["+alice", "+bob", "+carol", "-bob", "-carol"]


async def test_a_removal_that_the_store_did_in_part_is_completed_by_its_repeat(
    commands: CommandService, log: FaultyLog, memberships: FaultyMemberships
) -> None:
    await commands.create_channel("alice", creation(members=["bob", "carol", "dave"]))
    memberships.fail_after = 3  # the checks of the caller, and one of the three
    with pytest.raises(Unavailable):
        await commands.remove("alice", removal("bob", "carol", "dave"))
    assert await memberships.members_of("general") == ["alice", "carol"]
    await commands.remove("alice", removal("bob", "carol", "dave"))
    assert sorted((await published(log))[4:]) == ["-bob", "-carol", "-dave"]


@pytest.mark.parametrize(
    ("user", "removed", "code"),
    [
        ("bob", ["carol"], "not_the_creator"),
        ("bob", ["carol", "bob"], "invalid_request"),
        ("eve", ["bob"], "not_a_member"),
        ("alice", ["bob", "alice"], "invalid_request"),
    ],
)
async def test_who_may_not_remove_whom(
    commands: CommandService, log: FaultyLog, user: str, removed: list[str], code: str
) -> None:
    await commands.create_channel("alice", creation(members=["bob", "carol"]))
    with pytest.raises(CallRejected) as caught:
        await commands.remove(user, removal(*removed))
    assert caught.value.error_code.code == code
    assert await published(log) == ["+alice", "+bob", "+carol"]


async def test_a_creator_who_has_left_removes_nobody(commands: CommandService) -> None:
    await commands.create_channel("alice", creation(members=["bob"]))
    await commands.leave("alice", GENERAL)
    with pytest.raises(CallRejected) as caught:
        await commands.remove("alice", removal("bob"))
    assert caught.value.error_code.code == "not_a_member"


async def test_nobody_learns_of_a_channel_by_removing(commands: CommandService) -> None:
    with pytest.raises(CallRejected) as caught:
        await commands.remove("alice", removal("bob"))
    assert caught.value.error_code.code == "not_a_member"


@pytest.mark.parametrize("change", ["leave", "remove"])
async def test_what_this_gateway_has_ended_is_out_of_its_cache_at_once(
    log: FaultyLog, memberships: FaultyMemberships, change: str
) -> None:
    cache = MembershipCache(memberships, clock=lambda: 0.0)
    cache.heard_up_to(0.0)
    commands = CommandService(log, memberships, cache, NO_MESSAGES, NO_FOLLOWERS)
    await commands.create_channel("alice", creation(members=["bob"]))
    assert await cache.is_member("general", "bob")
    log.down = True
    with pytest.raises(Unavailable):
        await (commands.leave("bob", GENERAL) if change == "leave" else commands.remove("alice", removal("bob")))
    assert not await cache.is_member("general", "bob")
