"""Rows become channels and memberships, at once or at a pace."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import cast

import pytest

from fanout.ports.memberships import Channel
from services.adapters.sqlite.memberships import SqliteMemberships
from services.importing import targets
from services.importing.pacing import Pacer
from services.importing.rows import ChannelRow, MembershipRow
from services.importing.targets import AT_ONCE, PACED_AT_ONCE, Channels, MembersOfChannels

NOW = "2026-02-01T10:00:00.000Z"
BEFORE = datetime(2024, 5, 6, 7, 8, 9, 123_456, tzinfo=UTC)


class CountingPacer:
    """Remembers what it was told, and holds nobody back."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []

    async def before(self, rows: int) -> None:
        self.told.append(("before", rows))

    def after(self, began: int) -> None:
        self.told.append(("after", began))

    async def all_published(self) -> None:
        self.told.append(("end", 0))


@pytest.fixture
async def store() -> AsyncIterator[SqliteMemberships]:
    opened = await SqliteMemberships.open(None)
    yield opened
    await opened.close()


async def test_channels_are_created_at_their_time_or_now(store: SqliteMemberships) -> None:
    target = Channels(store.imports, NOW)
    rows = [ChannelRow("a", "A", "alice"), ChannelRow("b", "B", "bob", private=True, created_at=BEFORE)]
    assert await target.refused_channels(rows) == ()
    assert await target.write(rows) == 2
    assert await store.channel("a") == Channel("a", "A", private=False, created_by="alice", created_at=NOW)
    assert await store.channel("b") == Channel(
        "b", "B", private=True, created_by="bob", created_at="2024-05-06T07:08:09.123Z"
    )
    await target.settle()


async def test_memberships_begin_at_their_time_or_now(store: SqliteMemberships) -> None:
    await Channels(store.imports, NOW).write([ChannelRow("a", "A", "alice")])
    target = MembersOfChannels(store.imports, NOW, None)
    assert await target.write([MembershipRow("a", "alice"), MembershipRow("a", "bob", BEFORE)]) == 2
    assert [each.joined_at for each in await store.changed_since(0, limit=10)] == [NOW, "2024-05-06T07:08:09.123Z"]
    assert target.at_once == AT_ONCE


async def test_without_services_memberships_are_published_already(store: SqliteMemberships) -> None:
    await Channels(store.imports, NOW).write([ChannelRow("a", "A", "alice")])
    await MembersOfChannels(store.imports, NOW, None).write([MembershipRow("a", "bob")])
    assert await store.count_unpublished() == 0


async def test_beside_services_memberships_are_unpublished_and_paced(store: SqliteMemberships) -> None:
    await Channels(store.imports, NOW).write([ChannelRow("a", "A", "alice")])
    pacer = CountingPacer()
    target = MembersOfChannels(store.imports, NOW, cast("Pacer", pacer))
    await target.write([MembershipRow("a", "bob"), MembershipRow("a", "carol")])
    await target.write([MembershipRow("a", "bob")])
    await target.settle()
    assert await store.count_unpublished() == 2
    assert pacer.told == [("before", 2), ("after", 2), ("before", 1), ("after", 0), ("end", 0)]
    assert target.at_once == PACED_AT_ONCE


async def test_channels_that_do_not_exist_are_refused(store: SqliteMemberships) -> None:
    await Channels(store.imports, NOW).write([ChannelRow("a", "A", "alice")])
    target = MembersOfChannels(store.imports, NOW, None)
    rows = [MembershipRow("a", "bob"), MembershipRow("nowhere", "bob")]
    assert set(await target.refused_channels(rows)) == {"nowhere"}
    await Channels(store.imports, NOW).write([ChannelRow("nowhere", "N", "alice")])
    assert set(await target.refused_channels(rows)) == set(), "what does not exist may exist later"


async def test_a_channel_that_exists_is_asked_for_once(
    store: SqliteMemberships, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Channels(store.imports, NOW).write([ChannelRow("a", "A", "alice"), ChannelRow("b", "B", "alice")])
    asked: list[set[str]] = []
    missing_channels = store.imports.missing_channels

    async def counted(channel_ids: set[str]) -> set[str]:
        asked.append(channel_ids)
        return await missing_channels(channel_ids)

    monkeypatch.setattr(store.imports, "missing_channels", counted)
    monkeypatch.setattr(targets, "KNOWN_CHANNELS", 1)
    target = MembersOfChannels(store.imports, NOW, None)
    for channel_id in ("a", "a", "b", "b"):
        await target.refused_channels([MembershipRow(channel_id, "bob")])
    assert asked == [{"a"}, {"b"}]
    await target.refused_channels([MembershipRow("c", "bob")])
    await target.refused_channels([MembershipRow("a", "bob")])
    assert asked == [{"a"}, {"b"}, {"c"}, {"a"}], "the memory of channels is bounded"


async def test_channels_are_created_where_an_owner_is_named(store: SqliteMemberships) -> None:
    target = MembersOfChannels(store.imports, NOW, None, owner="alice")
    rows = [MembershipRow("a", "bob"), MembershipRow("a", "carol")]
    assert set(await target.refused_channels(rows)) == set()
    assert await target.write(rows) == 2
    assert await store.channel("a") == Channel("a", "a", private=True, created_by="alice", created_at=NOW)
    assert await store.members_of("a") == ["bob", "carol"]
