"""The log loses events, comes back as it was earlier, empty, or without a stream, while clients listen and post."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from fanout.ids import new_event_id
from fanout.streams import MESSAGES, META
from fanout.subjects import message
from services.adapters.nats import api
from tests.support.clients import Caller, Listener, listening
from tests.support.cluster import Cluster
from tests.support.nats import connected
from tests.support.observing import eventually
from tests.support.servers import NatsServer
from tests.support.stored import stored_message

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

USERS = [f"user-{number}" for number in range(50)]
CHANNELS = [f"channel-{number}" for number in range(5)]
EVERY_S = 0.05
PATIENCE_S = 60.0
READY_WITHIN_S = 30.0
PARTS = {"message-writer": 1, "fanout": 2, "notification": 2, "gateway": 2}


class Posting:
    """Messages posted all the time, in all channels in turn; those that were accepted, by their number."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._accepted: dict[int, str] = {}
        self.number = 0
        """Of the message that was posted last, accepted or not."""
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            await self.post()
            await asyncio.sleep(EVERY_S)

    async def post(self) -> bool:
        self.number += 1
        number, channel = self.number, CHANNELS[self.number % len(CHANNELS)]
        response = await self._caller.post("user-0", "chat.sendMessage", channel=channel, text=f"{channel} {number}")
        if response.status_code != 202:
            return False
        self._accepted[number] = channel
        return True

    def count(self) -> int:
        return len(self._accepted)

    def accepted_after(self, number: int) -> dict[str, list[str]]:
        """By channel, the texts of the accepted messages above a number, in order."""
        accepted: dict[str, list[str]] = {channel: [] for channel in CHANNELS}
        for above in sorted(one for one in self._accepted if one > number):
            accepted[self._accepted[above]].append(f"{self._accepted[above]} {above}")
        return accepted

    async def more(self, count: int) -> None:
        wanted = self.count() + count
        await eventually(lambda: asyncio.sleep(0, self.count() >= wanted), PATIENCE_S)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


@pytest.fixture
async def caller(cluster: Cluster) -> AsyncIterator[Caller]:
    await cluster.start_all(PARTS)
    caller = Caller(*(gateway.url for gateway in cluster.all("gateway")))
    for channel in CHANNELS:
        await caller.create("user-0", channel, *USERS[1:])
    yield caller
    await caller.close()


async def _ready(cluster: Cluster) -> bool:
    return all([await service.is_ready() for service in cluster.services.values()])


async def _lose_newest(server: NatsServer, saved: Path) -> None:
    await asyncio.to_thread(server.lose_all_since, saved)


async def _lose_everything(server: NatsServer, _saved: Path) -> None:
    await asyncio.to_thread(server.lose_everything)


async def _lose_messages(server: NatsServer, _saved: Path) -> None:
    async with connected(server.url) as nc:
        await api.call(nc, f"STREAM.DELETE.{MESSAGES}")


async def _lose_memberships(server: NatsServer, _saved: Path) -> None:
    async with connected(server.url) as nc:
        await api.call(nc, f"STREAM.DELETE.{META}")


async def test_a_log_that_grew_past_its_old_end_before_anybody_looked_loses_nothing_of_what_it_grew_by(
    cluster: Cluster, nats_server: NatsServer, caller: Caller
) -> None:
    sockets = [instance.ws_url for instance in cluster.all("notification")]
    async with listening(sockets[0], *USERS[:25]) as ones, listening(sockets[1], *USERS[25:]) as others:
        posting = Posting(caller)
        await posting.more(10)
        saved = await asyncio.to_thread(nats_server.save)
        await posting.more(50)
        await posting.stop()
        for service in cluster.services.values():
            service.pause()
        await asyncio.to_thread(nats_server.lose_all_since, saved)
        grown = await _grow(nats_server, 120)
        for service in cluster.services.values():
            service.resume()
        for listener in [*ones, *others]:
            await _has_all(listener, grown)
            await listener.receives("full_refresh_required", tier=4, reason="log_reset")


async def test_changes_of_memberships_that_the_log_lost_are_told_again(
    cluster: Cluster, nats_server: NatsServer, caller: Caller
) -> None:
    """A worker and an instance that saw none of the changes, since they stood still, come to the store's truth."""
    [first, second], workers = cluster.all("notification"), cluster.all("fanout")
    async with listening(first.ws_url, "user-1", "stranger") as [user, stranger]:
        saved = await asyncio.to_thread(nats_server.save)
        await eventually(lambda: _ready(cluster), READY_WITHIN_S)
        for service in (first, *workers):
            service.pause()
        assert (await caller.post("user-1", "channels.leave", channel=CHANNELS[0])).status_code == 200
        assert (await caller.post("stranger", "channels.join", channel=CHANNELS[0])).status_code == 200
        await asyncio.to_thread(nats_server.lose_all_since, saved)
        for service in (first, *workers):
            service.resume()
        await stranger.receives("member.joined", channel_id=CHANNELS[0], user_id="stranger")
        await user.receives("member.left", channel_id=CHANNELS[0], user_id="user-1")
        await eventually(lambda: _ready(cluster), READY_WITHIN_S)
        await caller.say("user-2", CHANNELS[0], "after")
        await caller.say("user-2", CHANNELS[1], "after")
        await stranger.until(lambda: stranger.texts(CHANNELS[0]) == ["after"])
        await user.until(lambda: user.texts(CHANNELS[1]) == ["after"])
        assert user.texts(CHANNELS[0]) == []
    assert second.running


async def _grow(server: NatsServer, count: int) -> dict[str, list[str]]:
    """Have the log accept messages past all parts; what it accepted."""
    accepted: dict[str, list[str]] = {channel: [] for channel in CHANNELS}
    async with connected(server.url) as nc:
        for number in range(count):
            channel = CHANNELS[number % len(CHANNELS)]
            text = f"{channel} grown {number}"
            headers = {"Nats-Msg-Id": new_event_id()}
            await nc.call(message(channel), stored_message(channel, text=text), headers=headers)
            accepted[channel].append(text)
    return accepted


@pytest.mark.parametrize("lose", [_lose_newest, _lose_everything, _lose_messages, _lose_memberships])
async def test_what_is_accepted_after_the_log_is_back_reaches_every_member_once_and_in_order(
    cluster: Cluster, nats_server: NatsServer, caller: Caller, lose: Callable[[NatsServer, Path], Awaitable[None]]
) -> None:
    sockets = [instance.ws_url for instance in cluster.all("notification")]
    async with listening(sockets[0], *USERS[:25]) as ones, listening(sockets[1], *USERS[25:]) as others:
        listeners = [*ones, *others]
        posting = Posting(caller)
        await posting.more(20)
        saved = await asyncio.to_thread(nats_server.save)
        await posting.more(50)
        response = await caller.post("user-7", "channels.leave", channel=CHANNELS[0])
        assert response.status_code == 200
        await posting.more(10)
        await lose(nats_server, saved)
        last = posting.number  # the log may have taken this one and lost it: its answer may come after the loss
        took = await eventually(lambda: _ready(cluster), READY_WITHIN_S)
        print(f"ready {took:.1f} s after the loss")  # noqa: T201 - shown with -s
        await posting.more(60)
        await posting.stop()
        for listener in listeners:
            await _has_all(listener, posting.accepted_after(last))
            await listener.receives("full_refresh_required", tier=4, reason="log_reset")
    assert all(service.running for service in cluster.services.values())


async def _has_all(listener: Listener, accepted: dict[str, list[str]]) -> None:
    """Each accepted message once and in order, and none of a channel that was left."""
    left = {CHANNELS[0]} if listener.user_id == "user-7" and listener.of_type("member.left") else set()
    for channel, texts in accepted.items():
        if channel in left:
            continue

        def came(channel: str = channel, texts: list[str] = texts) -> list[str]:
            return [text for text in listener.texts(channel) if text in texts]

        try:
            await listener.until(lambda: len(came()) >= len(texts), PATIENCE_S)  # noqa: B023 - awaited in the loop
        except AssertionError:
            missing = [text for text in texts if text not in came()]
            pytest.fail(f"{listener.user_id} misses {missing} of {texts}; close code {listener.close_code}")
        assert came() == texts, (listener.user_id, listener.close_code)
        seqs = [frame["seq"] for frame in listener.of_type("message.new") if frame["channel_id"] == channel]
        assert seqs == sorted(set(seqs))
    for channel in left:
        assert not [text for text in listener.texts(channel) if text in accepted[channel]]
