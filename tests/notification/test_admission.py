"""From an open socket to a session, while stores fail and users come and go."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fanout import Unavailable
from fanout.ports.presence import Connected, DeviceConnection
from fanout.subjects import PRESENCE_HINTS
from fanout.workers import decode_presence_change
from tests.support.faulty import FaultyPresence
from tests.support.harness import Client, Harness, running_harness
from tests.support.observing import until


class FirstConnectionFails(FaultyPresence):
    """Takes its time to fail to record the first connection, and records all others."""

    def __init__(self) -> None:
        super().__init__()
        self.failed = False

    async def connect(self, connection: DeviceConnection) -> Connected:
        if not self.failed:
            self.failed = True
            await asyncio.sleep(0.05)
            raise Unavailable("for a moment")
        return await super().connect(connection)


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    async with running_harness(tmp_path) as built:
        yield built


async def test_a_device_that_fails_does_not_stand_in_for_the_next(harness: Harness) -> None:
    harness.presence = FirstConnectionFails()
    await harness.create("general", "alice")
    worker = await harness.add_worker("worker-1")
    instance = await harness.add_instance("notif-1")
    phone, desktop = Client("alice"), Client("alice")
    harness.open(instance, phone)
    harness.open(instance, desktop)
    await until(lambda: bool(desktop.frames))
    assert phone.close_code == 1013
    assert worker.users_on("notif-1") == ["alice"], "admitted, and no worker knows"


async def test_the_first_connection_and_the_end_of_the_last_one_are_announced(harness: Harness) -> None:
    await harness.create("general", "alice")
    await harness.add_worker("worker-1")
    instance = await harness.add_instance("notif-1")
    phone, desktop = await harness.connect(instance, "alice"), await harness.connect(instance, "alice")
    for client in (phone, desktop):
        client.hang_up()
    await until(lambda: not len(instance.registry), "both have gone")
    await until(lambda: [online for online, _ in announced(harness)] == [True, False], "announced")
    assert {user for _, user in announced(harness)} == {"alice"}


def announced(harness: Harness) -> list[tuple[bool, str]]:
    """The hints that were published, without those that were repeated."""
    hints = [decode_presence_change(payload) for subject, payload in harness.bus.published if subject == PRESENCE_HINTS]
    said = [(hint.online, hint.user_id) for hint in hints]
    return [hint for number, hint in enumerate(said) if said[number - 1 : number] != [hint]]


async def test_clients_that_come_at_once_do_not_exceed_the_capacity(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_at_once = harness.log.last_seq

    async def slow(stream: str) -> int:
        await asyncio.sleep(0.05)
        return await answer_at_once(stream)

    monkeypatch.setattr(harness.log, "last_seq", slow)
    instance = await harness.add_instance("notif-1", capacity=5)
    clients = [Client(f"user-{number}", silent=True) for number in range(5)]
    for client in clients:
        harness.open(instance, client)
    await asyncio.sleep(0.05)
    for client in clients:
        client.send("auth", token=client.user_id, device_id=client.device_id)
    await asyncio.sleep(0.01)
    late = []
    for number in range(20):  # while the first are between their authentication and their session
        late.append(Client(f"late-{number}"))
        harness.open(instance, late[-1])
        await asyncio.sleep(0)
    await until(lambda: all(client.frames or client.close_code for client in (*clients, *late)))
    assert len(instance.registry) == 5
    assert [client.close_code for client in late] == [1013] * 20


async def test_of_two_instances_by_one_name_the_later_stays(harness: Harness) -> None:
    await harness.add_instance("notif-1")
    await asyncio.sleep(0.01)  # the times of their starts are told apart by milliseconds
    await harness.add_instance("notif-1")
    await until(lambda: bool(harness.failures), "the earlier one ends")
    assert "FANOUT_INSTANCE_ID" in str(harness.failures.pop())
    assert not harness.failures
