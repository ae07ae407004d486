"""Unread counts and mentions, as clients see them by REST and over their WebSockets."""

import asyncio
from typing import Any

import pytest

from tests.support.clients import Caller, Listener, listening
from tests.support.cluster import Cluster, Service
from tests.support.observing import eventually

pytestmark = pytest.mark.system


async def counts(caller: Caller, user: str) -> dict[str, Any]:
    response = await caller.get(user, "unread.counts")
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def is_counted(caller: Caller, user: str, channels: dict[str, int], mentions: int = 0) -> None:
    """Wait until a user has these unread messages and mentions, by every call that tells them."""
    seen: dict[str, Any] = {}

    async def same() -> bool:
        seen.update(await counts(caller, user))
        return bool(seen == {"channels": channels, "total": sum(channels.values()), "mentions": mentions})

    try:
        await eventually(same, 20)
    except TimeoutError as error:
        raise AssertionError(f"{user} has {seen}") from error
    listed = (await caller.get(user, "channels.list")).json()["channels"]
    assert {each["channel_id"]: each["unread"] for each in listed if each["unread"]} == channels

    async def recalculated() -> bool:
        response = await caller.post(user, "unread.recalculate")
        if response.status_code == 503:  # a message writer that was killed has not acknowledged what it has written
            return False
        assert (response.status_code, response.json()) == (200, seen)
        return True

    await eventually(recalculated, 60)


async def mark(listener: Listener, message_id: str, channel: str = "general") -> None:
    await listener.send("mark_read", channel_id=channel, message_id=message_id)


async def say(caller: Caller, user: str, *mentions: str, channel: str = "general") -> str:
    response = await caller.post(user, "chat.sendMessage", channel=channel, text="hi", mentions=list(mentions))
    assert response.status_code == 202, response.text
    return str(response.json()["message_id"])


async def test_marking_a_part_leaves_the_rest_unread_and_clears_its_mentions(up: Service, caller: Caller) -> None:
    await caller.create("alice", "general", "bob")
    ids = [await say(caller, "alice", *(["bob"] if number in {3, 9} else [])) for number in range(1, 11)]
    await is_counted(caller, "bob", {"general": 10}, mentions=2)
    await is_counted(caller, "alice", {})
    async with listening(up.ws_url, "bob") as [bob]:
        await mark(bob, ids[3])
        await is_counted(caller, "bob", {"general": 6}, mentions=1)
        await mark(bob, ids[1])  # below the pointer
        await mark(bob, ids[9])
        await is_counted(caller, "bob", {})
        assert not bob.of_type("error")
    (listed,) = (await caller.get("bob", "channels.list")).json()["channels"]
    assert (listed["last_read_id"], listed["latest_message_id"]) == (ids[9], ids[9])


async def test_what_cannot_be_marked_is_an_error_and_changes_nothing(up: Service, caller: Caller) -> None:
    await caller.create("alice", "general", "bob")
    await caller.create("alice", "other")
    await say(caller, "alice")
    elsewhere = await say(caller, "alice", channel="other")
    await is_counted(caller, "bob", {"general": 1})
    async with listening(up.ws_url, "bob") as [bob]:
        future = "msg_7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
        wrong = [
            (elsewhere, "general", "unknown_message"),
            (future, "general", "unknown_message"),
            (elsewhere, "other", "not_a_member"),
            ("msg_1", "general", "invalid_id"),
        ]
        for message_id, channel, _ in wrong:
            await mark(bob, message_id, channel)
        await bob.until(lambda: len(bob.of_type("error")) == len(wrong))
        assert [error["code"] for error in bob.of_type("error")] == [code for _, _, code in wrong]
        assert {error["offending_type"] for error in bob.of_type("error")} == {"mark_read"}
        await say(caller, "alice")
        await is_counted(caller, "bob", {"general": 2})


async def test_leaving_takes_the_counts_away_and_coming_back_begins_at_nothing(up: Service, caller: Caller) -> None:
    await caller.create("alice", "general", "bob")
    await caller.create("alice", "other", "bob")
    await say(caller, "alice", channel="other")
    for number in range(7):
        await say(caller, "alice", *(["bob"] if number < 2 else []))
    await is_counted(caller, "bob", {"general": 7, "other": 1}, mentions=2)
    await caller.post("bob", "channels.leave", channel="general")
    await is_counted(caller, "bob", {"other": 1})
    await say(caller, "alice", "bob")
    await caller.post("bob", "channels.join", channel="general")
    await is_counted(caller, "bob", {"other": 1})
    await say(caller, "alice", "bob")
    await is_counted(caller, "bob", {"general": 1, "other": 1}, mentions=1)


async def test_who_joins_a_channel_with_a_backlog_has_nothing_unread(up: Service, caller: Caller) -> None:
    await caller.create("alice", "general")
    ids = [await say(caller, "alice") for _ in range(30)]
    await caller.post("carol", "channels.join", channel="general")
    first = await say(caller, "alice")
    await is_counted(caller, "carol", {"general": 1})
    (listed,) = (await caller.get("carol", "channels.list")).json()["channels"]
    assert (listed["last_read_id"], listed["latest_message_id"]) == (ids[-1], first)


async def test_mentions_are_of_other_members_and_each_once(up: Service, caller: Caller) -> None:
    await caller.create("alice", "general", "bob")
    await say(caller, "alice", "bob", "bob", "alice", "stranger")
    await is_counted(caller, "bob", {"general": 1}, mentions=1)
    await is_counted(caller, "alice", {})
    await caller.create("stranger", "theirs", "alice")
    await is_counted(caller, "stranger", {})
    (message,) = (await caller.get("bob", "channels.history", channel="general")).json()["messages"]
    assert message["mentions"] == ["bob"]
    bad = await caller.post("alice", "chat.sendMessage", channel="general", text="hi", mentions=["a.b"])
    assert bad.status_code == 400


async def test_a_list_of_channels_is_walked_by_cursors_of_its_own(up: Service, caller: Caller) -> None:
    names = [f"c{number}" for number in range(5)]
    for name in reversed(names):
        await caller.create("alice", name)
    walked, cursor = [], None
    for _ in range(3):
        more: dict[str, str] = {} if cursor is None else {"cursor": cursor}
        page = (await caller.get("alice", "channels.list", limit=2, **more)).json()
        walked += [channel["channel_id"] for channel in page["channels"]]
        cursor = page.get("cursor")
        if len(walked) == 2:
            assert (await caller.get("bob", "channels.list", cursor=cursor)).json()["code"] == "bad_cursor"
    assert (walked, cursor) == (names, None)


async def test_a_counter_that_is_killed_again_and_again_counts_every_message_once(cluster: Cluster) -> None:
    await cluster.start_all({"message-writer": 2, "fanout": 1, "notification": 1, "gateway": 1})
    caller = Caller(cluster.all("gateway")[0].url)
    await caller.create("alice", "general", "bob")
    sent: list[str] = []

    async def send() -> None:
        for number in range(300):
            sent.append(await say(caller, "alice" if number % 3 else "bob", *(["bob"] if number % 10 == 1 else [])))
            await asyncio.sleep(0.01)

    async def kill() -> None:
        for number in range(4):
            await asyncio.sleep(0.7)
            await cluster.all("message-writer")[number % 2].kill()
            await cluster.start(f"message-writer-{number}", "serve", "message-writer")

    await asyncio.gather(send(), kill())
    await is_counted(caller, "bob", {"general": 200}, mentions=20)
    await is_counted(caller, "alice", {"general": 100})
    async with listening(cluster.all("notification")[0].ws_url, "bob") as [bob]:
        await mark(bob, sent[149])
        await is_counted(caller, "bob", {"general": 100}, mentions=10)
    await caller.close()
