"""The history while its writers are away, late and several: what a client is told, and that it misses nothing."""

import asyncio
from typing import Any

import pytest

from tests.support.clients import Caller
from tests.support.cluster import Cluster
from tests.support.observing import eventually

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

PATIENCE_S = 60.0
"""Far longer than several processes need on a busy machine; reached only by a test that fails."""


class Reader:
    """A client that reads a channel forward, and believes what the pages claim."""

    def __init__(self, caller: Caller, channel: str) -> None:
        self._caller = caller
        self._channel = channel
        self.upto = 0
        self.places: dict[str, int] = {}

    async def read(self) -> None:
        page = await self.page(after=str(self.upto), limit=7)
        self.places |= {message["message_id"]: message["seq"] for message in page["messages"]}
        assert page["upto_seq"] >= self.upto
        self.upto = page["upto_seq"]

    async def page(self, **query: Any) -> dict[str, Any]:
        response = await self._caller.get("bob", "channels.history", channel=self._channel, **query)
        assert response.status_code == 200, response.text
        page: dict[str, Any] = response.json()
        return page

    async def has(self, message_ids: list[str]) -> bool:
        await self.read()
        return set(message_ids) <= set(self.places)


@pytest.fixture
async def caller(cluster: Cluster) -> Caller:
    await cluster.start_all({"message-writer": 1, "gateway": 2})
    caller = Caller(*(gateway.url for gateway in cluster.all("gateway")))
    await caller.create("alice", "general", "bob")
    return caller


async def test_a_writer_that_is_away_is_not_taken_for_an_empty_channel(cluster: Cluster, caller: Caller) -> None:
    reader = Reader(caller, "general")
    stored = [await caller.say("alice", "general", f"message {number}") for number in range(3)]
    await eventually(lambda: reader.has(stored), PATIENCE_S)
    await eventually(lambda: _reaches(reader, max(reader.places.values())), PATIENCE_S)
    before = await reader.page()
    await cluster.services["message-writer-1"].stop()
    late = [await caller.say("alice", "general", f"message {number}") for number in range(3, 20)]
    after = await reader.page()
    assert (after["messages"], after["upto_seq"]) == (before["messages"], before["upto_seq"])  # it claims no more
    assert after["newest_seq"] == before["newest_seq"] + len(late)
    page = await reader.page(after=late[0])  # known, though it is not stored
    assert (page["messages"], page["upto_seq"]) == ([], before["upto_seq"])
    assert [each["message_id"] for each in (await reader.page(before=late[0]))["messages"]] == stored[::-1]
    unknown = await caller.get("bob", "channels.history", channel="general", after="msg_" + "0" * 26)
    assert (unknown.status_code, unknown.json()["code"]) == (400, "unknown_message")
    await cluster.start("message-writer-2", "serve", "message-writer")
    await eventually(lambda: reader.has(late), PATIENCE_S)
    await eventually(lambda: _reaches(reader, max(reader.places.values())), PATIENCE_S)
    assert sorted(reader.places, key=reader.places.__getitem__) == stored + late
    await caller.close()


async def test_who_reads_on_from_upto_seq_misses_nothing_while_writers_die(cluster: Cluster, caller: Caller) -> None:
    await cluster.start("message-writer-2", "serve", "message-writer")
    reader = Reader(caller, "general")

    async def post() -> list[str]:
        return [await caller.say("alice", "general", f"message {number}") for number in range(400)]

    async def disturb() -> None:
        for name in ("message-writer-1", "message-writer-2"):
            await asyncio.sleep(0.3)
            await cluster.services[name].kill()
        await cluster.start("message-writer-3", "serve", "message-writer")

    posting, disturbing = [asyncio.create_task(post()) for _ in range(2)], asyncio.create_task(disturb())
    while not all(task.done() for task in (*posting, disturbing)):
        await reader.read()
        await asyncio.sleep(0.01)
    await disturbing
    posted = [message_id for task in posting for message_id in task.result()]
    await eventually(lambda: reader.has(posted), PATIENCE_S)
    whole = await walked(reader)
    assert sorted(whole) == sorted(posted)
    assert [reader.places[message_id] for message_id in whole] == sorted(reader.places.values(), reverse=True)
    await caller.close()


async def _reaches(reader: Reader, seq: int) -> bool:
    await reader.read()
    return reader.upto >= seq


async def walked(reader: Reader) -> list[str]:
    """The whole channel, newest first, by cursors that one gateway gives and another takes."""
    page = await reader.page(limit=50)
    seen = page["messages"]
    while "cursor" in page:
        page = await reader.page(limit=50, cursor=page["cursor"])
        seen += page["messages"]
    return [message["message_id"] for message in seen]
