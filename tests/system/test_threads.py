"""Threads, from the call to the stores and the sockets, as processes."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import Caller, listening
from tests.support.cluster import Cluster, Service
from tests.support.observing import eventually
from tests.support.servers import NatsServer, RedisServer

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

PATIENCE_S = 90.0
"""Far longer than several processes need on a busy machine; reached only by a test that fails."""
REPLIES = 500


class Thread:
    """A thread, as a member reads it."""

    def __init__(self, caller: Caller, thread_id: str) -> None:
        self._caller = caller
        self.thread_id = thread_id

    async def page(self, **query: Any) -> dict[str, Any]:
        response = await self._caller.get("bob", "threads.replies", thread_id=self.thread_id, **query)
        assert response.status_code == 200, response.text
        page: dict[str, Any] = response.json()
        return page

    async def has(self, replies: int) -> bool:
        page = await self.page(limit=1)
        assert page["reply_count"] <= replies
        return bool(page["reply_count"] == replies)

    async def ids(self) -> list[str]:
        page = await self.page(limit=200)
        found = [reply["message_id"] for reply in page["replies"]]
        while "cursor" in page:
            page = await self.page(limit=200, cursor=page["cursor"])
            found += [reply["message_id"] for reply in page["replies"]]
        return found


async def refused(caller: Caller, user: str, channel: str, thread_id: str) -> tuple[int, str]:
    response = await caller.post(user, "chat.sendMessage", channel=channel, text="hi", thread_id=thread_id)
    return response.status_code, response.json().get("code")


async def test_a_reply_right_after_its_root_is_accepted_while_no_writer_runs(cluster: Cluster) -> None:
    await cluster.start_all({"gateway": 2})
    caller = Caller(*(gateway.url for gateway in cluster.all("gateway")))
    await caller.create("alice", "general", "bob")
    root = await caller.say("alice", "general", "root")
    reply = await caller.say("bob", "general", "reply", thread_id=root)  # through the other gateway
    assert await refused(caller, "bob", "general", "msg_" + "0" * 26) == (404, "unknown_thread")
    assert await refused(caller, "bob", "general", reply) == (404, "unknown_thread")
    thread = Thread(caller, root)
    assert (await thread.page())["reply_count"] == 0
    await cluster.start_all({"message-writer": 1})
    await eventually(lambda: thread.has(1), PATIENCE_S)
    assert await thread.ids() == [reply]
    assert await refused(caller, "bob", "general", "msg_" + "0" * 26) == (404, "unknown_thread")
    await caller.close()


async def test_replies_through_writers_that_are_killed_count_once(
    tmp_path: Path, nats_server: NatsServer, redis_server: RedisServer, cassandra: str, keyspace_prefix: str
) -> None:
    settings = {"NATS_URL": nats_server.url, "REDIS_URL": redis_server.url}
    cluster = Cluster(tmp_path, **settings, CASSANDRA_HOSTS=cassandra, PREFIX=keyspace_prefix)
    try:
        await cluster.start_all({"message-writer": 3, "gateway": 1})
        caller = Caller(*(gateway.url for gateway in cluster.all("gateway")))
        await caller.create("alice", "general", "bob")
        thread = Thread(caller, await caller.say("alice", "general", "root"))

        async def post(some: range) -> list[str]:
            return [
                await caller.say("bob", "general", str(n), thread_id=thread.thread_id, also_send_to_channel=n % 5 == 0)
                for n in some
            ]

        posting = [asyncio.create_task(post(range(first, REPLIES, 5))) for first in range(5)]
        for number in (1, 2):
            await asyncio.sleep(0.5)
            await cluster.services[f"message-writer-{number}"].kill()
            await cluster.start(f"message-writer-{number + 3}", "serve", "message-writer")
        posted = [message_id for some in await asyncio.gather(*posting) for message_id in some]
        await eventually(lambda: thread.has(REPLIES), PATIENCE_S)
        found = await thread.ids()
        assert (len(found), sorted(found)) == (REPLIES, sorted(posted))
        await caller.close()
    finally:
        await cluster.kill()


async def test_one_event_is_one_frame_and_only_what_was_sent_to_the_channel_is_in_its_history(
    up: Service, caller: Caller
) -> None:
    await caller.create("alice", "general", "bob")
    await caller.create("mallory", "elsewhere")
    url = (await caller.get("bob", "realtime.connect")).json()["url"]
    async with listening(url, "bob", "mallory") as (bob, mallory):
        root = await caller.say("alice", "general", "root")
        alone = await caller.say("alice", "general", "alone", thread_id=root)
        both = await caller.say("alice", "general", "both", thread_id=root, also_send_to_channel=True)
        await bob.until(lambda: len([frame for frame in bob.frames if "message" in frame]) == 3)
        frames = [frame for frame in bob.frames if "message" in frame]
        assert [(frame["type"], frame["message"]["message_id"]) for frame in frames] == [
            ("message.new", root), ("thread.reply", alone), ("message.new", both),
        ]  # fmt: skip
        assert frames[1]["thread_id"] == frames[1]["message"]["thread_id"] == frames[2]["message"]["thread_id"] == root
        assert not [frame for frame in mallory.frames if "message" in frame]
    thread = Thread(caller, root)
    await eventually(lambda: thread.has(2), PATIENCE_S)
    assert await thread.ids() == [alone, both]
    history = (await caller.get("bob", "channels.history", channel="general")).json()
    assert [message["message_id"] for message in history["messages"]] == [both, root]


async def test_a_follower_who_has_left_gets_no_reply_and_no_mention(up: Service, caller: Caller) -> None:
    await caller.create("alice", "private", "bob", private=True)
    await caller.create("alice", "general", "bob")
    url = (await caller.get("bob", "realtime.connect")).json()["url"]
    async with listening(url, "bob") as (bob,):
        root = await caller.say("alice", "private", "root")
        await caller.say("bob", "private", "reply", thread_id=root)
        await bob.receives("thread.reply")
        assert (await caller.post("bob", "channels.leave", channel="private")).status_code == 200
        await bob.receives("member.left", user_id="bob")
        for also in (False, True):
            more = {"thread_id": root, "also_send_to_channel": also, "mentions": ["bob"]}
            await caller.say("alice", "private", "after", **more)
        await caller.say("alice", "general", "marker")
        await bob.receives("message.new", channel_id="general")
        assert "after" not in [frame["message"]["text"] for frame in bob.frames if "message" in frame]
    assert await refused(caller, "bob", "private", root) == (403, "not_a_member")
    response = await caller.get("bob", "threads.replies", thread_id=root)
    assert (response.status_code, response.json()["code"]) == (403, "not_a_member")


async def test_a_thread_of_another_channel_and_who_is_no_member(up: Service, caller: Caller) -> None:
    await caller.create("alice", "general", "bob")
    await caller.create("alice", "random", "bob")
    root = await caller.say("alice", "general", "root")
    for number in range(3):
        await caller.say("alice", "general", f"reply {number}", thread_id=root)
    thread = Thread(caller, root)
    await eventually(lambda: thread.has(3), PATIENCE_S)
    assert await refused(caller, "bob", "random", root) == (404, "unknown_thread")
    assert await refused(caller, "mallory", "general", root) == (403, "not_a_member")
    cursor = (await thread.page(limit=1))["cursor"]
    for query in ({}, {"cursor": cursor}):
        response = await caller.get("mallory", "threads.replies", thread_id=root, **query)
        assert (response.status_code, response.json()["code"]) == (403, "not_a_member")
    history = (await caller.get("bob", "channels.history", channel="random")).json()
    assert history["messages"] == []
