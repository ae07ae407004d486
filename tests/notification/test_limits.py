"""Presence sets are sent in pages that the bus takes, also while its limit falls."""

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from fanout.workers import PresenceSetPage, PresenceSetRequest, decode_presence_set_page
from services.notification.control import Control
from services.runtime.tasks import Tasks
from tests.support.faulty import FaultyBus
from tests.support.observing import until

USERS = [f"{number:0128}" for number in range(1_000)]


async def ask(bus: FaultyBus, failures: list[BaseException]) -> list[PresenceSetPage]:
    """The pages that a worker gets of an instance with `USERS`."""
    pages: list[PresenceSetPage] = []
    await bus.subscribe("fanout.worker.w1", lambda _, payload: pages.append(decode_presence_set_page(payload)))
    registry, barrier = SimpleNamespace(users=lambda: USERS), SimpleNamespace(announced=0)
    async with Tasks(failures.append) as tasks:
        control = Control(
            "notif-1", "first", bus, cast("Any", registry), cast("Any", barrier), *(cast("Any", None),) * 2, tasks
        )
        await control.listen()
        await bus.publish("instance.control.notif-1", msgspec.json.encode(PresenceSetRequest("w1", "7")))
        await until(lambda: bool(pages), "a page")
        await until(lambda: not tasks._tasks, "all that is sent")
    return pages


async def test_a_presence_set_comes_whole_in_pages_that_the_bus_takes() -> None:
    bus, failures = FaultyBus(), list[BaseException]()
    bus.limit = 16_384
    pages = await ask(bus, failures)
    assert [user for page in pages for user in page.users] == USERS
    assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
    assert not failures


async def test_a_limit_that_falls_between_two_pages_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    bus, failures = FaultyBus(), list[BaseException]()
    bus.limit = 65_536
    publish = bus.publish

    async def then_fall(subject: str, payload: bytes) -> None:
        await publish(subject, payload)
        if subject.startswith("fanout.worker"):
            bus.limit = 16_384

    monkeypatch.setattr(bus, "publish", then_fall)
    pages = await ask(bus, failures)
    assert len(pages) == 1
    assert not pages[0].last
    assert not failures
