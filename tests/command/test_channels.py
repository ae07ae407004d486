import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from fanout.api.channels import ChannelRequest, CreateChannel, InviteRequest
from fanout.errors import CallRejected, ChannelExists, ChannelNotFound, Unavailable
from fanout.events import MemberJoined, MemberLeft, decode_member_event
from fanout.ports.log import Appended
from fanout.ports.memberships import Membership
from fanout.subjects import META, channel_of
from services.command.outbox import Outbox
from services.command.service import CommandService
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


@pytest.fixture
def outbox(log: FakeLog, memberships: FakeMemberships) -> Outbox:
    return Outbox(log, memberships)


def events(log: FakeLog) -> list[MemberJoined | MemberLeft]:
    """The member events in the log."""
    decoded = [decode_member_event(stored.payload, channel_of(stored.subject)) for stored in log.streams[META]]
    for stored, event in zip(log.streams[META], decoded, strict=True):
        assert stored.subject.split(".")[2] == ("joined" if isinstance(event, MemberJoined) else "left")
    return decoded


def told(log: FakeLog) -> list[str]:
    """The member events in the log, as `+user` and `-user`."""
    return [("+" if isinstance(event, MemberJoined) else "-") + event.user_id for event in events(log)]


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


async def test_a_repeated_creation_has_the_members_of_the_first_call(
    commands: CommandService, log: FakeLog, memberships: FakeMemberships
) -> None:
    log.down = True
    with pytest.raises(Unavailable):
        await commands.create_channel("alice", creation(members=["bob"]))
    log.down = False
    await commands.create_channel("alice", creation(members=["carol"]))
    assert told(log) == ["+alice", "+bob"]
    assert await memberships.members_of("general") == ["alice", "bob"]


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


async def test_a_creation_that_the_sweep_has_finished_cannot_be_repeated(
    commands: CommandService, log: FakeLog, outbox: Outbox
) -> None:
    log.down = True
    with pytest.raises(Unavailable):
        await commands.create_channel("alice", creation(members=["bob"]))
    log.down = False
    await outbox.sweep()
    assert told(log) == ["+alice", "+bob"]
    with pytest.raises(ChannelExists):
        await commands.create_channel("alice", creation(members=["bob"]))


@pytest.mark.parametrize("finished", [True, False])
async def test_a_creator_who_left_does_not_get_back_in_by_repeating_the_creation(
    commands: CommandService, log: FakeLog, memberships: FakeMemberships, *, finished: bool
) -> None:
    wanted = creation(private=True, members=["bob"])
    log.down = not finished
    with contextlib.suppress(Unavailable):
        await commands.create_channel("alice", wanted)
    with contextlib.suppress(Unavailable):
        await commands.leave("alice", GENERAL)
    log.down = False
    with pytest.raises(ChannelExists) if finished else contextlib.nullcontext():
        await commands.create_channel("alice", wanted)
    assert await memberships.members_of("general") == ["bob"]
    assert told(log)[-2:] == (["+bob", "-alice"] if finished else ["-alice", "+bob"])


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


async def test_a_leave_that_was_not_told_stands_and_its_repeat_tells_it_once(
    commands: CommandService, log: FakeLog, memberships: FakeMemberships
) -> None:
    await commands.create_channel("alice", creation(members=["bob"]))
    log.down = True
    with pytest.raises(Unavailable):
        await commands.leave("bob", GENERAL)
    assert not await memberships.is_member("general", "bob")
    log.down = False
    await commands.leave("bob", GENERAL)
    await commands.leave("bob", GENERAL)
    assert told(log) == ["+alice", "+bob", "-bob"]


@pytest.mark.parametrize("call", ["create", "join", "leave"])
@pytest.mark.parametrize("at", range(4))
async def test_a_call_that_failed_anywhere_is_completed_by_the_sweep_or_undone(
    log: FakeLog, memberships: FakeMemberships, outbox: Outbox, call: str, at: int
) -> None:
    commands = CommandService(log, memberships)
    if call != "create":
        await commands.create_channel("alice", creation(members=["bob"] if call == "leave" else []))
    before = told(log)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "create": lambda: commands.create_channel("alice", creation(members=["bob"])),
        "join": lambda: commands.join("bob", GENERAL),
        "leave": lambda: commands.leave("bob", GENERAL),
    }
    memberships.fail_after = at
    with contextlib.suppress(Unavailable):
        await calls[call]()
    memberships.fail_after = None
    await outbox.sweep()
    news = told(log)[len(before) :]
    is_member = await memberships.is_member("general", "bob")
    if call == "leave":
        assert news == ([] if is_member else ["-bob"])
    else:
        assert (news[-1:] == ["+bob"]) == is_member
    assert await memberships.count_untold() == 0
    assert await memberships.unfinished(10) == []


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
async def test_the_newest_version_told_is_what_the_store_holds(
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
    newest = max((event for event in events(log) if event.user_id == "bob"), key=lambda event: event.version)
    assert isinstance(newest, MemberJoined) == member


async def test_two_gateways_that_change_a_membership_within_one_millisecond_tell_each_change(log: FakeLog) -> None:
    memberships, moment = FakeMemberships(lambda: 1_000), datetime(2026, 1, 1, tzinfo=UTC)
    one, other = [CommandService(log, memberships, lambda: moment) for _ in range(2)]
    await one.create_channel("alice", creation())
    for _ in range(2):
        await one.join("bob", GENERAL)
        await other.leave("bob", GENERAL)
    assert told(log) == ["+alice", "+bob", "-bob", "+bob", "-bob"]
    versions = [event.version for event in events(log) if event.user_id == "bob"]
    assert versions == sorted(set(versions))


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
    await commands.invite("alice", InviteRequest("general", ["bob", "carol", "bob"]))
    await commands.join("bob", GENERAL)
    assert told(log) == ["+alice", "+bob", "+carol"]


@pytest.mark.parametrize("there", [True, False])
async def test_to_an_outsider_a_private_channel_and_none_answer_alike(
    commands: CommandService, log: FakeLog, *, there: bool
) -> None:
    if there:
        await commands.create_channel("alice", creation(private=True))
    for call in (commands.join, commands.leave):
        with pytest.raises(ChannelNotFound) as caught:
            await call("bob", GENERAL)
        assert str(caught.value) == "there is no channel general"
    with pytest.raises(CallRejected) as refused:
        await commands.invite("bob", InviteRequest("general", ["carol"]))
    assert refused.value.error_code.code == "not_a_member"
    assert told(log) == (["+alice"] if there else [])


async def test_who_left_a_private_channel_cannot_join_it_again(commands: CommandService, log: FakeLog) -> None:
    await commands.create_channel("alice", creation(private=True, members=["bob"]))
    await commands.leave("bob", GENERAL)
    with pytest.raises(ChannelNotFound):
        await commands.join("bob", GENERAL)
    await commands.leave("bob", GENERAL)
    assert told(log) == ["+alice", "+bob", "-bob"]


async def test_a_member_who_joins_a_private_channel_while_leaving_it_stays_out(
    commands: CommandService, memberships: FakeMemberships, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the join has seen may be over by the time it acts."""
    await commands.create_channel("alice", creation(private=True, members=["bob"]))
    look = memberships.membership

    async def look_and_lose(channel_id: str, user_id: str) -> Membership | None:
        seen = await look(channel_id, user_id)
        await memberships.remove(channel_id, user_id, "2026-01-01T00:00:00.000Z")
        return seen

    monkeypatch.setattr(memberships, "membership", look_and_lose)
    await commands.join("bob", GENERAL)
    assert not await memberships.is_member("general", "bob")


async def test_only_members_invite(commands: CommandService, log: FakeLog) -> None:
    await commands.create_channel("alice", creation())
    with pytest.raises(CallRejected) as caught:
        await commands.invite("bob", InviteRequest("general", ["bob"]))
    assert caught.value.error_code.code == "not_a_member"
    assert told(log) == ["+alice"]
