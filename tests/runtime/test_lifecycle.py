import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.runtime.lifecycle import SWITCH_INTERVAL_S, Process, run_until_stopped, spare_the_loop
from tests.support.observing import until


class Part:
    """A service that records its life."""

    def __init__(self, *, start_for: float = 0.0, drain_for: float = 0.0) -> None:
        self.events: list[str] = []
        self._start_for = start_for
        self._drain_for = drain_for
        self.process: Process | None = None
        self.started = asyncio.Event()

    @asynccontextmanager
    async def __call__(self, process: Process) -> AsyncIterator[None]:
        self.process = process
        self.events.append("starting")
        try:
            await asyncio.sleep(self._start_for)
            self.started.set()
            self.events.append("started")
            yield
            self.events.append("draining")
            await asyncio.sleep(self._drain_for)
            self.events.append("drained")
        except asyncio.CancelledError:
            self.events.append("cut short")
            raise


async def run(part: Part, *, drain_timeout_s: float = 5) -> None:
    await run_until_stopped(part, drain_timeout_s=drain_timeout_s)


def test_what_was_imported_is_not_looked_through_for_garbage_and_a_waiting_loop_gets_its_turn_soon() -> None:
    before = sys.getswitchinterval()
    try:
        spare_the_loop()
        assert gc.get_freeze_count() > 1_000
        assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)
    finally:
        gc.unfreeze()
        sys.setswitchinterval(before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains(number: signal.Signals) -> None:
    part = Part()
    running = asyncio.create_task(run(part))
    await part.started.wait()
    os.kill(os.getpid(), number)
    await running
    assert part.events == ["starting", "started", "draining", "drained"]


async def test_all_goes_on_for_the_grace_and_is_told_of_the_stop_at_once() -> None:
    part = Part()
    running = asyncio.create_task(run_until_stopped(part, drain_timeout_s=5, grace_s=0.2))
    await part.started.wait()
    assert part.process is not None
    part.process.on_stop(lambda: part.events.append("told"))
    os.kill(os.getpid(), signal.SIGTERM)
    await part.process.stopping.wait()
    assert part.events == ["starting", "started", "told"]
    await running
    assert part.events[-2:] == ["draining", "drained"]


async def test_a_failure_waits_for_no_grace() -> None:
    part = Part()
    running = asyncio.create_task(run_until_stopped(part, drain_timeout_s=5, grace_s=3600))
    await part.started.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    assert part.process is not None
    await part.process.stopping.wait()
    part.process.fail(LookupError("a part"))
    async with asyncio.timeout(30):
        with pytest.raises(LookupError):
            await running
    assert part.events[-1] == "drained"


async def test_a_second_signal_cuts_the_grace_short() -> None:
    part = Part()
    running = asyncio.create_task(run_until_stopped(part, drain_timeout_s=5, grace_s=3600))
    await part.started.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    assert part.process is not None
    await part.process.stopping.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(30):
        await running


async def test_a_drain_that_takes_too_long_is_cut_short() -> None:
    part = Part(drain_for=60)
    running = asyncio.create_task(run(part, drain_timeout_s=0.05))
    await part.started.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    await running
    assert part.events[-1] == "cut short"


async def test_a_second_signal_cuts_the_drain_short() -> None:
    part = Part(drain_for=60)
    running = asyncio.create_task(run(part))
    await part.started.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    await until(lambda: "draining" in part.events)
    os.kill(os.getpid(), signal.SIGTERM)
    await running
    assert part.events[-1] == "cut short"


async def test_a_signal_during_a_long_start_ends_it() -> None:
    part = Part(start_for=60)
    running = asyncio.create_task(run(part))
    await until(lambda: bool(part.events))
    os.kill(os.getpid(), signal.SIGTERM)
    await running
    assert part.events == ["starting", "cut short"]


async def test_the_failure_of_a_part_drains_the_rest_and_is_raised() -> None:
    part = Part()
    running = asyncio.create_task(run(part))
    await part.started.wait()
    assert part.process is not None
    part.process.fail(LookupError("broken"))
    with pytest.raises(LookupError, match="broken"):
        await running
    assert part.events[-1] == "drained"


async def test_a_failed_start_is_raised() -> None:
    @asynccontextmanager
    async def broken(_: Process) -> AsyncIterator[None]:
        raise LookupError("no server")
        yield

    with pytest.raises(LookupError, match="no server"):
        await run_until_stopped(broken, drain_timeout_s=1)
