"""Changes of presence are published together, each once."""

from collections.abc import AsyncIterator

import pytest

from fanout.ports.presence import UserPresence
from fanout.presence_changes import PresenceChanged, decode_presence_changed
from services.notification.presence_publisher import PresencePublisher
from services.runtime.tasks import Tasks
from tests.support.faulty import FaultyBus
from tests.support.observing import until


class Rig:
    def __init__(self, tasks: Tasks) -> None:
        self.bus = FaultyBus()
        self.publisher = PresencePublisher(self.bus)
        tasks.start(self.publisher.run(), "publishing")

    def published(self) -> list[tuple[str, PresenceChanged]]:
        return [(subject, decode_presence_changed(payload)) for subject, payload in self.bus.published]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Tasks(lambda _: None) as tasks:
        yield Rig(tasks)


async def test_changes_of_one_turn_are_published_together(rig: Rig) -> None:
    alice = UserPresence("alice", "online", 1)
    bob = UserPresence("bob", "away", 2, "2026-02-01T10:30:00.000Z", "In a meeting", ":calendar:")
    rig.publisher.publish([alice])
    rig.publisher.publish([bob])
    await until(lambda: len(rig.bus.published) == 2, "published")
    assert rig.bus.calls["publish_many"] == 1
    assert rig.published() == [
        ("presence.changed.alice", PresenceChanged.of(alice)),
        ("presence.changed.bob", PresenceChanged.of(bob)),
    ]


async def test_of_a_user_the_newest_change_is_published(rig: Rig) -> None:
    rig.publisher.publish([UserPresence("alice", "online", 2)])
    rig.publisher.publish([UserPresence("alice", "idle", 1), UserPresence("alice", "away", 3)])
    await until(lambda: bool(rig.bus.published), "published")
    assert [change.status for _, change in rig.published()] == ["away"]


async def test_while_the_bus_is_away_changes_are_left_to_the_sweep(rig: Rig) -> None:
    rig.bus.down = True
    rig.publisher.publish([UserPresence("alice", "online", 1)])
    await until(lambda: rig.bus.calls["publish_many"] == 1, "tried")
    rig.bus.down = False
    rig.publisher.publish([UserPresence("bob", "online", 1)])
    await until(lambda: bool(rig.bus.published), "published")
    assert [change.user_id for _, change in rig.published()] == ["bob"]
