"""When a client is cut off that does not read its answer, by a clock that the test moves."""

import asyncio
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from services.runtime.http_protocol import READ_WITHIN_S, STALLED_AFTER_S, BoundedProtocol

STEADILY = 4


class Transport(asyncio.Transport):
    """Holds as many bytes as the test says."""

    unread = 0
    aborted = False

    def get_write_buffer_size(self) -> int:
        return self.unread

    def abort(self) -> None:
        self.aborted = True


class Timer:
    def __init__(self, due: float, call: Any, arguments: tuple[Any, ...]) -> None:
        self.due, self.call, self.arguments = due, call, arguments

    def cancel(self) -> None:
        self.call = lambda *_: None


class Clock:
    """The part of an event loop that the protocol knows."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Any, *arguments: Any) -> Timer:
        self.timers.append(Timer(self.now + delay, call, arguments))
        return self.timers[-1]

    def advance(self, seconds: float) -> None:
        self.now += seconds
        due = [timer for timer in self.timers if timer.due <= self.now]
        self.timers = [timer for timer in self.timers if timer.due > self.now]
        for timer in due:
            timer.call(*timer.arguments)


async def app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError


class World:
    def __init__(self) -> None:
        self.clock, self.transport = Clock(), Transport()
        loop = cast("asyncio.AbstractEventLoop", self.clock)
        self.protocol = BoundedProtocol(
            config=uvicorn.Config(app), server_state=ServerState(), app_state={}, _loop=loop
        )
        self.protocol.connection_made(self.transport)
        self.clock.timers.clear()  # those of a request that does not come are not of interest here

    def waits(self, unread: int) -> None:
        self.transport.unread = unread
        self.protocol.pause_writing()


@pytest.fixture
async def world() -> World:
    return World()


async def test_who_reads_nothing_is_cut_off(world: World) -> None:
    world.waits(1_000_000)
    world.clock.advance(STALLED_AFTER_S - 1)
    assert not world.transport.aborted
    world.clock.advance(1)
    assert world.transport.aborted


async def test_who_reads_something_has_time_until_the_end(world: World) -> None:
    world.waits(1_000_000)
    while world.clock.now + STALLED_AFTER_S < READ_WITHIN_S:
        world.transport.unread -= 1
        world.clock.advance(STALLED_AFTER_S)
        assert not world.transport.aborted
    world.transport.unread -= 1
    world.clock.advance(STALLED_AFTER_S)
    assert world.transport.aborted


async def test_who_stops_in_the_middle_is_cut_off(world: World) -> None:
    world.waits(1_000_000)
    world.transport.unread = 500_000
    world.clock.advance(STALLED_AFTER_S)
    assert not world.transport.aborted
    world.clock.advance(STALLED_AFTER_S)
    assert world.transport.aborted


async def test_who_has_read_it_all_is_left_alone(world: World) -> None:
    world.waits(1_000_000)
    world.transport.unread = 0
    world.clock.advance(STALLED_AFTER_S)
    world.clock.advance(READ_WITHIN_S)
    assert not world.transport.aborted
    assert not world.clock.timers


async def test_the_next_answer_has_the_whole_time_again(world: World) -> None:
    for _ in range(STEADILY):
        world.waits(1_000_000)
        world.clock.advance(STALLED_AFTER_S - 1)
        world.transport.unread = 1_000
        world.protocol.resume_writing()
    assert not world.transport.aborted


async def test_the_rest_that_is_left_unread_counts_too(world: World) -> None:
    world.waits(1_000_000)
    world.transport.unread = 1_000
    world.protocol.resume_writing()
    world.clock.advance(STALLED_AFTER_S)
    assert world.transport.aborted


async def test_nothing_is_watched_after_the_end(world: World) -> None:
    world.waits(1_000_000)
    world.protocol.connection_lost(ConnectionResetError())
    world.clock.advance(READ_WITHIN_S)
    assert not world.transport.aborted
