"""The sweep publishes what the store finds, in parts."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from fanout import Unavailable
from fanout.keys import CONNECTION_TTL_S, UNTOLD_AFTER_S
from fanout.ports.presence import UserPresence
from services.notification import presence_sweep
from services.notification.presence_sweep import PresenceSweep
from tests.support.faulty import FaultyPresence
from tests.support.presence_worlds import AT_LAPTOP, lease_of


class Rig:
    def __init__(self) -> None:
        self.now = 0.0
        self.presence = FaultyPresence(clock=lambda: self.now)
        self.published: list[UserPresence] = []
        self.sweep = PresenceSweep(self.presence, self)  # type: ignore[arg-type]

    def publish(self, changes: Sequence[UserPresence]) -> None:
        self.published += changes

    async def swept(self) -> dict[str, str]:
        self.published.clear()
        await self.sweep.run()
        return {change.user_id: change.status for change in self.published}


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(presence_sweep, "SWEPT_AT_ONCE", 3)
    rig = Rig()
    await rig.presence.lease(lease_of("notif-1"))
    for number in range(8):
        await rig.presence.connect(replace(AT_LAPTOP, user_id=f"user-{number}"))
    return rig


async def test_changes_that_nobody_told_are_published_again(rig: Rig) -> None:
    assert await rig.swept() == {}
    rig.now += UNTOLD_AFTER_S + 0.1
    assert await rig.swept() == {f"user-{number}": "idle" for number in range(8)}
    assert await rig.swept() == {}


async def test_devices_that_ended_unseen_are_published(rig: Rig) -> None:
    rig.now += UNTOLD_AFTER_S + 0.1
    await rig.swept()
    await rig.presence.told(rig.published)
    rig.now += CONNECTION_TTL_S
    assert await rig.swept() == {f"user-{number}": "offline" for number in range(8)}


async def test_a_store_that_is_away_is_asked_next_time(rig: Rig) -> None:
    rig.presence.down = True
    with pytest.raises(Unavailable):
        await rig.sweep.run()
