import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import cast

import msgspec
import pytest

from fanout.api.channels import ChannelRequest, CreateChannel, InviteRequest
from fanout.errors import CallRejected, ChannelExists, ChannelNotFound, Unavailable
from fanout.events import MemberJoined, MemberLeft, decode_member_event
from fanout.ports.log import Appended, Log
from fanout.ports.memberships import Membership
from fanout.streams import META
from fanout.subjects import channel_of
from services.command.membership_publisher import MembershipPublisher
from services.command.service import CommandService
from services.runtime.membership_cache import MembershipCache
from tests.support.faulty import NO_FOLLOWERS, NO_MESSAGES, FaultyLog, FaultyMemberships, faulty_log, faulty_memberships


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
async def log() -> AsyncIterator[FaultyLog]:
    async with faulty_log() as log:
        yield log


@pytest.fixture
async def memberships() -> AsyncIterator[FaultyMemberships]:
    async with faulty_memberships() as memberships:
        yield memberships


@pytest.fixture
def commands(log: FaultyLog, memberships: FaultyMemberships, clock: Clock) -> CommandService:
    return CommandService(log, memberships, MembershipCache(memberships), NO_MESSAGES, NO_FOLLOWERS, clock)


@pytest.fixture
def publisher(log: FaultyLog, memberships: FaultyMemberships) -> MembershipPublisher:
    return MembershipPublisher(log, memberships)


async def events(log: FaultyLog) -> list[MemberJoined | MemberLeft]:
    """The member events in the log."""
    held = await log.stored(META)
    decoded = [decode_member_event(stored.payload, channel_of(stored.subject)) for stored in held]
    for stored, event in zip(held, decoded, strict=True):
        assert stored.subject.split(".")[2] == ("joined" if isinstance(event, MemberJoined) else "left")
    return decoded


async def published(log: FaultyLog) -> list[str]:
    """The member events in the log, as `+user` and `-user`."""
    return [("+" if isinstance(event, MemberJoined) else "-") + event.user_id for event in await events(log)]


def creation(**fields: object) -> CreateChannel:
    return msgspec.convert({"name": "General", "channel_id": "general", **fields}, CreateChannel)


GENERAL = ChannelRequest("general")


async def test_a_channel_has_its_creator_and_first_members(
    commands: CommandService, log: FaultyLog, memberships: FaultyMemberships
) -> None:
    answer = await commands.create_channel("alice", creation(members=["bob", "alice", "bob"]))
    assert answer.channel_id == "general"
    assert await memberships.members_of("general") == ["alice", "bob"]
    assert await published(log) == ["+alice", "+bob"]


async def test_the_platform_makes_an_id_where_none_is_given(
    commands: CommandService, memberships: FaultyMemberships
) -> None:
    made = {(await commands.create_channel("alice", creation(channel_id=None))).channel_id for _ in range(3)}
    assert len(made) == 3
    assert all([await memberships.channel(channel_id) for channel_id in made])


@pytest.mark.parametrize("user", ["alice", "bob"])
async def test_a_channel_is_created_once(commands: CommandService, log: FaultyLog, user: str) -> None:
    await commands.create_channel("alice", creation())
    with pytest.raises(ChannelExists):
        await commands.create_channel(user, creation())
    assert await published(log) == ["+alice"]


async def test_a_creation_that_failed_half_way_is_completed_by_its_repeat(
    commands: CommandService, log: FaultyLog
) -> None:
    log.fail_after = 2  # it is asked for its end, and has the first event
    wanted = creation(members=["bob", "carol"])
    with pytest.raises(Unavailable):
        await commands.create_channel("alice", wanted)
    assert await published(log) == ["+alice", "+carol"]
    assert (await commands.create_channel("alice", wanted)).channel_id == "general"
    assert await published(log) == ["+alice", "+carol", "+bob"]
    with pytest.raises(ChannelExists):
        await commands.create_channel("alice", wanted)


async def test_a_repeated_creation_has_the_members_of_the_first_call(
    commands: CommandService, log: FaultyLog, memberships: FaultyMemberships
) -> None:
    log.down = True
    with pytest.raises(Unavailable):
        await commands.create_channel("alice", creation(members=["bob"]))
    log.down = False
    await commands.create_channel("alice", creation(members=["carol"]))
    assert await published(log) == ["+alice", "+bob"]
    assert await memberships.members_of("general") == ["alice", "bob"]


@pytest.mark.parametrize(("user", "fields"), [("bob", {}), ("alice", {"name": "Other"}), ("alice", {"private": True})])
async def test_what_is_no_repeat_completes_nothing(
    commands: CommandService, log: FaultyLog, user: str, fields: dict[str, object]
) -> None:
    log.fail_after = 0
    with pytest.raises(Unavailable):
        await commands.create_channel("alice", creation())
    with pytest.raises(ChannelExists):
        await commands.create_channel(user, creation(**fields))
    assert await published(log) == []


async def test_a_creation_that_the_sweep_has_finished_cannot_be_repeated(
    commands: CommandService, log: FaultyLog, publisher: MembershipPublisher
) -> None:
    log.down = True
    with pytest.raises(Unavailable):
        await commands.create_channel("alice", creation(members=["bob"]))
    log.down = False
    await publisher.sweep()
    assert await published(log) == ["+alice", "+bob"]
    with pytest.raises(ChannelExists):
        await commands.create_channel("alice", creation(members=["bob"]))


@pytest.mark.parametrize("finished", [True, False])
async def test_a_creator_who_left_does_not_get_back_in_by_repeating_the_creation(
    commands: CommandService, log: FaultyLog, memberships: FaultyMemberships, *, finished: bool
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
    assert (await published(log))[-2:] == (["+bob", "-alice"] if finished else ["-alice", "+bob"])


async def test_joining_and_leaving(commands: CommandService, log: FaultyLog, memberships: FaultyMemberships) -> None:
    await commands.create_channel("alice", creation())
    assert (await commands.join("bob", GENERAL)).channel_id == "general"
    await commands.leave("bob", GENERAL)
    await commands.leave("bob", GENERAL)
    await commands.join("bob", GENERAL)
    assert await published(log) == ["+alice", "+bob", "-bob", "+bob"]
    assert await memberships.is_member("general", "bob")


async def test_a_join_that_was_not_published_is_published_by_its_repeat_once(
    commands: CommandService, log: FaultyLog
) -> None:
    await commands.create_channel("alice", creation())
    log.down = True
    with pytest.raises(Unavailable):
        await commands.join("bob", GENERAL)
    log.down = False
    await commands.join("bob", GENERAL)
    await commands.join("bob", GENERAL)
    assert await published(log) == ["+alice", "+bob"]


async def test_a_leave_that_was_not_published_stands_and_its_repeat_publishes_it_once(
    commands: CommandService, log: FaultyLog, memberships: FaultyMemberships
) -> None:
    await commands.create_channel("alice", creation(members=["bob"]))
    log.down = True
    with pytest.raises(Unavailable):
        await commands.leave("bob", GENERAL)
    assert not await memberships.is_member("general", "bob")
    log.down = False
    await commands.leave("bob", GENERAL)
    await commands.leave("bob", GENERAL)
    assert await published(log) == ["+alice", "+bob", "-bob"]


@pytest.mark.parametrize("call", ["create", "join", "leave"])
@pytest.mark.parametrize("at", range(4))
async def test_a_call_that_failed_anywhere_is_completed_by_the_sweep_or_undone(
    log: FaultyLog, memberships: FaultyMemberships, publisher: MembershipPublisher, call: str, at: int
) -> None:
    commands = CommandService(log, memberships, MembershipCache(memberships), NO_MESSAGES, NO_FOLLOWERS)
    if call != "create":
        await commands.create_channel("alice", creation(members=["bob"] if call == "leave" else []))
    before = await published(log)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "create": lambda: commands.create_channel("alice", creation(members=["bob"])),
        "join": lambda: commands.join("bob", GENERAL),
        "leave": lambda: commands.leave("bob", GENERAL),
    }
    memberships.fail_after = at
    with contextlib.suppress(Unavailable):
        await calls[call]()
    memberships.fail_after = None
    await publisher.sweep()
    news = (await published(log))[len(before) :]
    is_member = await memberships.is_member("general", "bob")
    if call == "leave":
        assert news == ([] if is_member else ["-bob"])
    else:
        assert (news[-1:] == ["+bob"]) == is_member
    assert await memberships.count_unpublished() == 0
    assert await memberships.unfinished(10) == []


class SlowPath:
    """A gateway's way to the log: an event that it appends arrives only when the way is opened."""

    def __init__(self, log: FaultyLog) -> None:
        self._log = log
        self.reached, self.opened = asyncio.Event(), asyncio.Event()

    async def last_seq(self, stream: str) -> int:
        return await self._log.last_seq(stream)

    async def append(self, subject: str, payload: bytes, *, msg_id: str) -> Appended:
        self.reached.set()
        await self.opened.wait()
        return await self._log.append(subject, payload, msg_id=msg_id)


@pytest.mark.parametrize("member", [True, False])
async def test_the_newest_version_published_is_what_the_store_holds(
    commands: CommandService, log: FaultyLog, memberships: FaultyMemberships, clock: Clock, *, member: bool
) -> None:
    """Two gateways change a membership in turn, and the log hears of it the other way round."""
    await commands.create_channel("alice", creation(members=["bob"] if member else []))
    path = SlowPath(log)
    elsewhere = CommandService(
        cast("Log", path), memberships, MembershipCache(memberships), NO_MESSAGES, NO_FOLLOWERS, clock
    )
    first, second = (elsewhere.leave, commands.join) if member else (elsewhere.join, commands.leave)
    changing = asyncio.create_task(first("bob", GENERAL))
    await path.reached.wait()
    await second("bob", GENERAL)
    path.opened.set()
    await changing
    assert await memberships.is_member("general", "bob") == member
    newest = max((event for event in await events(log) if event.user_id == "bob"), key=lambda event: event.version)
    assert isinstance(newest, MemberJoined) == member


async def test_two_gateways_that_change_a_membership_within_one_millisecond_publish_each_change(log: FaultyLog) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    async with faulty_memberships(lambda: 1_000) as memberships:
        one, other = [
            CommandService(log, memberships, MembershipCache(memberships), NO_MESSAGES, NO_FOLLOWERS, lambda: moment)
            for _ in range(2)
        ]
        await one.create_channel("alice", creation())
        for _ in range(2):
            await one.join("bob", GENERAL)
            await other.leave("bob", GENERAL)
    assert await published(log) == ["+alice", "+bob", "-bob", "+bob", "-bob"]
    versions = [event.version for event in await events(log) if event.user_id == "bob"]
    assert versions == sorted(set(versions))


async def test_a_membership_that_came_back_is_news_to_the_log(commands: CommandService, log: FaultyLog) -> None:
    """The answer to a leave may be lost though the event is stored: a join after it must be published."""
    await commands.create_channel("alice", creation(members=["bob"]))
    log.down = True
    with pytest.raises(Unavailable):
        await commands.leave("bob", GENERAL)
    log.down = False
    await commands.join("bob", GENERAL)
    assert await published(log) == ["+alice", "+bob", "+bob"]


async def test_a_private_channel_is_entered_by_invitation_only(commands: CommandService, log: FaultyLog) -> None:
    await commands.create_channel("alice", creation(private=True))
    await commands.invite("alice", InviteRequest("general", ["bob", "carol", "bob"]))
    await commands.join("bob", GENERAL)
    assert await published(log) == ["+alice", "+bob", "+carol"]


@pytest.mark.parametrize("there", [True, False])
async def test_to_an_outsider_a_private_channel_and_none_answer_alike(
    commands: CommandService, log: FaultyLog, *, there: bool
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
    assert await published(log) == (["+alice"] if there else [])


async def test_who_left_a_private_channel_cannot_join_it_again(commands: CommandService, log: FaultyLog) -> None:
    await commands.create_channel("alice", creation(private=True, members=["bob"]))
    await commands.leave("bob", GENERAL)
    with pytest.raises(ChannelNotFound):
        await commands.join("bob", GENERAL)
    await commands.leave("bob", GENERAL)
    assert await published(log) == ["+alice", "+bob", "-bob"]


async def test_a_member_who_joins_a_private_channel_while_leaving_it_stays_out(
    commands: CommandService, memberships: FaultyMemberships, monkeypatch: pytest.MonkeyPatch
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


async def test_only_members_invite(commands: CommandService, log: FaultyLog) -> None:
    await commands.create_channel("alice", creation())
    with pytest.raises(CallRejected) as caught:
        await commands.invite("bob", InviteRequest("general", ["bob"]))
    assert caught.value.error_code.code == "not_a_member"
    assert await published(log) == ["+alice"]
