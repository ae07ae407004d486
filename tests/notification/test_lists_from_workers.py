"""Logins whose channels come from a worker: beside a worker that lags, and while the worker loads them for long."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from services.fan_out import channel_list_answers, presence_applier
from services.notification import routing_barrier
from services.notification.instance import NotificationInstance
from services.notification.metrics import CHANNEL_LISTS
from tests.support.harness import Client, Harness, running_harness
from tests.support.observing import until


class _Proxy:
    """Another object, of which a subclass replaces something."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class _LaggingLog(_Proxy):
    """A log whose membership changes come late to this reader."""

    def __init__(self, real: Any) -> None:
        super().__init__(real)
        self.free = asyncio.Event()
        self.free.set()

    async def tail(self, stream: str, **options: Any) -> Any:
        tail, free = await self._real.tail(stream, **options), self.free

        class Tail(_Proxy):
            async def fetch(self) -> Any:
                events = await self._real.fetch()
                await free.wait()
                return events

        return Tail(tail)


class _SlowStore(_Proxy):
    """A membership store that gives lists when it may."""

    def __init__(self, real: Any) -> None:
        super().__init__(real)
        self.may_answer = asyncio.Event()
        self.reads = 0

    async def packed_channels_of(self, user_id: str) -> bytes:
        self.reads += 1
        await self.may_answer.wait()
        return cast("bytes", await self._real.packed_channels_of(user_id))


async def _started_over_a_store(harness: Harness) -> tuple[_SlowStore, NotificationInstance]:
    """A worker and an instance, and the store of both, which may answer."""
    store = _SlowStore(harness.memberships)
    store.may_answer.set()
    harness.memberships = cast("Any", store)
    await harness.add_worker("worker-1")
    return store, await harness.add_instance("notif-1")


def _given_by_workers() -> float:
    return float(CHANNEL_LISTS.labels("worker")._value.get())


async def test_a_login_reads_the_store_once(tmp_path: Path) -> None:
    async with running_harness(tmp_path) as harness:
        store, instance = await _started_over_a_store(harness)
        await harness.create("general", "ann", "ben")
        before = _given_by_workers()
        ann = await harness.connect(instance, "ann")
        assert store.reads == 1
        await harness.say("general", "hello")
        await until(lambda: ann.texts() == ["hello"])
        assert _given_by_workers() == before + 1


async def test_a_user_who_comes_back_needs_no_store(tmp_path: Path) -> None:
    async with running_harness(tmp_path) as harness:
        store, instance = await _started_over_a_store(harness)
        await harness.create("general", "ann")
        ann = await harness.connect(instance, "ann")
        ann.hang_up()
        await until(lambda: not len(instance.registry), "ann has gone")
        store.may_answer.clear()
        async with asyncio.timeout(3.0):
            again = await harness.connect(instance, "ann")
        await harness.say("general", "hello")
        await until(lambda: again.texts() == ["hello"])


async def test_a_channel_of_the_list_is_routed_by_each_worker_before_the_client_is_admitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_list_answers, "INLINE_CHANNELS", 0)  # in place of a user of 2,001 channels
    async with running_harness(tmp_path, partitions=1) as harness:
        lagging = _LaggingLog(harness.log)
        reader = await harness.add_worker("worker-2", log=cast("Any", lagging))
        await harness.settle_partitions()
        giver = await harness.add_worker("worker-1")
        instance = await harness.add_instance("notif-1")
        await harness.create("general", "ann")
        await harness.create("late", "ben")
        monkeypatch.setattr(instance._routing_barrier, "workers", lambda: ["worker-1"])
        packed = giver._channel_list_answers._packed

        async def packed_meanwhile(user_id: str) -> bytes:
            lagging.free.clear()
            await harness.join("late", "ann")
            await until(lambda: giver._engine.is_member("ann", "late"), "applied")
            return await packed(user_id)

        monkeypatch.setattr(giver._channel_list_answers, "_packed", packed_meanwhile)
        ann = await harness.connect(instance, "ann")
        assert reader.partitions.claimed() == [0]
        assert instance.registry.is_member("ann", "late")
        await harness.say("late", "through the worker that lags")
        await harness.say("general", "behind it")
        await until(lambda: "behind it" in ann.texts())
        lagging.free.set()
        await until(lambda: bool(ann.of_type("full_refresh_required")), "the client is told that it may lack something")


@pytest.mark.parametrize("how", ["drain", "departure"])
async def test_a_long_load_holds_up_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(routing_barrier, "ANNOUNCE_AGAIN_AFTER_S", (0.05,))
    async with running_harness(tmp_path) as harness:
        slow = _SlowStore(harness.memberships)
        await harness.add_worker("worker-1", memberships=cast("Any", slow))
        instance = await harness.add_instance("notif-1")
        await harness.create("general", "ann")
        client = Client("ann")
        serving = harness.open(instance, client)
        await asyncio.sleep(0.2)
        try:
            async with asyncio.timeout(8.0):
                if how == "drain":
                    await instance.drain()
                else:
                    client.hang_up()
                    await serving
        finally:
            slow.may_answer.set()


async def test_a_client_waits_while_its_worker_loads_and_is_told_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing_barrier, "ANNOUNCE_AGAIN_AFTER_S", (0.8,))
    monkeypatch.setattr(presence_applier, "TELL_PENDING_EVERY_S", 0.05)
    async with running_harness(tmp_path) as harness:
        slow = _SlowStore(harness.memberships)
        await harness.add_worker("worker-1", memberships=cast("Any", slow))
        instance = await harness.add_instance("notif-1")
        await harness.create("general", "ann")
        client = Client("ann")
        harness.open(instance, client)
        await asyncio.sleep(1.5)
        assert client.frames == []
        slow.may_answer.set()
        await until(lambda: bool(client.frames), "the client is admitted")
        await harness.say("general", "hello")
        await until(lambda: client.texts() == ["hello"])
        assert not client.of_type("full_refresh_required")


async def test_a_second_device_that_goes_while_its_user_is_loaded_again_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing_barrier, "ANNOUNCE_AGAIN_AFTER_S", (0.05, 0.05))
    async with running_harness(tmp_path) as harness:
        slow = _SlowStore(harness.memberships)
        slow.may_answer.set()
        worker = await harness.add_worker("worker-1", memberships=cast("Any", slow))
        instance = await harness.add_instance("notif-1")
        await harness.create("general", "ann")
        await harness.connect(instance, "ann")
        slow.may_answer.clear()
        worker.presence_applier.reload("ann")
        await harness.create("another", "ann")
        second = Client("ann")
        serving = harness.open(instance, second)
        await asyncio.sleep(0.2)
        second.hang_up()
        try:
            async with asyncio.timeout(5.0):
                await serving
        finally:
            slow.may_answer.set()
        assert len(instance.registry.sessions_of("ann")) == 1


async def test_a_client_that_goes_while_it_waits_for_its_turn_is_not_connected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_harness(tmp_path) as harness:
        instance = await harness.add_instance("notif-1")
        monkeypatch.setattr(instance._admission, "_records", None)  # it is not to be touched
        await harness.create("general", "ann")
        client = Client("ann")
        async with instance._admission._user_lock("ann"):
            serving = harness.open(instance, client)
            await asyncio.sleep(0.1)
            client.hang_up()
        await serving
        assert client.frames == []
        assert not len(instance.registry)
