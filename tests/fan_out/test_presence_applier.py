"""Users are added and removed, by a thread where they have many channels; the desired state may change meanwhile."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any, cast

import msgspec
import pytest

from fanout import Engine, TableFull, Unavailable
from fanout.packed_ids import pack
from fanout.workers import PresenceChange, RoutingPending, decode_control
from services.fan_out import presence_applier as module
from services.fan_out.metrics import USERS_REFUSED
from services.fan_out.presence_applier import PresenceApplier
from services.fan_out.routing_confirmations import RoutingConfirmations
from services.runtime.tasks import Tasks
from tests.support.observing import until

CHANNELS = [f"c{number}" for number in range(10)]


class Store:
    """A membership store in which everybody is in all channels. It answers when it may."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.fails = False

    async def packed_channels_of(self, user_id: str) -> bytes:
        await self.may_answer.wait()
        if self.fails:
            raise Unavailable("switched off")
        return pack(CHANNELS)


class SilentBus:
    """A bus that nobody listens to."""

    max_payload = 1 << 20

    def __init__(self) -> None:
        self.pending = 0
        """How many messages have said that users are being loaded."""
        self.told: set[str] = set()

    async def publish_many(self, messages: list[tuple[str, bytes]]) -> None:
        """Forget them."""
        for _, payload in messages:
            if isinstance(notice := decode_control(payload), RoutingPending):
                self.pending += 1
                self.told.update(notice.users)


class SlowEngine:
    """An engine whose moves wait, on threads other than the loop's, until they are let go."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.full = False
        self.lists_are_slow = False
        self.gate = threading.Event()
        self.gate.set()
        self.moving = threading.Event()
        self._loop_thread = threading.get_ident()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def user_online(self, user: str, instance: str, channels: list[str] | None = None) -> int:
        self._pass(channels is None or self.lists_are_slow)
        if self.full:
            raise TableFull("no more users on instances")
        return self.engine.user_online(user, instance, channels)

    def user_offline(self, user: str, instance: str) -> int:
        self._pass(known=True)
        return self.engine.user_offline(user, instance)

    def _pass(self, known: bool) -> None:  # noqa: FBT001 - one of two kinds of moves
        if known and threading.get_ident() != self._loop_thread:
            self.moving.set()
            assert self.gate.wait(10)


@pytest.fixture
async def slow(monkeypatch: pytest.MonkeyPatch) -> SlowEngine:
    monkeypatch.setattr(module, "INLINE_CHANNELS", 5)
    monkeypatch.setattr(module, "TELL_PENDING_EVERY_S", 0.01)
    return SlowEngine()


@pytest.fixture
async def store() -> Store:
    return Store()


@pytest.fixture
async def bus() -> SilentBus:
    return SilentBus()


@pytest.fixture
async def applier(slow: SlowEngine, store: Store, bus: SilentBus) -> AsyncIterator[PresenceApplier]:
    async with Tasks(lambda error: pytest.fail(str(error))) as tasks:
        confirmations = RoutingConfirmations("worker-1", cast("Any", bus), tasks, lambda: 0)
        built = PresenceApplier(cast("Any", slow), cast("Any", store), confirmations, tasks)
        built.start()
        yield built
        slow.gate.set()


def come(instance: str, *, online: bool = True) -> PresenceChange:
    return PresenceChange("ann", online, instance, "first", 1)


async def test_a_long_list_comes_and_goes_beside_the_loop(applier: PresenceApplier, slow: SlowEngine) -> None:
    applier.change(come("i1"))
    await until(lambda: slow.engine.instances("c9") == {"i1"})
    await applier.settled()
    slow.moving.clear()
    slow.gate.clear()
    applier.change(come("i1", online=False))
    await until(slow.moving.is_set, "a thread takes the user off")
    assert slow.engine.locations("ann") == {"i1"}
    assert applier.is_moving("ann")
    slow.gate.set()
    await applier.settled()
    assert not applier.is_moving("ann")
    assert slow.engine.locations("ann") == frozenset()


async def test_who_comes_back_during_the_departure_is_there(applier: PresenceApplier, slow: SlowEngine) -> None:
    applier.change(come("i1"))
    await applier.settled()
    slow.moving.clear()
    slow.gate.clear()
    applier.change(come("i1", online=False))
    await until(slow.moving.is_set)
    applier.change(come("i1"))
    slow.gate.set()
    await applier.settled()
    assert slow.engine.instances("c0") == {"i1"}


async def test_what_is_confirmed_is_the_newest_hint_of_those_that_came_meanwhile(
    applier: PresenceApplier, slow: SlowEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    confirmed: list[int] = []
    monkeypatch.setattr(applier._confirmations, "confirm", lambda arrival: confirmed.append(arrival.number))
    applier.change(come("i1"))
    await applier.settled()
    confirmed.clear()
    slow.moving.clear()
    slow.gate.clear()
    applier.change(come("i2"))
    await until(slow.moving.is_set, "a thread adds the user")
    applier.change(msgspec.structs.replace(come("i2"), number=5))
    slow.gate.set()
    await applier.settled()
    assert confirmed == [5]


async def test_an_instance_dropped_during_the_arrival_stays_dropped(applier: PresenceApplier, slow: SlowEngine) -> None:
    applier.change(come("i1"))
    await applier.settled()
    slow.moving.clear()
    slow.gate.clear()
    applier.change(come("i2"))
    await until(slow.moving.is_set)
    dropping = asyncio.create_task(applier.drop_instance("i2"))
    await asyncio.sleep(0)
    slow.gate.set()
    await dropping
    await applier.settled()
    assert slow.engine.locations("ann") == {"i1"}


@pytest.mark.parametrize("inline", [5, 100])
async def test_a_full_table_refuses_a_user_and_goes_on(
    applier: PresenceApplier, slow: SlowEngine, monkeypatch: pytest.MonkeyPatch, inline: int
) -> None:
    monkeypatch.setattr(module, "INLINE_CHANNELS", inline)
    refused = USERS_REFUSED._value.get()
    slow.full = True
    applier.change(come("i1"))
    await applier.settled()
    assert slow.engine.locations("ann") == frozenset()
    assert USERS_REFUSED._value.get() == refused + 1
    slow.full = False
    applier.change(come("i1"))
    await applier.settled()
    assert slow.engine.locations("ann") == {"i1"}


async def test_who_comes_later_is_not_waited_for(applier: PresenceApplier, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = {"early": asyncio.Event(), "late": asyncio.Event()}

    async def load(user_id: str) -> bytes:
        await loads[user_id].wait()
        return b"c1"

    monkeypatch.setattr(applier._memberships, "packed_channels_of", load)
    applier.change(PresenceChange("early", online=True, instance_id="i1", incarnation="first", number=1))
    settled = asyncio.create_task(applier.settled())
    await asyncio.sleep(0.01)
    applier.change(PresenceChange("late", online=True, instance_id="i1", incarnation="first", number=2))
    await asyncio.sleep(0.01)
    assert not settled.done()
    loads["early"].set()
    await settled
    loads["late"].set()
    await applier.settled()


async def _change_memberships_during_the_move(
    applier: PresenceApplier, slow: SlowEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread has the old list in hand when ann leaves a channel."""
    await until(slow.moving.is_set)
    monkeypatch.setitem(globals(), "CHANNELS", CHANNELS[1:])
    applier.membership_changed("ann")
    slow.gate.set()
    await applier.settled()
    assert slow.engine.channels("ann") == set(CHANNELS)


async def test_a_membership_that_changes_during_the_arrival_is_not_missed(
    applier: PresenceApplier, slow: SlowEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow.lists_are_slow = True
    slow.gate.clear()
    applier.change(come("i1"))
    await _change_memberships_during_the_move(applier, slow, monkeypatch)
    assert slow.engine.instances("c1") == {"i1"}


async def test_a_membership_that_changes_during_a_reload_is_not_missed(
    applier: PresenceApplier, slow: SlowEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    applier.change(come("i1"))
    await applier.settled()
    slow.lists_are_slow = True
    slow.moving.clear()
    slow.gate.clear()
    applier.reload("ann")
    await _change_memberships_during_the_move(applier, slow, monkeypatch)


async def test_a_reload_that_is_asked_for_during_the_arrival_is_made(
    applier: PresenceApplier, slow: SlowEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    applier.change(come("i1"))
    await applier.settled()
    slow.moving.clear()
    slow.gate.clear()
    applier.change(come("i2"))
    await until(slow.moving.is_set)
    monkeypatch.setitem(globals(), "CHANNELS", CHANNELS[1:])
    applier.reload("ann")
    slow.gate.set()
    await applier.settled()
    assert slow.engine.instances("c0") == frozenset()
    assert slow.engine.instances("c1") == {"i1", "i2"}


async def test_an_instance_is_told_again_and_again_that_its_user_is_being_loaded(
    applier: PresenceApplier, store: Store, bus: SilentBus
) -> None:
    store.may_answer.clear()
    applier.change(come("i1"))
    await until(lambda: bus.pending > 2)
    store.may_answer.set()
    await applier.settled()
    told = bus.pending
    await asyncio.sleep(0.05)
    assert bus.pending == told


async def test_a_load_that_fails_is_no_reason_to_wait(applier: PresenceApplier, store: Store, bus: SilentBus) -> None:
    store.fails = True
    applier.change(come("i1"))
    await asyncio.sleep(0.02)
    told = bus.pending
    store.may_answer.clear()  # the next attempt takes long
    await asyncio.sleep(0.2)
    assert bus.pending == told
    store.fails = False
    store.may_answer.set()
    await applier.settled()


async def test_instances_are_told_of_users_who_wait_for_their_turn_too(
    applier: PresenceApplier, store: Store, bus: SilentBus
) -> None:
    store.may_answer.clear()
    users = {f"user-{number}" for number in range(module.CONCURRENT_LOADS + 3)}
    for user in users:
        applier.change(PresenceChange(user, online=True, instance_id="i1", incarnation="first", number=1))
    await until(lambda: bus.told == users, "all are told of")
    store.may_answer.set()
    await applier.settled()


async def test_a_user_whose_list_does_not_come_is_not_told_of_though_others_come(
    applier: PresenceApplier, store: Store, bus: SilentBus
) -> None:
    store.fails = True
    applier.change(come("i1"))
    await until(lambda: "ann" in applier._failed, "it was tried")
    store.fails = False
    store.may_answer.clear()
    applier._store_answers = True  # another user's list has come
    applier.change(PresenceChange("ben", online=True, instance_id="i1", incarnation="first", number=2))
    await until(lambda: "ben" in bus.told)
    assert "ann" not in bus.told
    store.may_answer.set()
    await applier.settled()


async def test_users_who_are_loaded_again_hide_no_arrival(
    applier: PresenceApplier, store: Store, bus: SilentBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_TOLD", 5)
    store.may_answer.clear()
    for number in range(50):
        applier.reload(f"user-{number}")
    applier.change(come("i1"))
    await until(lambda: bus.told == {"ann"})
    store.may_answer.set()
    await applier.settled()


async def test_while_the_store_does_not_answer_nobody_is_told_of(
    applier: PresenceApplier, store: Store, bus: SilentBus
) -> None:
    store.fails = True
    applier.change(come("i1"))
    await until(lambda: "ann" in applier._failed, "it was tried")
    store.may_answer.clear()
    applier.change(PresenceChange("ben", online=True, instance_id="i1", incarnation="first", number=2))
    await asyncio.sleep(0.1)
    assert "ben" not in bus.told
    store.fails = False
    store.may_answer.set()
    await applier.settled()


async def test_a_change_is_expected_where_the_table_has_it_or_will_have_it(
    applier: PresenceApplier, store: Store
) -> None:
    def expected(user: str, instance: str = "i1", *, online: bool = True) -> bool:
        return applier.is_expected(PresenceChange(user, online, instance, "first", 9))

    assert not expected("ann")
    assert expected("ann", online=False)
    store.may_answer.clear()
    applier.change(PresenceChange("ann", online=True, instance_id="i1", incarnation="first", number=1))
    assert expected("ann")
    assert not expected("ann", "i2")
    assert not expected("ann", online=False)
    store.may_answer.set()
    await applier.settled()
    assert expected("ann")
    store.may_answer.clear()
    applier.reload("ann")
    assert expected("ann")
    assert not expected("ann", online=False)
    assert not expected("ann", "i2")
