import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from fanout.api import ChannelRequest, CreateChannel, Forbidden, InviteRequest
from fanout.errors import ChannelExists, ChannelNotFound, Unavailable
from fanout.events import MemberJoined, decode_member_event
from fanout.ports.log import Appended
from fanout.subjects import META, channel_of
from services.command.service import RETRY_WINDOW, CommandService
from tests.support.fakes import FakeLog, FakeMemberships


class Clock:
    """Each reading is a millisecond after the last."""

    now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log() -> FakeLog:
    return FakeLog()


@pytest.fixture
def memberships() -> FakeMemberships:
    return FakeMemberships()


@pytest.fixture
def commands(log: FakeLog, memberships: FakeMemberships, clock: Clock) -> CommandService:
    return CommandService(log, memberships, clock)


def told(log: FakeLog) -> list[str]:
    """The member events in the log, as `+user` and `-user`."""
    events = [decode_member_event(stored.payload, channel_of(stored.subject)) for stored in log.streams[META]]
    for stored, event in zip(log.streams[META], events, strict=True):
        assert stored.subject.split(".")[2] == ("joined" if isinstance(event, MemberJoined) else "left")
    return [("+" if isinstance(event, MemberJoined) else "-") + event.user_id for event in events]


def creation(**fields: object) -> CreateChannel:
    return msgspec.convert({"name": "General", "channel_id": "general", **fields}, CreateChannel)


GENERAL = ChannelRequest("general")


async def test_a_channel_has_its_creator_and_first_members(
    commands: CommandService, log: FakeLog, memberships: FakeMemberships
) -> None:
    answer = await commands.create_channel("alice", creation(members=["bob", "alice", "bob"]))
    assert answer.channel_id == "general"
    assert await memberships.members_of("general") == ["alice", "bob"]
    assert told(log) == ["+alice", "+bob"]


async def test_the_platform_makes_an_id_where_none_is_given(
    commands: CommandService, memberships: FakeMemberships
) -> None:
    made = {(await commands.create_channel("alice", creation(channel_id=None))).channel_id for _ in range(3)}
    assert made == set(memberships.channels)
    assert len(made) == 3


@pytest.mark.parametrize("user", ["alice", "bob"])
async def test_a_channel_is_created_once(commands: CommandService, log: FakeLog, user: str) -> None:
    await commands.create_channel("alice", creation())
    with pytest.raises(ChannelExists):
        await commands.create_channel(user, creation())
    assert told(log) == ["+alice"]


async def test_a_creation_that_failed_half_way_is_completed_by_its_repeat(
    commands: CommandService, log: FakeLog
) -> None:
    log.fail_after = 1
    wanted = creation(members=["bob", "carol"])
    with pytest.raises(Unavailable):
        await commands.create_channel("alice", wanted)
    assert told(log) == ["+alice"]
    assert (await commands.create_channel("alice", wanted)).channel_id == "general"
    assert told(log) == ["+alice", "+bob", "+carol"]
    with pytest.raises(ChannelExists):
        await commands.create_channel("alice", wanted)


@pytest.mark.parametrize(("user", "fields"), [("bob", {}), ("alice", {"name": "Other"}), ("alice", {"private": True})])
async def test_what_is_no_repeat_completes_nothing(
    commands: CommandService, log: FakeLog, user: str, fields: dict[str, object]
) -> None:
    log.fail_after = 0
    with pytest.raises(Unavailable):
        await commands.create_channel("alice", creation())
    with pytest.raises(ChannelExists):
        await commands.create_channel(user, creation(**fields))
    assert told(log) == []


async def test_a_late_repeat_is_a_conflict(commands: CommandService, log: FakeLog, clock: Clock) -> None:
    await commands.create_channel("alice", creation())
    clock.now += RETRY_WINDOW
    log.msg_ids.clear()
    with pytest.raises(ChannelExists):
        await commands.create_channel("alice", creation())


async def test_joining_and_leaving(commands: CommandService, log: FakeLog, memberships: FakeMemberships) -> None:
    await commands.create_channel("alice", creation())
    assert (await commands.join("bob", GENERAL)).channel_id == "general"
    await commands.leave("bob", GENERAL)
    await commands.leave("bob", GENERAL)
    await commands.join("bob", GENERAL)
    assert told(log) == ["+alice", "+bob", "-bob", "+bob"]
    assert await memberships.is_member("general", "bob")


async def test_a_join_that_was_not_told_is_told_by_its_repeat_once(commands: CommandService, log: FakeLog) -> None:
    await commands.create_channel("alice", creation())
    log.down = True
    with pytest.raises(Unavailable):
        await commands.join("bob", GENERAL)
    log.down = False
    await commands.join("bob", GENERAL)
    await commands.join("bob", GENERAL)
    assert told(log) == ["+alice", "+bob"]


async def test_leaving_while_the_log_is_down_leaves_nothing_half_done(
    commands: CommandService, log: FakeLog, memberships: FakeMemberships
) -> None:
    await commands.create_channel("alice", creation(members=["bob"]))
    log.down = True
    with pytest.raises(Unavailable):
        await commands.leave("bob", GENERAL)
    assert await memberships.is_member("general", "bob")
    log.down = False
    await commands.leave("bob", GENERAL)
    assert not await memberships.is_member("general", "bob")
    assert told(log) == ["+alice", "+bob", "-bob"]


class SlowPath(FakeLog):
    """A gateway's way to the log: what it appends arrives only once it is opened."""

    def __init__(self, log: FakeLog) -> None:
        super().__init__()
        self.streams, self.msg_ids = log.streams, log.msg_ids
        self.reached, self.opened = asyncio.Event(), asyncio.Event()

    async def append(self, subject: str, payload: bytes, *, msg_id: str) -> Appended:
        self.reached.set()
        await self.opened.wait()
        return await super().append(subject, payload, msg_id=msg_id)


@pytest.mark.parametrize("member", [True, False])
async def test_what_is_told_last_is_what_the_store_holds(
    commands: CommandService, log: FakeLog, memberships: FakeMemberships, clock: Clock, *, member: bool
) -> None:
    """Two gateways change a membership in turn, and the log hears of it the other way round."""
    await commands.create_channel("alice", creation(members=["bob"] if member else []))
    path = SlowPath(log)
    elsewhere = CommandService(path, memberships, clock)
    first, second = (elsewhere.leave, commands.join) if member else (elsewhere.join, commands.leave)
    changing = asyncio.create_task(first("bob", GENERAL))
    await path.reached.wait()
    await second("bob", GENERAL)
    path.opened.set()
    await changing
    assert await memberships.is_member("general", "bob") == member
    assert told(log)[-1] == ("+bob" if member else "-bob")


async def test_a_membership_that_came_back_is_news_to_the_log(commands: CommandService, log: FakeLog) -> None:
    """The answer to a leave may be lost though the event is stored: a join after it must be told."""
    await commands.create_channel("alice", creation(members=["bob"]))
    log.down = True
    with pytest.raises(Unavailable):
        await commands.leave("bob", GENERAL)
    log.down = False
    await commands.join("bob", GENERAL)
    assert told(log) == ["+alice", "+bob", "+bob"]


async def test_a_private_channel_is_entered_by_invitation_only(commands: CommandService, log: FakeLog) -> None:
    await commands.create_channel("alice", creation(private=True))
    with pytest.raises(Forbidden) as caught:
        await commands.join("bob", GENERAL)
    assert caught.value.code == "private_channel"
    await commands.invite("alice", InviteRequest("general", ["bob", "carol", "bob"]))
    await commands.join("bob", GENERAL)
    assert told(log) == ["+alice", "+bob", "+carol"]


async def test_only_members_invite(commands: CommandService, log: FakeLog) -> None:
    await commands.create_channel("alice", creation())
    with pytest.raises(Forbidden) as caught:
        await commands.invite("bob", InviteRequest("general", ["bob"]))
    assert caught.value.code == "not_a_member"
    assert told(log) == ["+alice"]


async def test_a_channel_that_is_not_there(commands: CommandService) -> None:
    for call in (
        commands.join("bob", GENERAL),
        commands.leave("bob", GENERAL),
        commands.invite("bob", InviteRequest("general", ["carol"])),
    ):
        with pytest.raises(ChannelNotFound):
            await call
