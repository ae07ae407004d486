"""A table of frames: decoding, the known types and the dispatch follow from what the modules declare."""

import json
from typing import Any, cast

import msgspec
import pytest

from fanout.error_codes import ErrorCode
from services.notification.client_frames.handlers import BadFrame, FrameContext, FrameHandlers, MalformedFrame
from services.notification.client_frames.table import FrameTable
from services.notification.session import Session
from tests.support.sessions import session_of

TOO_POLITE = ErrorCode("too_polite", "bows are not taken here")
CONTEXT = cast("FrameContext", None)

waves, bows = FrameHandlers(), FrameHandlers()
handled: list[tuple[str, msgspec.Struct]] = []


class Wave(msgspec.Struct, frozen=True, tag="wave"):
    times: int


class Bow(msgspec.Struct, frozen=True, tag="bow"):
    pass


@waves.handles(Wave)
async def wave(_context: FrameContext, session: Session, frame: Wave) -> None:
    handled.append((session.user_id, frame))


@bows.handles(Bow)
async def bow(_context: FrameContext, _session: Session, frame: Bow) -> None:
    raise BadFrame.of(frame, TOO_POLITE, "nobody bows here")


@pytest.fixture
def table() -> FrameTable:
    handled.clear()
    return FrameTable((waves, bows))


def raw(frame_type: str, **fields: Any) -> str:
    return json.dumps({"type": frame_type, **fields})


async def test_a_frame_reaches_the_handler_of_its_type(table: FrameTable) -> None:
    await table.handle(CONTEXT, session_of("alice"), raw("wave", times=3))
    assert handled == [("alice", Wave(3))]


async def test_the_error_of_a_handler_names_the_type(table: FrameTable) -> None:
    with pytest.raises(BadFrame) as caught:
        await table.handle(CONTEXT, session_of("alice"), raw("bow"))
    assert (caught.value.code, caught.value.frame_type) == ("too_polite", "bow")


def test_the_known_types_are_those_declared(table: FrameTable) -> None:
    assert table.types == {"wave", "bow"}
    with pytest.raises(BadFrame, match="nod"):
        table.decode(raw("nod"))
    with pytest.raises(BadFrame, match="wave"):
        FrameTable((bows,)).decode(raw("wave", times=1))


async def test_any_frame_counts_as_a_sign_of_life(table: FrameTable) -> None:
    session = session_of("alice")
    session.heard_at = 0.0
    with pytest.raises(MalformedFrame):
        await table.handle(CONTEXT, session, "no json")
    assert session.heard_at > 0.0


def test_two_structs_of_one_type_are_a_mistake_of_the_program() -> None:
    others = FrameHandlers()

    class SecondWave(msgspec.Struct, frozen=True, tag="wave"):
        pass

    @others.handles(SecondWave)
    async def wave_again(_context: FrameContext, _session: Session, _frame: SecondWave) -> None:
        pass

    with pytest.raises(TypeError, match="unique `tag`"):
        FrameTable((waves, others))
