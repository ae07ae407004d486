"""Notices between devices reach the user's sockets, but not that of the device that made the change."""

from typing import cast

from fanout.ids import new_device_id
from fanout.ports.drafts import Draft, DraftContent
from fanout.user_sync import DraftSync, ReadSync, UserNotice, encode_user_notice
from services.notification import user_events
from services.notification.registry import Registry
from services.notification.session import Session
from services.notification.user_events import UserEvents
from services.runtime.skipping import MESSAGES_SKIPPED
from tests.support.harness import Client
from tests.support.sessions import session_of

AT, LATER = "2026-02-01T10:00:00.000Z", "2026-02-01T10:00:00.001Z"
MESSAGE = "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV"


class World:
    """A phone and a desktop of alice, and bob, on one instance."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.events = UserEvents(self.registry)
        self.phone, self.desktop, self.bob = (self._enter(user) for user in ("alice", "alice", "bob"))

    def _enter(self, user_id: str) -> Session:
        session = session_of(user_id)
        self.registry.add(session)
        self.registry.write_queue.open(session, b"")
        return session

    def hear(self, notice: UserNotice) -> None:
        self.events.hear("alice", encode_user_notice(notice))

    def received(self, session: Session) -> list[dict[str, object]]:
        self.registry.write_queue.flush(session)
        return cast("Client", session.socket).frames


def read(seq: int, device_id: str = "") -> ReadSync:
    return ReadSync("alice", "general", device_id, MESSAGE, AT, seq)


def draft(at: str, text: str | None, device_id: str = "") -> DraftSync:
    content = None if text is None else DraftContent(text)
    return DraftSync.of("alice", "general", Draft(content, at, device_id), device_id)


async def test_every_device_of_the_user_but_the_source_gets_it() -> None:
    world = World()
    notice = read(7, world.phone.device_id)
    world.hear(notice)
    assert world.received(world.desktop) == [notice.frame()]
    assert world.received(world.phone) == world.received(world.bob) == []


async def test_a_notice_without_a_source_is_for_all_of_them() -> None:
    world = World()
    world.hear(draft(AT, None, new_device_id()))
    for session in (world.phone, world.desktop):
        (frame,) = world.received(session)
        assert (frame["type"], frame["draft"]) == ("sync.draft", None)


async def test_what_is_not_newer_than_what_was_told_is_dropped() -> None:
    world = World()
    for notice in (read(7), read(7), read(6), draft(LATER, "new"), draft(AT, "old"), read(8)):
        world.hear(notice)
    told = [frame["type"] for frame in world.received(world.phone)]
    assert told == ["sync.read", "sync.draft", "sync.read"]


async def test_a_channel_of_another_user_is_another_one() -> None:
    world = World()
    world.hear(read(7))
    world.events.hear("bob", encode_user_notice(ReadSync("bob", "general", "", MESSAGE, AT, 3)))
    assert len(world.received(world.bob)) == 1


async def test_a_notice_of_a_user_who_is_not_here_does_not_count_as_told() -> None:
    world = World()
    notice = ReadSync("eve", "general", "", MESSAGE, AT, 7)
    world.events.hear("eve", encode_user_notice(notice))
    eve = world._enter("eve")
    world.events.hear("eve", encode_user_notice(notice))
    assert world.received(eve) == [notice.frame()]


async def test_the_newest_versions_are_bounded() -> None:
    world = World()
    for number in range(user_events.VERSIONS_KEPT + 10):
        world.events.tell(ReadSync("alice", f"c{number}", world.phone.device_id, MESSAGE, AT, 1))
    assert len(world.events._versions) == user_events.VERSIONS_KEPT


async def test_what_is_no_notice_is_skipped_and_counted() -> None:
    world = World()
    before = MESSAGES_SKIPPED.labels("user_sync")._value.get()
    world.events.hear("alice", b"{}")
    assert world.received(world.phone) == []
    assert MESSAGES_SKIPPED.labels("user_sync")._value.get() == before + 1
