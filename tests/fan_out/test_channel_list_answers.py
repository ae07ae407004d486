"""A worker gives the channels of a user to the instance that has the user, and to no other one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import msgspec
import pytest

from fanout import Engine, TooLarge, packed_ids
from fanout.packed_ids import unpack
from fanout.subjects import channel_lists, instance_control
from fanout.workers import ChannelsPage, ChannelsRequest, decode_control
from services.fan_out import channel_list_answers as module
from services.fan_out.channel_list_answers import ChannelListAnswers
from services.fan_out.metrics import CHANNEL_LISTS_ANSWERED
from services.runtime.tasks import Tasks
from tests.support.faulty import FaultyBus
from tests.support.observing import until

MANY = [f"channel-{number}" for number in range(3_000)]


class Rig:
    """`ChannelListAnswers` over an engine; the instance keeps what it is sent."""

    def __init__(self, tasks: Tasks) -> None:
        self.bus = FaultyBus()
        self.engine = Engine()
        self.pending: set[str] = set()
        self.members_upto = 5
        self.pages: list[ChannelsPage] = []
        rig = cast("Any", self)
        self.is_current = True
        self.answers = ChannelListAnswers("worker-1", self.engine, rig, rig, self.bus, tasks, lambda: self.is_current)

    async def start(self) -> None:
        await self.answers.listen()
        await self.bus.subscribe(instance_control("notif-1"), self._hear)

    def is_pending(self, user_id: str) -> bool:
        """As of `PresenceApplier`."""
        return user_id in self.pending

    async def ask(self, user_id: str = "ann", instance: str = "notif-1") -> list[ChannelsPage]:
        """Ask as the instance does; the pages that come."""
        self.pages.clear()
        request = msgspec.json.encode(ChannelsRequest(instance, user_id, "r1"))
        await self.bus.publish(channel_lists("worker-1"), request)
        await until(lambda: bool(self.pages) and self.pages[-1].last, "the pages come")
        return list(self.pages)

    def _hear(self, _subject: str, payload: bytes) -> None:
        page = decode_control(payload)
        assert isinstance(page, ChannelsPage)
        self.pages.append(page)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    failures: list[BaseException] = []
    async with Tasks(failures.append) as tasks:
        built = Rig(tasks)
        await built.start()
        yield built
    assert not failures


def _answered(answer: str) -> float:
    return float(CHANNEL_LISTS_ANSWERED.labels(answer)._value.get())


async def test_a_list_names_the_channels_and_how_new_it_is(rig: Rig) -> None:
    rig.engine.user_online("ann", "notif-1", ["b", "a"])
    before = _answered("sent")
    (page,) = await rig.ask()
    await until(lambda: _answered("sent") == before + 1)
    assert page == ChannelsPage("r1", 0, last=True, channels=page.channels, members_upto=5)
    assert sorted(unpack(page.packed())) == ["a", "b"]


async def test_a_user_without_channels_has_an_empty_page(rig: Rig) -> None:
    rig.engine.user_online("ann", "notif-1", [])
    (page,) = await rig.ask()
    assert page.known
    assert page.packed() == b""


async def test_a_long_list_comes_in_pages_that_are_cut_between_ids(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_ids, "PIECE_BYTES", 1_000)
    rig.engine.user_online("ann", "notif-1", MANY)
    pages = await rig.ask()
    assert len(pages) > 30
    assert max(len(page.channels) for page in pages) <= 1_000
    assert [page.page for page in pages] == list(range(len(pages)))
    assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
    assert sorted(channel for page in pages for channel in unpack(page.packed())) == sorted(MANY)


async def test_an_id_as_long_as_a_page_is_not_cut(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_ids, "PIECE_BYTES", 130)
    longest = [letter * 128 for letter in "abc"]
    rig.engine.user_online("ann", "notif-1", longest)
    pages = await rig.ask()
    assert sorted(channel for page in pages for channel in unpack(page.packed())) == longest


@pytest.mark.parametrize("channels", [["a"], MANY])
async def test_a_user_who_is_not_there_or_is_being_changed_is_unknown(rig: Rig, channels: list[str]) -> None:
    rig.engine.user_online("ann", "notif-2", channels)
    assert [page.known for page in await rig.ask()] == [False]
    rig.engine.user_online("ann", "notif-1")
    rig.pending.add("ann")
    assert [(page.known, page.channels) for page in await rig.ask()] == [(False, "")]
    assert [page.known for page in await rig.ask("nobody")] == [False]
    rig.pending.clear()
    assert [page.known for page in await rig.ask()][:1] == [True]
    rig.is_current = False
    assert [page.known for page in await rig.ask()] == [False]


async def test_a_change_that_begins_while_the_list_is_read_makes_it_unknown(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def in_a_thread(read: Any, user_id: str) -> bytes:
        rig.pending.add(user_id)
        await asyncio.sleep(0)
        return cast("bytes", read(user_id))

    monkeypatch.setattr(asyncio, "to_thread", in_a_thread)
    rig.engine.user_online("ann", "notif-1", MANY)
    assert [page.known for page in await rig.ask()] == [False]


async def test_a_bus_that_is_away_costs_the_answer_alone(rig: Rig) -> None:
    rig.engine.user_online("ann", "notif-1", ["a"])
    rig.bus.down = True
    failed = _answered("failed")
    rig.answers._hear("", msgspec.json.encode(ChannelsRequest("notif-1", "ann", "r0")))
    await until(lambda: _answered("failed") == failed + 1)
    rig.bus.down = False
    assert [page.packed() for page in await rig.ask()] == [b"a"]


async def test_a_user_who_went_and_came_while_the_list_was_read_is_unknown(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def in_a_thread(read: Any, user_id: str) -> bytes:
        rig.engine.drop_instance("notif-1")
        packed = cast("bytes", read(user_id))
        rig.engine.user_online(user_id, "notif-1")
        await asyncio.sleep(0)
        return packed

    monkeypatch.setattr(asyncio, "to_thread", in_a_thread)
    rig.engine.user_online("ann", "notif-1", MANY)
    assert [page.known for page in await rig.ask()] == [False]


async def test_pages_fit_in_what_the_bus_takes(rig: Rig) -> None:
    rig.bus.limit = 8_192
    rig.engine.user_online("ann", "notif-1", MANY)
    pages = await rig.ask()
    assert sorted(channel for page in pages for channel in unpack(page.packed())) == sorted(MANY)
    rig.bus.outcomes["publish"] = TooLarge("the server takes less than it said")
    failed = _answered("failed")
    rig.answers._hear("", msgspec.json.encode(ChannelsRequest("notif-1", "ann", "r0")))
    await until(lambda: _answered("failed") == failed + 1)


async def test_few_lists_are_sent_at_a_time_and_too_many_requests_get_no_answer(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.engine.user_online("ann", "notif-1", ["a"])
    request = msgspec.json.encode(ChannelsRequest("notif-1", "ann", "r0"))
    rig.bus.blocked, before = True, _answered("none")
    for _ in range(module.MOST_WAITING + 500):
        rig.answers._hear("", request)
    await asyncio.sleep(0.01)
    assert rig.answers._requests.qsize() <= module.MOST_WAITING
    monkeypatch.setattr(module, "ANSWERED_WITHIN_S", 0.0)
    rig.bus.blocked = False
    await until(rig.answers._requests.empty, "nobody waits for the others any more")
    assert len(rig.pages) == module.SENT_AT_ONCE
    assert _answered("none") == before + module.MOST_WAITING + 500 - module.SENT_AT_ONCE
