"""The log's end, asked for by many at once, and above which a session holds everything."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fanout import Unavailable, text_frame
from fanout.packed_ids import pack
from services.notification.catch_up.log_end import LogEnd
from services.notification.registry import Registry
from services.notification.session import Session
from tests.support.harness import Client
from tests.support.observing import until
from tests.support.sessions import session_of

FRAME = text_frame(b'{"type":"message.new","text":"' + b"x" * 200_000 + b'"}')


class Rig:
    """A log of which each question for its end is answered when the test says so."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.questions: list[asyncio.Future[int]] = []
        self.end = LogEnd(cast("Any", SimpleNamespace(last_seq=self._last_seq)), self.registry)

    async def _last_seq(self, stream: str) -> int:
        assert stream == "MESSAGES"
        self.questions.append(asyncio.get_running_loop().create_future())
        return await self.questions[-1]

    async def enter(self) -> Session:
        session = session_of("alice")
        self.registry.add(session)
        self.registry.write_queue.catch_up(session)
        await self.registry.subscribe(session, pack(["general"]))
        return session

    async def asked(self, times: int) -> None:
        await until(lambda: len(self.questions) >= times)


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_who_asks_at_the_same_time_shares_a_question(rig: Rig) -> None:
    asking = [asyncio.create_task(rig.end.now()) for _ in range(100)]
    await rig.asked(1)
    late = asyncio.create_task(rig.end.now())
    rig.questions[0].set_result(5)
    assert await asyncio.gather(*asking) == [5] * 100
    await rig.asked(2)
    rig.questions[1].set_result(6)
    assert await late == 6


async def test_a_session_holds_from_before_the_question_is_asked(rig: Rig) -> None:
    session = await rig.enter()
    asking = asyncio.create_task(rig.end.held(session))
    await rig.asked(1)
    rig.registry.deliver("general", text_frame(b'{"type":"message.new"}'), seq=7)
    rig.questions[0].set_result(6)
    assert await asking == 6
    rig.registry.write_queue.open(session, b"")
    rig.registry.write_queue.go_live(session, 6)
    assert len(cast("Client", session.socket).frames) == 1


async def test_a_session_that_cannot_hold_so_much_asks_again(rig: Rig) -> None:
    session = await rig.enter()
    asking = asyncio.create_task(rig.end.held(session))
    await rig.asked(1)
    for seq in (7, 8, 9):
        rig.registry.deliver("general", FRAME, seq=seq)
    assert not rig.registry.write_queue.is_holding(session)
    rig.questions[0].set_result(6)
    await rig.asked(2)
    rig.questions[1].set_result(9)
    assert await asking == 9


async def test_a_log_that_is_away_is_said_to_all(rig: Rig) -> None:
    asking = [asyncio.create_task(rig.end.now()) for _ in range(3)]
    await rig.asked(1)
    rig.questions[0].set_exception(Unavailable("away"))
    for answer in await asyncio.gather(*asking, return_exceptions=True):
        assert isinstance(answer, Unavailable)
