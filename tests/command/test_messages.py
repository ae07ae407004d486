from collections.abc import AsyncIterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout.api.messages import SendMessage
from fanout.errors import CallRejected, TooLarge, Unavailable
from fanout.events import MessageEvent, decode_message_event
from fanout.ids import check_message_id
from fanout.ports.memberships import Channel
from fanout.streams import MESSAGES
from services.command.service import CommandService
from services.runtime.membership_cache import MembershipCache
from tests.support.faulty import FaultyLog, FaultyMemberships, faulty_log, faulty_memberships


@pytest.fixture
async def log() -> AsyncIterator[FaultyLog]:
    async with faulty_log() as log:
        yield log


@pytest.fixture
async def memberships() -> AsyncIterator[FaultyMemberships]:
    async with faulty_memberships() as memberships:
        for name in ("general", "random"):
            channel = Channel(name, name, private=False, created_by="alice", created_at="2026-01-01T00:00:00.000Z")
            await memberships.create(channel, ["alice", "bob"])
        yield memberships


@pytest.fixture
def commands(log: FaultyLog, memberships: FaultyMemberships) -> CommandService:
    return CommandService(log, memberships, MembershipCache(memberships))


def request(**fields: object) -> SendMessage:
    return msgspec.convert({"channel": "general", "text": "hello", **fields}, SendMessage)


async def test_the_log_holds_what_was_sent(commands: CommandService, log: FaultyLog) -> None:
    wanted = request(mentions=["bob"], attachments=[{"url": "x", "size": 1.5}], client_msg_id="c-1")
    sent = await commands.send_message("alice", wanted, "corr-1")
    (stored,) = await log.stored(MESSAGES)
    assert stored.subject == "messages.send.general"
    message = decode_message_event(stored.payload, "general")
    assert message.message_id == check_message_id(sent.message_id)
    assert (message.sender_id, message.text, message.mentions) == ("alice", "hello", ["bob"])
    assert message.attachments == [{"url": "x", "size": 1.5}]
    assert message.client_msg_id == "c-1"
    event = msgspec.json.decode(stored.payload, type=MessageEvent)
    assert (event.type, event.correlation_id, sent.correlation_id) == ("message.new", "corr-1", "corr-1")
    assert event.event_id.startswith("evt_")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
async def test_any_text_comes_through_whole(text: str) -> None:
    async with faulty_log() as log, faulty_memberships() as memberships:
        await memberships.create(Channel("general", "g", private=False, created_by="alice", created_at="t"), ["alice"])
        await CommandService(log, memberships, MembershipCache(memberships)).send_message(
            "alice", request(text=text), "c"
        )
        [stored] = await log.stored(MESSAGES)
    assert decode_message_event(stored.payload, "general").text == text


async def test_a_repeat_is_the_same_message_through_any_gateway(
    commands: CommandService, log: FaultyLog, memberships: FaultyMemberships
) -> None:
    other = CommandService(log, memberships, MembershipCache(memberships))
    first = await commands.send_message("alice", request(client_msg_id="c-1"), "one")
    again = await other.send_message("alice", request(client_msg_id="c-1"), "two")
    assert first.message_id == again.message_id
    assert again.correlation_id == "two"
    assert len(await log.stored(MESSAGES)) == 1


async def test_a_repeat_is_known_by_its_id_alone(commands: CommandService, log: FaultyLog) -> None:
    first = await commands.send_message("alice", request(client_msg_id="c-1"), "one")
    other = await commands.send_message("alice", request(client_msg_id="c-1", text="x", channel="random"), "two")
    assert first.message_id == other.message_id
    assert len(await log.stored(MESSAGES)) == 1


async def test_the_same_id_of_another_user_is_another_message(commands: CommandService, log: FaultyLog) -> None:
    await commands.send_message("alice", request(client_msg_id="c-1"), "one")
    await commands.send_message("bob", request(client_msg_id="c-1"), "two")
    assert len(await log.stored(MESSAGES)) == 2


async def test_without_an_id_each_call_is_a_message(commands: CommandService, log: FaultyLog) -> None:
    ids = {(await commands.send_message("alice", request(), "c")).message_id for _ in range(5)}
    assert len(ids) == len(await log.stored(MESSAGES)) == 5


async def test_only_members_may_send(commands: CommandService, log: FaultyLog) -> None:
    for channel in ("general", "no-such-channel"):
        with pytest.raises(CallRejected) as caught:
            await commands.send_message("mallory", request(channel=channel), "c")
        assert caught.value.error_code.code == "not_a_member"
    assert await log.stored(MESSAGES) == []


@pytest.mark.parametrize("fields", [{"thread_id": "msg_x"}, {"also_send_to_channel": True}])
async def test_threads_are_refused_rather_than_half_done(
    commands: CommandService, log: FaultyLog, fields: dict[str, object]
) -> None:
    with pytest.raises(CallRejected) as caught:
        await commands.send_message("alice", request(**fields), "c")
    assert caught.value.error_code.code == "threads_unavailable"
    assert await log.stored(MESSAGES) == []


async def test_a_log_that_is_down_is_unavailable(
    commands: CommandService, log: FaultyLog, memberships: FaultyMemberships
) -> None:
    log.down = True
    with pytest.raises(Unavailable):
        await commands.send_message("alice", request(client_msg_id="c-1"), "c")
    log.down, memberships.down = False, True
    with pytest.raises(Unavailable):
        await commands.send_message("alice", request(client_msg_id="c-1"), "c")
    assert await log.stored(MESSAGES) == []


async def test_a_message_that_could_never_be_delivered_is_refused(commands: CommandService, log: FaultyLog) -> None:
    log.limit(10_000)
    with pytest.raises(TooLarge):
        await commands.send_message("alice", request(text="x" * 10_000), "c")
    await commands.send_message("alice", request(text="x" * 9_000), "c")
    assert len(await log.stored(MESSAGES)) == 1


async def test_a_repeat_whose_first_is_gone_is_not_answered_with_a_guess(
    commands: CommandService, log: FaultyLog
) -> None:
    await commands.send_message("alice", request(client_msg_id="c-1"), "c")
    log.outcomes["get"] = None
    with pytest.raises(Unavailable):
        await commands.send_message("alice", request(client_msg_id="c-1"), "c")
