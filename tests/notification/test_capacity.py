"""The bounds of an instance: before authentication, of one user, and in all."""

import re
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from services.notification import capacity as capacity_module
from services.notification.capacity import SILENCE_S, Capacity
from services.notification.refusals import LATEST_RETRY_MS, SOONEST_RETRY_MS, Refused
from services.notification.registry import Registry
from tests.support.harness import Client, Harness, running_harness
from tests.support.observing import until


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    async with running_harness(tmp_path) as built:
        yield built


def capacity(sockets: int = 3, unauthenticated: int = 2, of_one_user: int = 2) -> Capacity:
    return Capacity(Registry(), sockets=sockets, unauthenticated=unauthenticated, of_one_user=of_one_user)


def refusals(cause: str) -> float:
    return REGISTRY.get_sample_value("fanout_connections_refused_total", {"cause": cause}) or 0.0


def check_told_when(client: Client) -> None:
    wait = re.search(r"; retry_after_ms=(\d+)$", client.close_reason)
    assert wait is not None, client.close_reason
    assert SOONEST_RETRY_MS <= int(wait[1]) <= LATEST_RETRY_MS
    assert len(client.close_reason.encode()) <= 120


def test_a_place_is_free_again_when_it_is_left_and_twice_is_once() -> None:
    bounds = capacity(of_one_user=1)
    place = bounds.enter("alice", "d1")
    with pytest.raises(Refused, match="this user has 1"):
        bounds.enter("alice", "d2")
    place.close()
    place.close()
    bounds.enter("alice", "d2")
    with pytest.raises(Refused):
        bounds.enter("alice", "d3")


def test_the_bounds_do_not_fill_each_other() -> None:
    bounds = capacity(sockets=3, unauthenticated=2)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(bounds.unauthenticated())
        with pytest.raises(Refused, match="not authenticated"):
            stack.enter_context(bounds.unauthenticated())
        for user in ("a", "b", "c"):
            bounds.enter(user, "d")
        with pytest.raises(Refused, match="full"):
            bounds.enter("d", "d")
    with pytest.raises(Refused, match="full"), bounds.unauthenticated():
        pass


async def test_sockets_that_never_authenticate_leave_those_who_do_their_room(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity_module, "SILENCE_S", 1_000)
    instance = await harness.add_instance("notif-1", capacity=3, max_unauthenticated=4)
    before = refusals("unauthenticated")
    mute = [Client(f"mute-{number}", silent=True) for number in range(7)]
    for client in mute[:3]:
        harness.open(instance, client)
    assert (await harness.connect(instance, "alice")).of_type("auth.ok")
    for client in mute[3:]:
        harness.open(instance, client)
    await until(lambda: [client.close_code for client in mute] == [None] * 4 + [1013] * 3)
    for client in mute[4:]:
        check_told_when(client)
    assert refusals("unauthenticated") - before == 3
    mute[0].hang_up()
    await until(lambda: REGISTRY.get_sample_value("fanout_connections_unauthenticated") == 3)
    assert (await harness.connect(instance, "bob")).of_type("auth.ok")


async def test_who_has_been_silent_for_longest_makes_room_for_who_comes(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity_module, "SILENCE_S", 0)
    instance = await harness.add_instance("notif-1", max_unauthenticated=3)
    mute = [Client(f"mute-{number}", silent=True) for number in range(3)]
    for client in mute:
        harness.open(instance, client)
    await until(lambda: REGISTRY.get_sample_value("fanout_connections_unauthenticated") == 3)
    before = refusals("unauthenticated")
    assert (await harness.connect(instance, "alice")).of_type("auth.ok")
    await until(lambda: [client.close_code for client in mute] == [1013, None, None])
    check_told_when(mute[0])
    assert refusals("unauthenticated") - before == 1


def test_who_has_not_been_silent_for_long_and_who_has_spoken_stay() -> None:
    now, gone = 0.0, list[int]()
    bounds = Capacity(Registry(), sockets=9, unauthenticated=3, of_one_user=1, clock=lambda: now)
    with ExitStack() as stack:
        for number in range(3):
            stack.enter_context(bounds.unauthenticated())
            silence = stack.enter_context(ExitStack())
            silence.enter_context(bounds.silent(lambda number=number: gone.append(number)))  # type: ignore[misc]
            if number == 0:
                silence.close()  # it has spoken, and its token is being verified
        with pytest.raises(Refused, match="not authenticated"):
            stack.enter_context(bounds.unauthenticated())
        now = SILENCE_S
        for _ in range(2):
            stack.enter_context(bounds.unauthenticated())
        with pytest.raises(Refused, match="not authenticated"):
            stack.enter_context(bounds.unauthenticated())
        assert gone == [1, 2]


async def test_one_user_fills_no_instance(harness: Harness) -> None:
    instance = await harness.add_instance("notif-1", capacity=100, max_user_sockets=3)
    before = refusals("user")
    clients = [Client("alice") for _ in range(10)]
    for client in clients:
        harness.open(instance, client)
    await until(lambda: all(client.frames or client.close_code for client in clients))
    over = [client for client in clients if client.close_code]
    assert [client.close_code for client in over] == [1013] * 7
    for client in over:
        check_told_when(client)
        assert "this user has 3 connections" in client.close_reason
    assert refusals("user") - before == 7
    assert (await harness.connect(instance, "bob")).of_type("auth.ok")


async def test_a_device_that_connects_again_is_none_more(harness: Harness) -> None:
    instance = await harness.add_instance("notif-1", max_user_sockets=1)
    first = await harness.connect(instance, "alice")
    again = Client("alice", silent=True)
    again.send("auth", token="alice", device_id=first.device_id)
    harness.open(instance, again)
    await until(lambda: bool(again.frames) or again.close_code is not None)
    assert (again.close_code, first.close_code) == (None, 4409)


async def test_a_full_instance_and_a_store_that_is_away_say_when_to_come_again(harness: Harness) -> None:
    instance = await harness.add_instance("notif-1", capacity=1)
    harness.presence.down = True
    refused = await harness.connect(instance, "alice")
    harness.presence.down = False
    await harness.connect(instance, "bob")
    full = await harness.connect(instance, "carol")
    for client, why in ((refused, "a store is away"), (full, "full")):
        assert (client.close_code, why in client.close_reason) == (1013, True)
        check_told_when(client)


async def test_large_messages_are_allowed_with_the_session(harness: Harness) -> None:
    instance = await harness.add_instance("notif-1")
    stranger = Client("bob", silent=True)
    harness.open(instance, stranger)
    alice = await harness.connect(instance, "alice")
    assert (alice.large_messages, stranger.large_messages) == (True, False)
