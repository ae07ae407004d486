"""Who was removed is refused by every gateway a second later, and who joins is let in at once, with caches in use."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.clients import Caller, Listener, listening
from tests.support.cluster import Cluster
from tests.support.observing import eventually, metric, until
from tests.support.servers import NatsServer

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

PROMISED_S = 1.0
"""Seconds after which a user who was removed is refused."""
PATIENCE_S = 30.0
PARTITIONS = 8
HITS = 'fanout_membership_checks_total{answered_by="cache"}'


def claims(cluster: Cluster) -> int:
    """How many partitions the fan-out worker has begun to read."""
    return sum(line.get("event") == "reads partition" for line in cluster.services["fanout-1"].log_lines())


@pytest.fixture
async def gateways(cluster: Cluster) -> AsyncIterator[list[Caller]]:
    """Callers of two gateways; alice has created general, with bob and carol."""
    await cluster.start_all({"message-writer": 1, "fanout": 1, "notification": 1, "gateway": 2})
    await until(lambda: claims(cluster) == PARTITIONS, "every partition is read")
    callers = [Caller(gateway.url) for gateway in cluster.all("gateway")]
    await callers[0].create("alice", "general", "bob", "carol", private=True)
    yield callers
    for caller in callers:
        await caller.close()


async def statuses(gateways: list[Caller], user: str) -> set[int]:
    """The answers of all gateways to reading and sending."""
    answers = []
    for caller in gateways:
        answers.append(await caller.get(user, "channels.history", channel="general"))
        answers.append(await caller.post(user, "chat.sendMessage", channel="general", text=f"of {user}"))
    return {answer.status_code for answer in answers}


async def check_refused(gateways: list[Caller], listener: Listener, message_id: str) -> None:
    """Every way to read the channel, or to note that it was read, is refused."""
    for caller in gateways:
        for call, query in (
            ("threads.replies", {"thread_id": message_id}),
            ("messages.receipts", {"channel": "general", "message_id": message_id}),
        ):
            assert (await caller.get(listener.user_id, call, **query)).status_code == 403
    for kind in ("mark_read", "message.read"):
        await listener.send(kind, channel_id="general", message_id=message_id)
        await listener.receives("error", offending_type=kind, code="not_a_member")


async def fill_caches(cluster: Cluster, gateways: list[Caller], user: str) -> None:
    """Have the cache of each gateway answer for the user."""

    async def answers() -> bool:
        assert await statuses(gateways, user) == {200, 202}
        return all([await metric(gateway.url, HITS) > 0 for gateway in cluster.all("gateway")])

    await eventually(answers, PATIENCE_S)


def heard(listener: Listener) -> int:
    """How many frames came of the channel."""
    return sum(frame.get("channel_id") == "general" for frame in listener.frames)


async def test_who_is_removed_is_refused_everywhere_and_hears_nothing_more(
    cluster: Cluster, gateways: list[Caller]
) -> None:
    async with listening(cluster.services["notification-1"].ws_url, "alice", "bob", "carol") as [alice, bob, carol]:
        await fill_caches(cluster, gateways, "bob")
        root = await gateways[0].say("alice", "general", "with bob")
        answer = await gateways[0].post("alice", "channels.remove", channel="general", user_ids=["bob", "nobody"])
        assert (answer.status_code, answer.json()) == (200, {"channel_id": "general"})
        await asyncio.sleep(PROMISED_S)
        assert await statuses(gateways, "bob") == {403}
        await check_refused(gateways, bob, root)
        for listener in (alice, bob, carol):
            await listener.receives("member.left", channel_id="general", user_id="bob")
        before = heard(bob)
        await gateways[1].say("alice", "general", "without bob")
        await carol.until(lambda: "without bob" in carol.texts())
        await gateways[1].create("alice", "other", "bob")
        await gateways[1].say("alice", "other", "with bob")
        await bob.until(lambda: "with bob" in bob.texts())
        assert heard(bob) == before
        assert (await gateways[1].post("bob", "channels.join", channel="general")).status_code == 404


async def test_who_was_refused_and_joins_is_let_in_at_once_by_another_gateway(
    cluster: Cluster, gateways: list[Caller]
) -> None:
    async with listening(cluster.services["notification-1"].ws_url, "dave") as [dave]:
        for _ in range(5):
            assert await statuses(gateways, "dave") == {403}
        invited = await gateways[0].post("alice", "channels.invite", channel="general", user_ids=["dave"])
        assert invited.status_code == 200
        assert await statuses(gateways[1:], "dave") == {200, 202}
        await gateways[1].say("alice", "general", "to dave")
        await dave.until(lambda: "to dave" in dave.texts())


async def test_a_leave_whose_event_could_not_be_published_takes_effect(
    cluster: Cluster, gateways: list[Caller], nats_server: NatsServer
) -> None:
    async with listening(cluster.services["notification-1"].ws_url, "bob", "carol") as [bob, carol]:
        await fill_caches(cluster, gateways, "bob")
        nats_server.kill()
        left = await gateways[0].post("bob", "channels.leave", channel="general")
        assert (left.status_code, left.json()["code"]) == (503, "outcome_unknown")
        await asyncio.sleep(PROMISED_S)
        for caller in gateways:
            refused = await caller.get("bob", "channels.history", channel="general")
            assert refused.status_code == 403
        nats_server.start()
        await bob.receives("member.left", channel_id="general", user_id="bob")

        async def alice_is_heard() -> bool:
            answer = await gateways[1].post("alice", "chat.sendMessage", channel="general", text="without bob")
            return answer.status_code == 202

        await eventually(alice_is_heard, PATIENCE_S)
        await carol.until(lambda: "without bob" in carol.texts())
        assert await statuses(gateways, "bob") == {403}
    assert "without bob" not in bob.texts()


async def test_two_users_who_open_their_direct_message_at_once_by_two_gateways(
    cluster: Cluster, gateways: list[Caller]
) -> None:
    async with listening(cluster.services["notification-1"].ws_url, "eve", "fred") as [eve, fred]:
        answers = await asyncio.gather(
            gateways[0].post("eve", "channels.create", kind="dm", members=["fred"]),
            gateways[1].post("fred", "channels.create", kind="dm", members=["eve"]),
        )
        assert sorted(answer.status_code for answer in answers) == [200, 201]
        [channel] = {answer.json()["channel_id"] for answer in answers}
        await fred.receives("member.joined", channel_id=channel, user_id="fred")
        await gateways[1].say("eve", channel, "hello fred")
        await fred.until(lambda: fred.texts(channel) == ["hello fred"])
        await eve.until(lambda: eve.texts(channel) == ["hello fred"])
