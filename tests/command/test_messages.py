from collections.abc import AsyncIterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout.api.messages import SendMessage
from fanout.errors import CallRejected, TooLarge, Unavailable
from fanout.events import MessageEvent, decode_message_event
from fanout.ids import check_message_id, new_message_id
from fanout.ports.memberships import Channel
from fanout.streams import MESSAGES
from services.command.service import CommandService
from services.runtime.membership_cache import MembershipCache
from tests.support.faulty import (
    NO_FOLLOWERS,
    NO_MESSAGES,
    FaultyLog,
    FaultyMemberships,
    FaultyMessages,
    faulty_log,
    faulty_memberships,
    faulty_messages,
)
from tests.support.stored import in_history

UNKNOWN = "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV"


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
async def messages() -> AsyncIterator[FaultyMessages]:
    async with faulty_messages() as messages:
        yield messages


@pytest.fixture
def commands(log: FaultyLog, memberships: FaultyMemberships, messages: FaultyMessages) -> CommandService:
    return CommandService(log, memberships, MembershipCache(memberships), messages, memberships)


def request(**fields: object) -> SendMessage:
    return msgspec.convert({"channel": "general", "text": "hello", **fields}, SendMessage)


async def test_the_channel_of_a_message_that_was_accepted_is_noted_as_used(
    log: FaultyLog, memberships: FaultyMemberships, messages: FaultyMessages
) -> None:
    used: list[tuple[str, str]] = []
    cache = MembershipCache(memberships)
    service = CommandService(log, memberships, cache, messages, memberships, note_use=lambda *use: used.append(use))
    await service.send_message("alice", SendMessage(channel="general", text="Hello"), "corr")
    with pytest.raises(CallRejected):
        await service.send_message("eve", SendMessage(channel="general", text="Hello"), "corr")
    assert used == [("alice", "general")]


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
        await CommandService(log, memberships, MembershipCache(memberships), NO_MESSAGES, NO_FOLLOWERS).send_message(
            "alice", request(text=text), "c"
        )
        [stored] = await log.stored(MESSAGES)
    assert decode_message_event(stored.payload, "general").text == text


async def test_a_repeat_is_the_same_message_through_any_gateway(
    commands: CommandService, log: FaultyLog, memberships: FaultyMemberships
) -> None:
    other = CommandService(log, memberships, MembershipCache(memberships), NO_MESSAGES, NO_FOLLOWERS)
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


async def test_a_reply_is_in_the_log_with_its_thread(
    commands: CommandService, log: FaultyLog, messages: FaultyMessages
) -> None:
    root = in_history(1)
    await messages.write([root])
    for also in (False, True):
        await commands.send_message("bob", request(thread_id=root.message_id, also_send_to_channel=also), "c")
    alone, both = [decode_message_event(event.payload, "general") for event in await log.stored(MESSAGES)]
    assert {alone.thread_id, both.thread_id} == {root.message_id}
    assert (alone.is_only_in_thread, both.is_only_in_thread) == (True, False)


async def test_a_message_without_a_thread_is_no_reply(commands: CommandService, log: FaultyLog) -> None:
    await commands.send_message("bob", request(also_send_to_channel=True), "c")
    (event,) = await log.stored(MESSAGES)
    assert b"also_send_to_channel" not in event.payload


async def test_a_reply_to_a_message_that_the_writer_has_not_stored_is_accepted(
    commands: CommandService, log: FaultyLog
) -> None:
    root = await commands.send_message("alice", request(), "one")
    reply = await commands.send_message("bob", request(thread_id=root.message_id), "two")
    with pytest.raises(CallRejected):  # a reply is no thread, stored or not
        await commands.send_message("bob", request(thread_id=reply.message_id), "three")
    assert len(await log.stored(MESSAGES)) == 2


@pytest.mark.parametrize("thread_id", ["made-up", UNKNOWN, "of another channel", "of a reply", "of both"])
async def test_an_unknown_thread_is_refused_and_nothing_is_stored(
    commands: CommandService, log: FaultyLog, messages: FaultyMessages, thread_id: str
) -> None:
    root, elsewhere = in_history(1), in_history(2, "random")
    reply = in_history(3, thread_id=root.message_id)
    both = in_history(4, thread_id=root.message_id, also_send_to_channel=True)
    await messages.write([root, elsewhere, reply, both])
    there = {"of another channel": elsewhere, "of a reply": reply, "of both": both}
    wanted = there[thread_id].message_id if thread_id in there else thread_id
    with pytest.raises(CallRejected) as caught:
        await commands.send_message("alice", request(thread_id=wanted), "c")
    assert (caught.value.error_code.code, caught.value.error_code.status) == ("unknown_thread", 404)
    assert await log.stored(MESSAGES) == []


async def test_who_is_no_member_is_not_told_whether_a_thread_exists(
    commands: CommandService, messages: FaultyMessages
) -> None:
    root = in_history(1)
    await messages.write([root])
    for thread_id in (root.message_id, new_message_id()):
        with pytest.raises(CallRejected) as caught:
            await commands.send_message("mallory", request(thread_id=thread_id), "c")
        assert caught.value.error_code.code == "not_a_member"


async def test_who_replies_who_began_the_thread_and_who_is_mentioned_follow(
    commands: CommandService, memberships: FaultyMemberships, messages: FaultyMessages
) -> None:
    await memberships.add("general", ["carol", "dave"], "2026-01-01T00:00:00.000Z")
    root = in_history(1)  # by alice
    await messages.write([root])
    for _ in range(2):
        await commands.send_message("bob", request(thread_id=root.message_id, mentions=["carol", "eve"]), "c")
    assert await memberships.followers_of(root.message_id) == ["alice", "bob", "carol"]
    unstored = await commands.send_message("dave", request(mentions=["carol"]), "c")
    assert await memberships.followers_of(unstored.message_id) == []  # a message is no thread before its first reply
    await commands.send_message("bob", request(thread_id=unstored.message_id), "c")
    assert await memberships.followers_of(unstored.message_id) == ["bob", "dave"]


async def test_a_follower_who_has_left_is_not_made_one_anew_by_a_mention(
    commands: CommandService, memberships: FaultyMemberships, messages: FaultyMessages
) -> None:
    root = in_history(1)
    await messages.write([root])
    await commands.send_message("bob", request(thread_id=root.message_id), "c")
    await memberships.remove("general", "bob", "2026-01-01T00:00:00.000Z")
    await commands.send_message("alice", request(thread_id=root.message_id, mentions=["bob"]), "c")
    assert await memberships.followers_of(root.message_id) == ["alice"]


async def test_a_reply_whose_followers_cannot_be_noted_is_not_sent(
    commands: CommandService, log: FaultyLog, memberships: FaultyMemberships, messages: FaultyMessages
) -> None:
    root = in_history(1)
    await messages.write([root])
    memberships.outcomes["follow"] = Unavailable("away")
    with pytest.raises(Unavailable):
        await commands.send_message("bob", request(thread_id=root.message_id), "c")
    assert await log.stored(MESSAGES) == []


async def test_a_reply_cannot_be_sent_while_the_store_is_away(
    commands: CommandService, log: FaultyLog, messages: FaultyMessages
) -> None:
    messages.down = True
    with pytest.raises(Unavailable):
        await commands.send_message("alice", request(thread_id=new_message_id()), "c")
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
