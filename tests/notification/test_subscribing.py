"""A session reads the channels of the store; what changes meanwhile is neither missed nor taken from other sessions."""

from collections.abc import AsyncIterator

import pytest

from services.notification.session import Session
from services.notification.subscribing import subscribe
from tests.support.sessions import session_of
from tests.support.user_routing import Rig, opened_rig


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with opened_rig() as built:
        yield built


async def test_the_other_session_of_a_user_goes_on_reading_what_came_meanwhile(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await rig.enter("bea", confirmed=True)
    second, seen, load = session_of("bea"), list[bool](), rig.memberships.packed_channels_of
    rig.registry.add(second)

    async def loaded_before_the_join(user_id: str) -> bytes:
        found = await load(user_id)
        if not found:
            await rig.change_unheard(user_id)
            rig.inbox.missed_changes(user_id)
            await rig.registry.join(user_id, "general")
        return found

    subscribed = rig.registry.subscribe

    async def watched(session: Session, channels: bytes) -> None:
        await subscribed(session, channels)
        seen.append(rig.registry.is_member("bea", "general"))

    monkeypatch.setattr(rig.memberships, "packed_channels_of", loaded_before_the_join)
    monkeypatch.setattr(rig.registry, "subscribe", watched)
    await subscribe(second, rig.registry, rig.inbox, rig.memberships)
    assert seen == [True]
    assert rig.registry.sessions_of("bea") == [first, second]
