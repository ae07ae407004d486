"""An instance asks a worker for the channels of a user, and does without where it gets no whole answer."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from fanout.ports.log import Reset
from fanout.subjects import WORKERS, channel_lists
from fanout.workers import ChannelsPage, ChannelsRequest, WorkerNotice, decode_channels_request
from services.notification import channel_lists as module
from services.notification.channel_lists import NOT_ASKED_S, SILENT_FOR_S, ChannelLists
from services.notification.routing_barrier import RoutingBarrier
from tests.support.faulty import FaultyBus

Answer = Callable[[ChannelsRequest], list[ChannelsPage]]


def page(request: ChannelsRequest, number: int, channels: str, *, last: bool, known: bool = True) -> ChannelsPage:
    return ChannelsPage(request.request, number, last, channels, 7 + number, known)


class Rig:
    """`ChannelLists`, and one worker that answers as the test says."""

    def __init__(self) -> None:
        self.now = 100.0
        self.bus = FaultyBus()
        self.barrier = RoutingBarrier("notif-1", "first", self.bus, clock=lambda: self.now)
        self.lists = ChannelLists("notif-1", self.bus, self.barrier, clock=lambda: self.now)
        self.asked: list[ChannelsRequest] = []
        self.answer: Answer = lambda request: [page(request, 0, "a b", last=True)]

    async def start(self) -> "Rig":
        listening = asyncio.create_task(self.barrier.listen())
        await asyncio.sleep(0)
        await self.hear_worker()
        await listening
        await self.bus.subscribe(channel_lists("worker-1"), self._hear)
        return self

    async def ask(self, members_upto: int = 0) -> bytes | None:
        return await self.lists.ask("ann", members_upto=members_upto)

    async def hear_worker(self, worker: str = "worker-1") -> None:
        """A worker shows that it is alive."""
        await self.bus.publish(WORKERS, msgspec.json.encode(WorkerNotice(worker, ready=True, partitions={})))
        await asyncio.sleep(0)

    def _hear(self, _subject: str, payload: bytes) -> None:
        self.asked.append(decode_channels_request(payload))
        for each in self.answer(self.asked[-1]):
            self.lists.hear(each)


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(module, "ANSWERED_WITHIN_S", 0.05)
    monkeypatch.setattr(module, "COMPLETE_WITHIN_S", 0.1)
    return await Rig().start()


async def test_the_pages_are_one_list(rig: Rig) -> None:
    rig.answer = lambda request: [page(request, 0, "a b", last=False), page(request, 1, "c", last=True)]
    assert await rig.ask(members_upto=8) == b"a b c"
    assert [(request.instance, request.user_id) for request in rig.asked] == [("notif-1", "ann")]


async def test_a_user_without_channels_has_an_empty_list(rig: Rig) -> None:
    rig.answer = lambda request: [page(request, 0, "", last=True)]
    assert await rig.ask() == b""


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda _: [], id="no answer"),
        pytest.param(lambda request: [page(request, 0, "", last=True, known=False)], id="unknown there"),
        pytest.param(lambda request: [page(request, 0, "a", last=False)], id="the end is lost"),
        pytest.param(lambda request: [page(request, 1, "b", last=True)], id="the beginning is lost"),
        pytest.param(
            lambda request: [page(request, 0, "a", last=False), page(request, 2, "c", last=True)], id="one is lost"
        ),
        pytest.param(lambda request: [page(request, 0, "a  b", last=True)], id="not ids"),
        pytest.param(lambda request: [page(request, 0, "a b.c", last=True)], id="not an id"),
    ],
)
async def test_an_answer_that_is_not_whole_is_none(rig: Rig, answer: Answer) -> None:
    rig.answer = answer
    assert await rig.ask() is None


async def test_pages_of_another_request_are_not_taken(rig: Rig) -> None:
    older = ChannelsRequest("notif-1", "ann", "older")
    rig.answer = lambda request: [page(older, 0, "x", last=True), page(request, 0, "a", last=True)]
    assert await rig.ask() == b"a"


async def test_a_worker_that_does_not_answer_is_not_asked_again_at_once(rig: Rig) -> None:
    usual, rig.answer = rig.answer, lambda _: []
    for _ in range(2):
        assert await rig.ask() is None
    assert len(rig.asked) == 1
    rig.answer = usual
    rig.now += SILENT_FOR_S + 0.1
    await rig.hear_worker()
    assert await rig.ask() is not None


async def test_of_several_workers_one_that_answered_last_time_is_asked(rig: Rig) -> None:
    asked: list[bytes] = []
    await rig.hear_worker("worker-0")
    await rig.bus.subscribe(channel_lists("worker-0"), lambda _, payload: asked.append(payload))
    for _ in range(40):
        await rig.ask()
    assert (len(asked), len(rig.asked)) in {(0, 40), (1, 39)}
    rig.answer = lambda _: []
    for _ in range(40):
        assert await rig.ask() is None
    assert len(asked) <= 1
    assert len(rig.asked) <= 41


async def test_a_list_that_comes_too_slowly_is_not_waited_for(rig: Rig) -> None:
    def drip(request: ChannelsRequest) -> list[ChannelsPage]:
        for number in range(20):
            is_last = number == 19
            asyncio.get_running_loop().call_later(
                0.02 * number, rig.lists.hear, page(request, number, "a", last=is_last)
            )
        return []

    rig.answer = drip
    assert await rig.ask() is None
    assert await rig.ask() is None
    assert len(rig.asked) == 2, "its list is long, and others may be short"


async def test_a_list_that_lacks_what_every_worker_has_applied_is_not_taken(rig: Rig) -> None:
    assert await rig.ask(members_upto=7) == b"a b"
    assert await rig.ask(members_upto=8) is None


async def test_where_no_worker_is_heard_none_is_asked(rig: Rig) -> None:
    rig.now += 10.0
    assert await rig.ask() is None
    assert not rig.asked


async def test_without_the_bus_no_list_comes(rig: Rig) -> None:
    rig.bus.down = True
    assert await rig.ask() is None


async def test_after_a_loss_of_membership_changes_no_worker_is_asked_for_a_minute(rig: Rig) -> None:
    rig.lists.hear_reset(Reset("MESSAGES", 0))
    assert await rig.ask() is not None
    rig.lists.hear_reset(Reset("META", 0))
    assert await rig.ask() is None
    assert len(rig.asked) == 1
    rig.now += NOT_ASKED_S + 1.0
    await rig.hear_worker()
    assert await rig.ask() is not None


async def test_a_list_that_is_under_way_when_changes_are_lost_is_not_taken(rig: Rig) -> None:
    usual = rig.answer

    def lose(request: ChannelsRequest) -> list[ChannelsPage]:
        rig.lists.hear_reset(Reset("META", 0))
        return usual(request)

    rig.answer = lose
    assert await rig.ask() is None
