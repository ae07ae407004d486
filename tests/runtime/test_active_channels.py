"""Uses of channels are written together, wait for a store that is away, and are bounded."""

from collections.abc import Sequence

import pytest

from fanout.errors import Unavailable
from services.runtime import active_channels
from services.runtime.active_channels import ActiveChannels, noting_active_channels


class Store:
    """Keeps what it was given, unless it is away."""

    def __init__(self) -> None:
        self.used: list[Sequence[tuple[str, str]]] = []
        self.away = False

    async def note_used(self, used: Sequence[tuple[str, str]]) -> None:
        if self.away:
            raise Unavailable("away")
        self.used.append(used)

    async def active_channels(self, _user_id: str) -> list[str]:
        return []


async def test_uses_are_written_once_and_in_the_order_of_the_last_ones() -> None:
    store = Store()
    channels = ActiveChannels(store)
    for channel in ("a", "b", "a", "c"):
        channels.note("alice", channel)
    await channels.write()
    await channels.write()
    assert store.used == [[("alice", "b"), ("alice", "a"), ("alice", "c")]]


async def test_uses_wait_for_a_store_that_is_away() -> None:
    store = Store()
    channels = ActiveChannels(store)
    channels.note("alice", "a")
    store.away = True
    with pytest.raises(Unavailable):
        await channels.write()
    store.away = False
    await channels.write()
    assert store.used == [[("alice", "a")]]


async def test_the_oldest_uses_are_forgotten_above_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(active_channels, "MOST_WAITING", 3)
    store = Store()
    channels = ActiveChannels(store)
    for number in range(5):
        channels.note("alice", f"c{number}")
    await channels.write()
    assert store.used == [[("alice", "c2"), ("alice", "c3"), ("alice", "c4")]]


async def test_what_waits_is_written_at_the_end() -> None:
    store = Store()
    async with noting_active_channels(store, lambda error: pytest.fail(str(error))) as channels:
        channels.note("alice", "a")
    assert store.used == [[("alice", "a")]]


async def test_a_store_that_is_away_does_not_keep_a_process_from_ending() -> None:
    store = Store()
    store.away = True
    async with noting_active_channels(store, lambda error: pytest.fail(str(error))) as channels:
        channels.note("alice", "a")
    assert store.used == []
