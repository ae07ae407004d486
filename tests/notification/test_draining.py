"""An instance that stops: everybody is sent elsewhere, and nothing holds it up."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fanout.subjects import PRESENCE_HINTS
from services.notification import instance as module
from tests.support.harness import Client, Harness, running_harness
from tests.support.observing import until

SOON_S = 1.0


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    async with running_harness(tmp_path) as built:
        await built.add_worker("worker-1")
        yield built


async def test_a_client_that_is_not_admitted_yet_holds_up_nothing(harness: Harness) -> None:
    instance = await harness.add_instance("notif-1")
    client = Client("alice", silent=True)
    serving = harness.open(instance, client)
    await asyncio.sleep(0.05)
    await instance.drain()
    async with asyncio.timeout(SOON_S):
        await serving
    assert client.close_code == 1012


async def test_a_client_that_is_being_admitted_is_sent_away(harness: Harness) -> None:
    instance = await harness.add_instance("notif-1")
    harness.bus.prefix, harness.bus.share = PRESENCE_HINTS, 1.0  # so that the workers do not confirm it soon
    client = Client("alice")
    serving = harness.open(instance, client)
    await until(lambda: len(instance.registry) == 1)
    async with asyncio.timeout(2 * SOON_S + 3):
        await instance.drain()
        await serving
    assert client.close_code == 1012


async def test_nobody_is_sent_to_an_instance_that_drains(harness: Harness) -> None:
    instance = await harness.add_instance("notif-1")
    leases: list[set[str]] = []

    class Curious(Client):
        async def close(self, code: int, reason: str) -> None:
            leases.append(set(await harness.presence.leases()))
            await super().close(code, reason)

    client = Curious("alice")
    harness.open(instance, client)
    await until(lambda: bool(client.frames))
    await instance.drain()
    assert leases == [set()]
    await instance._lease_keeper.renew()  # as its timer may at this moment
    assert await harness.presence.leases() == {}


async def test_sockets_are_closed_one_after_the_other(harness: Harness) -> None:
    instance = await harness.add_instance("notif-1")
    clients = [await harness.connect(instance, f"user-{number}") for number in range(20)]
    draining = asyncio.create_task(instance.drain(spread_s=3600))
    await until(lambda: any(client.close_code == 1012 for client in clients))
    assert {client.close_code for client in clients} == {1012, None}
    await draining
    assert {client.close_code for client in clients} == {1012}


async def test_many_sockets_are_closed_within_the_spread(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = await harness.add_instance("notif-1")
    clients = [await harness.connect(instance, f"user-{number}") for number in range(20)]
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 3600.0)
    async with asyncio.timeout(60):
        await instance.drain(spread_s=0.2)
    assert {client.close_code for client in clients} == {1012}


async def test_a_store_that_is_away_does_not_spoil_the_end(harness: Harness) -> None:
    instance = await harness.add_instance("notif-1")
    alice = await harness.connect(instance, "alice")
    harness.presence.down = True
    async with asyncio.timeout(SOON_S):
        await instance.drain()
    assert alice.close_code == 1012
    harness.presence.down = False
