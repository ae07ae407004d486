"""Gaps: when they are told, and what they say."""

import asyncio
from collections.abc import Iterator

import pytest

from fanout import machine
from fanout.machine import Machine
from services.runtime.gaps import GAPS, Gaps
from services.runtime.skipping import HANDLERS_FAILED
from tests.support.observing import until


class _Clock(Machine):
    now = 100.0

    def monotonic_s(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Iterator[_Clock]:
    before, clock = machine.current(), _Clock()
    machine.set_current(clock)
    yield clock
    machine.set_current(before)


def test_a_gap_is_told_once_from_its_beginning_to_its_end(clock: _Clock) -> None:
    gaps, told, counted = Gaps(), list[float](), GAPS._value.get()
    gaps.on_gap(told.append)
    gaps.tell()
    assert told == []
    gaps.begin(since=97.0)
    clock.now = 104.0
    gaps.begin()
    gaps.tell()
    gaps.tell()
    assert told == [7.0]
    assert GAPS._value.get() == counted + 1


def test_a_gap_without_a_beginning_begins_now(clock: _Clock) -> None:
    gaps, told = Gaps(), list[float]()
    gaps.on_gap(told.append)
    gaps.begin()
    clock.now += 2
    gaps.tell()
    assert told == [2.0]


def test_a_listener_that_fails_does_not_keep_another_from_being_told() -> None:
    gaps, told, failed = Gaps(), list[float](), HANDLERS_FAILED.labels("gap")._value.get()

    def fail(_seconds: float) -> None:
        raise LookupError("broken")

    gaps.on_gap(fail)
    gaps.on_gap(told.append)
    gaps.begin()
    gaps.tell()
    assert len(told) == 1
    assert HANDLERS_FAILED.labels("gap")._value.get() == failed + 1


async def test_losses_one_after_another_are_one_gap() -> None:
    gaps, told = Gaps(), list[float]()
    gaps.on_gap(told.append)
    for _ in range(3):
        gaps.begin()
        gaps.tell_soon()
        await asyncio.sleep(0)
    await until(lambda: told != [])
    assert len(told) == 1
    assert gaps._timer is None


async def test_what_was_to_be_told_soon_waits_while_nothing_comes() -> None:
    gaps, told, asked = Gaps(), list[float](), list[bool]()
    gaps.on_gap(told.append)
    gaps.begin()

    def away() -> bool:
        asked.append(True)
        return False

    gaps.tell_soon(away)
    await until(lambda: asked != [])
    assert told == []
    gaps.tell()
    assert len(told) == 1


async def test_a_closed_one_tells_nothing_soon() -> None:
    gaps = Gaps()
    gaps.begin()
    gaps.tell_soon()
    timer = gaps._timer
    gaps.close()
    assert timer is not None
    assert timer.cancelled()
