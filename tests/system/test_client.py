"""`fanout.client` against the system as it is."""

import itertools
from collections.abc import AsyncIterator

import pytest

from fanout.client import (
    AuthOk,
    ClientSettings,
    Delays,
    DeviceDeregistered,
    DeviceReplaced,
    Disconnected,
    DraftLoad,
    DraftSaved,
    ErrorFrame,
    Event,
    MessageNew,
    ReceiptRead,
    SyncDraft,
    SyncRead,
    Typing,
)
from fanout.ids import new_device_id
from tests.support.clients import Caller
from tests.support.cluster import Service, token
from tests.support.relay import Relay, relaying
from tests.support.watching import Watcher, watching

pytestmark = pytest.mark.system


@pytest.fixture
async def channel(caller: Caller) -> str:
    await caller.create("alice", "general", "bob")
    return "general"


@pytest.fixture
async def phone(up: Service, channel: str) -> AsyncIterator[tuple[Watcher, Relay]]:
    """A device of Alice behind a network that can be cut."""
    async with relaying(up.ws_url) as (relay, url), watching(url, "alice") as watcher:
        await watcher.receives(AuthOk)
        yield watcher, relay


@pytest.fixture
async def desktop(up: Service, channel: str) -> AsyncIterator[Watcher]:
    """Another device of Alice, which asks the gateway where to connect."""
    async with watching(up.url, "alice") as watcher:
        await watcher.receives(AuthOk)
        yield watcher


@pytest.fixture
async def bob(up: Service, channel: str) -> AsyncIterator[Watcher]:
    async with watching(up.url, "bob") as watcher:
        await watcher.receives(AuthOk)
        yield watcher


def drafts(watcher: Watcher) -> list[str]:
    """The drafts of other devices that it was told of."""
    return [sync.draft.text for sync in watcher.of_type(SyncDraft) if sync.draft is not None]


async def test_messages_reads_receipts_and_typing(
    phone: tuple[Watcher, Relay], desktop: Watcher, bob: Watcher, caller: Caller, channel: str
) -> None:
    message_id = await caller.say("bob", channel, "hello")
    for watcher in (phone[0], desktop, bob):
        assert (await watcher.receives(MessageNew)).message.message_id == message_id
    desktop.client.mark_read(channel, message_id)
    desktop.client.message_read(channel, message_id)
    assert (await phone[0].receives(SyncRead)).last_read_id == message_id
    assert (await bob.receives(ReceiptRead)).read_by == ["alice"]
    desktop.client.typing(channel)
    assert (await bob.receives(Typing)).typing
    desktop.client.stop_typing(channel)
    assert not (await bob.receives(Typing, 2)).typing
    unexpected: list[Event] = [*desktop.of_type(SyncRead), *desktop.of_type(ErrorFrame), *phone[0].of_type(Typing)]
    assert unexpected == []


async def test_what_was_read_while_the_network_was_down_is_read_when_it_is_up(
    phone: tuple[Watcher, Relay], desktop: Watcher, caller: Caller, channel: str
) -> None:
    watcher, relay = phone
    message_id = await caller.say("bob", channel, "hello")
    await watcher.receives(MessageNew)
    relay.cut()
    await watcher.receives(Disconnected)
    watcher.client.mark_read(channel, message_id)
    assert desktop.of_type(SyncRead) == []
    relay.is_up = True
    assert (await desktop.receives(SyncRead)).last_read_id == message_id


async def test_a_draft_goes_from_device_to_device(phone: tuple[Watcher, Relay], desktop: Watcher, channel: str) -> None:
    watcher, _ = phone
    for text in ("h", "he", "hello"):
        watcher.client.save_draft(channel, text)
    await desktop.until(lambda: drafts(desktop)[-1:] == ["hello"])
    desktop.client.open_channel(channel)
    loaded = (await desktop.receives(DraftLoad)).draft
    assert loaded is not None
    assert loaded.text == "hello"
    desktop.client.delete_draft(channel)
    assert (await watcher.receives(SyncDraft)).draft is None
    errors = watcher.of_type(ErrorFrame) + desktop.of_type(ErrorFrame)
    assert {error.code for error in errors} <= {"unavailable"}


async def test_a_draft_that_was_edited_offline_replaces_no_newer_one(
    phone: tuple[Watcher, Relay], desktop: Watcher, channel: str
) -> None:
    """Scenario 20: the phone edits without a network, the desktop saves meanwhile, and the phone comes back."""
    watcher, relay = phone
    watcher.client.save_draft(channel, "begun")
    await desktop.receives(SyncDraft)
    relay.cut()
    await watcher.receives(Disconnected)
    watcher.client.save_draft(channel, "begun, and edited offline")
    desktop.client.save_draft(channel, "of the desktop")
    await desktop.receives(DraftSaved)
    relay.is_up = True
    told = (await watcher.receives(SyncDraft)).draft
    assert told is not None
    assert told.text == "of the desktop"
    assert "draft_conflict" in {error.code for error in watcher.of_type(ErrorFrame)}
    watcher.client.save_draft(channel, "of the desktop, and more")
    await desktop.until(lambda: drafts(desktop)[-1:] == ["of the desktop, and more"])


async def test_a_device_that_is_removed_ends_and_does_not_come_back(
    phone: tuple[Watcher, Relay], up: Service, caller: Caller
) -> None:
    """Scenario 11, as the device sees it."""
    watcher, _ = phone
    device_id = watcher.of_type(AuthOk)[0].device_id
    removed = await caller.post("alice", "devices.remove", device_id=device_id)
    assert removed.is_success, removed.text
    await watcher.until(lambda: watcher.ending is not None)
    assert isinstance(watcher.ending, DeviceDeregistered)
    async with watching(up.url, "alice", device_id=device_id) as again:
        await again.until(lambda: again.ending is not None)
        assert isinstance(again.ending, DeviceDeregistered)
        assert again.of_type(AuthOk) == []


async def test_two_programs_with_one_device_id_do_not_replace_each_other_in_turn(up: Service, channel: str) -> None:
    """Scenario 14."""
    device_id = new_device_id()
    async with watching(up.url, "alice", device_id=device_id) as first:
        await first.receives(AuthOk)
        async with watching(up.url, "alice", device_id=device_id) as second:
            await first.until(lambda: first.ending is not None)
            assert isinstance(first.ending, DeviceReplaced)
            await second.receives(AuthOk)
            second.client.ping()
            assert second.ending is None
            assert second.of_type(Disconnected) == []


async def test_a_token_that_expires_is_renewed(up: Service, channel: str) -> None:
    made = itertools.count()

    def tokens() -> str:
        return token("alice", ttl=2 if next(made) == 0 else 3600)

    soon = ClientSettings(delays=Delays(0.0, 0.0))
    async with watching(up.url, "alice", tokens=tokens, settings=soon) as watcher:
        await watcher.receives(AuthOk, 2)
        assert watcher.of_type(Disconnected)[0].code == 4401
    assert next(made) == 2
