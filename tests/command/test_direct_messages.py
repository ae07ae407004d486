import asyncio
from collections.abc import AsyncIterator

import pytest

from fanout.api.channels import ChannelRequest, CreateChannel, InviteRequest, RemoveRequest
from fanout.errors import CallRejected, ChannelNotFound, Unavailable
from fanout.ids import dm_channel_id
from fanout.ports.memberships import DM
from fanout.streams import META
from services.command.membership_publisher import MembershipPublisher
from services.command.service import CommandService
from services.runtime.membership_cache import MembershipCache
from tests.support.faulty import NO_FOLLOWERS, NO_MESSAGES, FaultyLog, FaultyMemberships, faulty_log, faulty_memberships

DIRECT = dm_channel_id("alice", "bob")


@pytest.fixture
async def log() -> AsyncIterator[FaultyLog]:
    async with faulty_log() as log:
        yield log


@pytest.fixture
async def memberships() -> AsyncIterator[FaultyMemberships]:
    async with faulty_memberships() as memberships:
        yield memberships


@pytest.fixture
def gateways(log: FaultyLog, memberships: FaultyMemberships) -> list[CommandService]:
    """Two gateways over one store and one log."""
    return [CommandService(log, memberships, MembershipCache(memberships), NO_MESSAGES, NO_FOLLOWERS) for _ in range(2)]


def direct(*members: str, channel_id: str | None = None) -> CreateChannel:
    return CreateChannel(channel_id=channel_id, members=list(members), kind=DM)


async def test_two_users_have_one_however_they_ask_for_it(
    gateways: list[CommandService], log: FaultyLog, memberships: FaultyMemberships
) -> None:
    one, other = gateways
    opened = [
        await one.open_dm("alice", direct("bob")),
        await one.open_dm("alice", direct("alice", "bob", "bob")),
        await other.open_dm("bob", direct("alice")),
        await other.open_dm("bob", direct("alice", channel_id=DIRECT)),
    ]
    assert [(each.response.channel_id, each.is_new) for each in opened] == [
        (DIRECT, new) for new in (True, False, False, False)
    ]
    assert await memberships.members_of(DIRECT) == ["alice", "bob"]
    channel = await memberships.channel(DIRECT)
    assert channel is not None
    assert (channel.kind, channel.private, channel.name) == (DM, True, "")
    assert len(await log.stored(META)) == 2


async def test_each_pair_has_one_of_its_own(gateways: list[CommandService]) -> None:
    asked = [("alice", "bob"), ("alice", "carol"), ("bob", "carol"), ("alicebob", "carol"), ("alice", "bobcarol")]
    opened = [await gateways[0].open_dm(user, direct(other)) for user, other in asked]
    assert len({each.response.channel_id for each in opened}) == len(asked)
    assert all(each.is_new for each in opened)


async def test_both_create_it_at_once_by_two_gateways(
    gateways: list[CommandService], log: FaultyLog, memberships: FaultyMemberships
) -> None:
    tries = [
        gateway.open_dm(user, direct(other))
        for _ in range(10)
        for gateway, user, other in zip(gateways, ("alice", "bob"), ("bob", "alice"), strict=True)
    ]
    opened = await asyncio.gather(*tries)
    assert {each.response.channel_id for each in opened} == {DIRECT}
    assert any(each.is_new for each in opened)
    assert await memberships.members_of(DIRECT) == ["alice", "bob"]
    assert len(await log.stored(META)) == 2


@pytest.mark.parametrize(("user", "other", "is_new"), [("alice", "bob", True), ("bob", "alice", False)])
async def test_either_of_the_two_finishes_what_failed_half_way(
    gateways: list[CommandService], log: FaultyLog, user: str, other: str, *, is_new: bool
) -> None:
    log.fail_after = 1
    with pytest.raises(Unavailable):
        await gateways[0].open_dm("alice", direct("bob"))
    assert len(await log.stored(META)) == 1
    opened = await gateways[1].open_dm(user, direct(other))
    assert (opened.response.channel_id, opened.is_new) == (DIRECT, is_new)
    assert len(await log.stored(META)) == 2


async def test_one_that_the_sweep_finished_is_there(
    gateways: list[CommandService], log: FaultyLog, memberships: FaultyMemberships
) -> None:
    log.down = True
    with pytest.raises(Unavailable):
        await gateways[0].open_dm("alice", direct("bob"))
    log.down = False
    await MembershipPublisher(log, memberships).sweep()
    assert not (await gateways[0].open_dm("alice", direct("bob"))).is_new


@pytest.mark.parametrize("members", [[], ["alice"], ["bob", "carol"], ["alice", "bob", "carol"]])
async def test_it_has_exactly_two_members(gateways: list[CommandService], members: list[str]) -> None:
    with pytest.raises(CallRejected) as caught:
        await gateways[0].open_dm("alice", direct(*members))
    assert caught.value.error_code.code == "invalid_request"


async def test_its_id_is_not_chosen(gateways: list[CommandService]) -> None:
    with pytest.raises(CallRejected):
        await gateways[0].open_dm("alice", direct("bob", channel_id=dm_channel_id("alice", "carol")))
    with pytest.raises(ValueError, match="form of a direct message"):
        CreateChannel("Mine", channel_id=DIRECT)
    assert CreateChannel("Mine", channel_id="dm_alice_bob").channel_id == "dm_alice_bob"


async def test_its_members_never_change(
    gateways: list[CommandService], log: FaultyLog, memberships: FaultyMemberships
) -> None:
    commands = gateways[0]
    await commands.open_dm("alice", direct("bob"))
    channel = ChannelRequest(DIRECT)
    refused = [
        commands.leave("bob", channel),
        commands.leave("alice", channel),
        commands.invite("bob", InviteRequest(DIRECT, ["carol"])),
        commands.remove("alice", RemoveRequest(DIRECT, ["bob"])),
        commands.remove("bob", RemoveRequest(DIRECT, ["alice"])),
    ]
    for call in refused:
        with pytest.raises(CallRejected) as caught:
            await call
        assert caught.value.error_code.code == "dm_members_fixed"
    assert (await commands.join("bob", channel)).channel_id == DIRECT
    assert await memberships.members_of(DIRECT) == ["alice", "bob"]
    assert len(await log.stored(META)) == 2


async def test_to_others_it_is_as_if_there_was_none(gateways: list[CommandService]) -> None:
    commands, channel = gateways[0], ChannelRequest(DIRECT)
    await commands.open_dm("alice", direct("bob"))
    for call in (commands.join, commands.leave):
        with pytest.raises(ChannelNotFound):
            await call("carol", channel)
    for refused in (
        commands.invite("carol", InviteRequest(DIRECT, ["carol"])),
        commands.remove("carol", RemoveRequest(DIRECT, ["bob"])),
    ):
        with pytest.raises(CallRejected) as caught:
            await refused
        assert caught.value.error_code.code == "not_a_member"
