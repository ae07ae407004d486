"""Users of very many channels come, go and change without holding the event loop, and in the order of the calls."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import pytest

from fanout import Engine
from fanout.packed_ids import pack
from fanout.ports.authenticator import Identity
from services.notification import subscriptions as module
from services.notification.session import Session
from services.notification.subscriptions import Subscriptions
from tests.support.harness import Client
from tests.support.observing import until

FEW = ["general", "random"]
MANY = [f"channel-{number}" for number in range(20)]


class Gate:
    """An engine whose changes by threads wait at a gate, and that knows which thread made each."""

    def __init__(self) -> None:
        self.engine = Engine(cache_users=1)
        self.open = threading.Event()
        self.open.set()
        self.done: list[tuple[str, str, bool]] = []
        """What, for whom, and whether the event loop's own thread did it."""

    def __getattr__(self, name: str) -> Callable[..., object]:
        method: Callable[..., object] = getattr(self.engine, name)
        if name not in {"user_online", "drop_instance", "join", "leave", "forget"}:
            return method

        def change(who: str, *arguments: object) -> object:
            here = threading.current_thread() is threading.main_thread()
            assert here or self.open.wait(30)
            answer = method(who, *arguments)
            self.done.append((name, who, here))
            return answer

        return change

    @contextmanager
    def closed(self) -> Iterator[None]:
        self.open.clear()
        try:
            yield
        finally:
            self.open.set()


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INLINE_CHANNELS", 10)


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture
def table(gate: Gate) -> Subscriptions:
    return Subscriptions(gate)  # type: ignore[arg-type]  # it is one, but for the gate


def _session(user_id: str) -> Session:
    return Session(Client(user_id), Identity(user_id, expires_at=1e12), "phone", "notif-1", budget=1_000)


async def test_short_lists_are_changed_at_once(table: Subscriptions, gate: Gate) -> None:
    ann = _session("ann")
    await table.subscribe(ann, pack(FEW))
    await table.join("ann", "third")
    await table.leave("ann", "general")
    assert gate.engine.channels("ann") == {"random", "third"}
    await table.drop(ann, last=True)
    assert not table.is_member("ann", "random")
    assert {here for _, _, here in gate.done} == {True}


@pytest.mark.parametrize("step", ["comes", "goes", "goes as one of two"])
async def test_the_loop_goes_on_while_a_user_of_many_channels(table: Subscriptions, gate: Gate, step: str) -> None:
    ann, other = _session("ann"), _session("ann")
    if step != "comes":
        await table.subscribe(ann, pack(MANY))
    if step == "goes as one of two":
        await table.subscribe(other, pack(MANY))
    with gate.closed():
        change = table.subscribe(ann, pack(MANY)) if step == "comes" else table.drop(ann, last=step == "goes")
        moving = asyncio.create_task(change)
        await table.subscribe(_session("bob"), pack(FEW))
        assert table.is_member("bob", "general")
        assert not moving.done()
    await moving
    assert table.is_member("ann", MANY[0]) == (step != "goes")


async def test_whatever_changes_a_user_who_is_being_moved_waits_without_the_loop(
    table: Subscriptions, gate: Gate
) -> None:
    ann = _session("ann")
    with gate.closed():
        changes = [
            asyncio.create_task(change)
            for change in (
                table.subscribe(ann, pack(MANY)),
                table.join("ann", "new"),
                table.leave("ann", MANY[0]),
                table.leave("ann", "new"),
            )
        ]
        await asyncio.sleep(0.01)
        assert not any(change.done() for change in changes)
    await asyncio.gather(*changes)
    assert gate.engine.channels("ann") == set(MANY[1:])
    assert [what for what, _, _ in gate.done] == ["user_online", "join", "leave", "leave"]
    assert {here for _, _, here in gate.done} == {False}


async def test_a_session_that_goes_while_it_comes_leaves_nothing_behind(table: Subscriptions, gate: Gate) -> None:
    ann = _session("ann")
    with gate.closed():
        coming = asyncio.create_task(table.subscribe(ann, pack(MANY)))
        await asyncio.sleep(0)
        coming.cancel()
        going = asyncio.create_task(table.drop(ann, last=True))
        await asyncio.wait([coming])
        assert not going.done()
    await going
    assert gate.engine.stats()["channels"] == 0
    assert gate.engine.occupied_instances() == set()


async def test_a_change_that_fails_does_not_stop_the_next(table: Subscriptions, gate: Gate) -> None:
    ann = _session("ann")
    with pytest.raises(ValueError, match="channel"):
        await table.subscribe(ann, pack(MANY) + b" no-id.")
    await table.subscribe(ann, pack(MANY))
    await table.drop(ann, last=True)
    await until(lambda: not table._moving)
    assert gate.engine.stats()["channels"] == 0
