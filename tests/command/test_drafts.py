"""Drafts as the command service keeps them: who may, how long, and who is told."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from fanout.api.drafts import DeleteRequest, LoadRequest, SaveRequest
from fanout.error_codes import DRAFT_CONFLICT, DRAFT_TOO_LONG, NOT_A_MEMBER
from fanout.errors import CallRejected, Unavailable
from fanout.ids import new_device_id
from fanout.ports.drafts import Base, DraftContent
from fanout.ports.memberships import Channel
from services.command.drafts import MAX_TEXT, DraftCommands
from services.runtime.membership_cache import MembershipCache
from services.runtime.user_sync import UserSync
from tests.support.faulty import FaultyBus, FaultyMemberships, FaultyUnread, faulty_memberships, faulty_unread

NOW = datetime(2126, 2, 1, 10, tzinfo=UTC)
AT = "2126-02-01T10:00:00.000Z"
DEVICE = new_device_id()


@dataclass
class World:
    memberships: FaultyMemberships
    store: FaultyUnread
    bus: FaultyBus = field(default_factory=FaultyBus)

    def __post_init__(self) -> None:
        cache = MembershipCache(self.memberships)
        self.drafts = DraftCommands(cache, self.store, UserSync(self.bus), lambda: NOW)

    def told(self) -> list[object]:
        return [json.loads(payload).get("draft") for subject, payload in self.bus.published if subject]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with faulty_memberships() as memberships, faulty_unread() as store:
        document = Channel("general", "general", private=False, created_by="alice", created_at="t")
        await memberships.create(document, ["alice"])
        yield World(memberships, store)


async def test_a_saved_draft_is_stored_with_the_servers_time_and_told(world: World) -> None:
    saved = await world.drafts.save("alice", "general", DraftContent("Hey"), device_id=DEVICE)
    assert (saved.draft.updated_at, saved.draft.device_id) == (AT, DEVICE)
    assert await world.drafts.load("alice", "general") == saved.draft
    ((subject, payload),) = world.bus.published
    assert subject == "user.sync.alice"
    assert json.loads(payload) == {
        "type": "draft_sync",
        "user_id": "alice",
        "channel_id": "general",
        "source_device": DEVICE,
        "updated_at": AT,
        "draft": {"text": "Hey", "reply_to": None, "attachments": [], "updated_at": AT, "device_id": DEVICE},
    }


@pytest.mark.parametrize("content", [None, DraftContent("")])
async def test_no_content_deletes_the_draft_and_is_told(world: World, content: DraftContent | None) -> None:
    await world.drafts.save("alice", "general", DraftContent("Hey"))
    saved = await world.drafts.save("alice", "general", content)
    assert saved.draft.content is None
    assert world.told()[1:] == [None]


async def test_an_empty_text_with_attachments_is_a_draft(world: World) -> None:
    saved = await world.drafts.save("alice", "general", DraftContent("", None, ["file_1"]))
    assert saved.draft.content == DraftContent("", None, ["file_1"])


async def test_a_refused_edit_is_answered_by_the_draft_and_told_to_nobody(world: World) -> None:
    first = await world.drafts.save("alice", "general", DraftContent("Hey"))
    saved = await world.drafts.save("alice", "general", DraftContent("stale"), base=Base(None))
    assert (saved.is_refused, saved.draft) == (True, first.draft)
    assert len(world.bus.published) == 1


async def test_only_members_have_drafts(world: World) -> None:
    for call in (world.drafts.save("bob", "general", DraftContent("Hey")), world.drafts.load("bob", "general")):
        with pytest.raises(CallRejected) as caught:
            await call
        assert caught.value.error_code is NOT_A_MEMBER


async def test_a_draft_has_a_longest_text(world: World) -> None:
    await world.drafts.save("alice", "general", DraftContent("x" * MAX_TEXT))
    with pytest.raises(CallRejected) as caught:
        await world.drafts.save("alice", "general", DraftContent("x" * (MAX_TEXT + 1)))
    assert caught.value.error_code is DRAFT_TOO_LONG


async def test_a_draft_that_nobody_could_be_told_of_is_saved(world: World) -> None:
    world.bus.outcomes["publish"] = Unavailable("away")
    saved = await world.drafts.save("alice", "general", DraftContent("Hey"))
    assert await world.drafts.load("alice", "general") == saved.draft


async def test_rest_saves_reads_and_deletes(world: World) -> None:
    request = SaveRequest(channel_id="general", text="Hey", attachments=["file_1"], device_id=DEVICE)
    answer = await world.drafts.save_draft("alice", request)
    assert (answer.text, answer.attachments, answer.updated_at, answer.device_id) == ("Hey", ["file_1"], AT, DEVICE)
    assert await world.drafts.get_draft("alice", LoadRequest("general")) == answer
    gone = await world.drafts.delete_draft("alice", DeleteRequest(channel_id="general", base_updated_at=AT))
    assert (gone.text, gone.updated_at) == ("", "2126-02-01T10:00:00.001Z")


async def test_rest_answers_a_stale_edit_with_the_draft(world: World) -> None:
    answer = await world.drafts.save_draft("alice", SaveRequest(channel_id="general", text="Hey"))
    for call in (
        world.drafts.save_draft("alice", SaveRequest(channel_id="general", text="stale", base_updated_at=None)),
        world.drafts.delete_draft("alice", DeleteRequest(channel_id="general", base_updated_at=None)),
    ):
        with pytest.raises(CallRejected) as caught:
            await call
        assert (caught.value.error_code, caught.value.more) == (DRAFT_CONFLICT, {"draft": answer})


async def test_what_was_written_before_a_deletion_stays_deleted(world: World) -> None:
    """The text was sent; the save that the client had delayed arrives afterwards."""
    saved = await world.drafts.save("alice", "general", DraftContent("Hey"), device_id=DEVICE, base=Base(None))
    base = Base(saved.draft.updated_at)
    await world.drafts.save("alice", "general", None, device_id=DEVICE, base=base)
    late = await world.drafts.save("alice", "general", DraftContent("Hey you"), device_id=DEVICE, base=base)
    assert late.is_refused
    assert (await world.drafts.load("alice", "general")).content is None


@pytest.mark.parametrize("hours", [-3, 0, 3])
async def test_an_edit_made_offline_does_not_undo_a_later_one_whatever_the_clocks(world: World, hours: int) -> None:
    first = await world.drafts.save("alice", "general", DraftContent("at ten"))
    newer = await world.drafts.save("alice", "general", DraftContent("at five past"))
    world.drafts._now = lambda: NOW.replace(hour=10 + hours)
    offline = await world.drafts.save("alice", "general", DraftContent("offline"), base=Base(first.draft.updated_at))
    assert (offline.is_refused, offline.draft) == (True, newer.draft)
