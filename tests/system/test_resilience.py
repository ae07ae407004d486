"""Processes die, servers go away, readers stop reading: what was accepted still arrives."""

import asyncio
import itertools

import pytest

from fanout.keys import LEASE_TTL_S
from tests.support.clients import Caller, Listener, listening, open_listener
from tests.support.cluster import Cluster
from tests.support.observing import eventually, metric
from tests.support.servers import NatsServer, RedisServer

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

SMALL = {"message-writer": 1, "fanout": 2, "notification": 2, "gateway": 1}
PATIENCE_S = 60.0
"""Far longer than several processes need on a busy machine; reached only by a test that fails."""


async def test_a_killed_instance_is_evicted_and_its_clients_go_on_elsewhere(cluster: Cluster) -> None:
    await cluster.start_all(SMALL)
    caller = Caller(cluster.services["gateway-1"].url)
    doomed, other = cluster.all("notification")
    await caller.create("alice", "general", "bob")
    alice = await open_listener(other.ws_url, "alice")
    bob = await open_listener(doomed.ws_url, "bob")
    workers = cluster.all("fanout")

    async def users_placed(count: int) -> bool:
        return all([await metric(worker.url, "fanout_users_placed") == count for worker in workers])

    await eventually(lambda: users_placed(2), PATIENCE_S)
    await doomed.kill()
    took = await eventually(lambda: users_placed(1), LEASE_TTL_S + PATIENCE_S)
    print(f"evicted {took:.1f} s after the kill; the lease is {LEASE_TTL_S} s")  # noqa: T201 - shown with -s
    await bob.is_closed()
    assert (await caller.get("bob", "realtime.connect")).json()["url"] == other.ws_url
    again = await open_listener(other.ws_url, "bob")
    await caller.say("alice", "general", "still there?")
    for listener in (alice, again):
        await listener.until(lambda who=listener: who.texts() == ["still there?"])  # type: ignore[misc]
    for listener in (alice, again):
        await listener.close()
    await caller.close()


async def test_a_killed_worker_is_replaced_and_nothing_is_lost_or_doubled(cluster: Cluster) -> None:
    await cluster.start_all(SMALL)
    caller = Caller(cluster.services["gateway-1"].url)
    channels = [f"channel-{number}" for number in range(20)]
    for channel in channels:
        await caller.create("alice", channel)
    async with listening(cluster.services["notification-1"].ws_url, "alice") as [alice]:
        for number in range(400):
            await caller.say("alice", channels[number % 20], f"message {number}")
            if number == 200:
                await cluster.services["fanout-1"].kill()
        await alice.until(lambda: len(alice.texts()) >= 400, LEASE_TTL_S + PATIENCE_S)
        await asyncio.sleep(1)
        for channel in channels:
            assert len(alice.texts(channel)) == 20
            assert alice.texts(channel) == sorted(alice.texts(channel), key=lambda text: int(text.split()[1]))
    await caller.close()


async def test_nats_away_means_503_and_everything_accepted_arrives_when_it_is_back(
    cluster: Cluster, nats_server: NatsServer
) -> None:
    await cluster.start_all(SMALL)
    caller = Caller(cluster.services["gateway-1"].url)
    await caller.create("alice", "general", "bob")
    async with listening(cluster.services["notification-1"].ws_url, "alice", "bob") as [alice, bob]:
        accepted: list[str] = []
        numbers = itertools.count()

        async def post() -> bool:
            text = f"message {next(numbers)}"
            response = await caller.post("alice", "chat.sendMessage", channel="general", text=text)
            if response.status_code == 202:
                accepted.append(text)
                return True
            assert response.status_code == 503, response.text
            assert response.json()["code"] == "unavailable"
            return False

        assert [await post() for _ in range(100)] == [True] * 100
        nats_server.kill()
        assert [await post() for _ in range(10)] == [False] * 10
        await asyncio.sleep(1)
        nats_server.start()
        await eventually(post, PATIENCE_S)
        assert [await post() for _ in range(150)] == [True] * 150
        for listener in (alice, bob):
            await listener.until(lambda who=listener: set(who.texts()) >= set(accepted), PATIENCE_S)  # type: ignore[misc]
            await asyncio.sleep(0.5)
            assert [text for text in listener.texts() if text in set(accepted)] == accepted
            assert len(listener.texts()) == len(set(listener.texts()))
            assert listener.close_code is None
    await caller.close()


async def test_redis_away_closes_no_socket_and_evicts_nobody(cluster: Cluster, redis_server: RedisServer) -> None:
    await cluster.start_all(SMALL)
    caller = Caller(cluster.services["gateway-1"].url)
    await caller.create("alice", "general", "bob")
    async with listening(cluster.services["notification-1"].ws_url, "alice", "bob") as [alice, bob]:
        redis_server.kill()
        await asyncio.sleep(LEASE_TTL_S + 2)
        await caller.say("alice", "general", "while it is away")
        redis_server.start()
        await caller.say("alice", "general", "when it is back")
        for listener in (alice, bob):
            await listener.until(lambda who=listener: who.texts() == ["while it is away", "when it is back"])  # type: ignore[misc]
        async with listening(cluster.services["notification-2"].ws_url, "bob") as [second]:
            await caller.say("alice", "general", "for new ones too")
            await second.until(lambda: second.texts() == ["for new ones too"])
        await asyncio.sleep(LEASE_TTL_S + 2)  # leases were renewed since, so nobody is evicted late either
        await caller.say("alice", "general", "and later")
        await bob.until(lambda: "and later" in bob.texts())
        assert alice.close_code is None
        assert bob.close_code is None
    await caller.close()


async def test_a_reader_that_stops_is_closed_while_others_and_the_memory_stay(cluster: Cluster) -> None:
    await cluster.start_all({"message-writer": 1, "fanout": 1, "gateway": 1})
    instance = await cluster.start("notification-1", "serve", "notification", SOCKET_BUDGET=str(512 * 1024))
    caller = Caller(cluster.services["gateway-1"].url)
    await caller.create("alice", "general", *(f"slow-{number}" for number in range(20)))
    alice = await open_listener(instance.ws_url, "alice")

    async def flood(readers: range, numbers: range) -> list[Listener]:
        """Let readers that stop be sent far more than may wait for them."""
        stopped = [await stalled(instance.ws_url, f"slow-{reader}") for reader in readers]
        for number in numbers:
            await caller.say("alice", "general", f"{number} {text}")
        await alice.until(lambda: len(alice.texts()) == numbers.stop)
        return stopped

    text = "x" * 39_000
    slow = await flood(range(10), range(400))
    before = instance.resident_bytes()  # the allocator keeps what the first ones took, in pages of 2 MiB
    slow += await flood(range(10, 20), range(400, 800))
    grown = instance.resident_bytes() - before
    assert [int(sent.split()[0]) for sent in alice.texts()] == list(range(800))
    assert grown < 10 * 1024 * 1024, f"memory grew by {grown} bytes"

    async def only_alice_is_left() -> bool:
        return await metric(instance.url, "fanout_connections") == 1

    await eventually(only_alice_is_left, PATIENCE_S)
    for listener in slow:
        listener.connection.transport.abort()
    await alice.close()
    await caller.close()


async def test_a_reader_that_was_too_slow_learns_why(cluster: Cluster) -> None:
    await cluster.start_all({"message-writer": 1, "fanout": 1, "gateway": 1})
    instance = await cluster.start("notification-1", "serve", "notification", SOCKET_BUDGET=str(128 * 1024))
    caller = Caller(cluster.services["gateway-1"].url)
    await caller.create("bob", "general")
    bob = await stalled(instance.ws_url, "bob")

    async def closing() -> bool:
        for _ in range(10):  # the kernel's buffers take the first hundred
            await caller.say("bob", "general", "x" * 39_000)
        return await metric(instance.url, 'fanout_connections_closed_total{code="4413"}') == 1

    await eventually(closing, PATIENCE_S)
    bob.connection.transport.resume_reading()
    assert await bob.is_closed() == 4413
    numbers = [frame["seq"] for frame in bob.of_type("message.new")]
    assert numbers == list(range(1, len(numbers) + 1)), "what came before the closing is whole"
    await caller.close()


async def stalled(url: str, user_id: str) -> Listener:
    """A client that authenticates and then never reads again."""
    listener = await open_listener(url, user_id, max_queue=1)
    listener.connection.transport.pause_reading()
    return listener


async def test_sigterm_drains_and_exits_with_0(cluster: Cluster) -> None:
    await cluster.start_all(SMALL)
    listener = await open_listener(cluster.services["notification-1"].ws_url, "alice")
    codes = await asyncio.gather(*(service.stop() for service in cluster.services.values()))
    assert codes == [0] * len(codes)
    assert await listener.is_closed() == 1012
