"""A process's life: start, run until a signal or a failure, drain, end in bounded time."""

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import structlog

log = structlog.get_logger(__name__)

SWITCH_INTERVAL_S: Final = 0.001
"""How long a thread may run Python before the event loop, if it waits, gets its turn: 5 ms by default, and the loop may
not stand still so long."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Process:
    """What the parts of a process share: when to stop, and which of them failed."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.failure: BaseException | None = None
        self._failed = asyncio.Event()
        self._told: list[Callable[[], None]] = []

    def on_stop(self, told: Callable[[], None]) -> None:
        """Have `told` called as soon as the process is to stop, before its parts drain."""
        self._told.append(told)

    def stop(self) -> None:
        """Ask the process to drain and end."""
        if not self.stopping.is_set():
            self.stopping.set()
            for told in self._told:
                told()

    def fail(self, error: BaseException) -> None:
        """A part has failed: the process must not live on without it. The first failure is kept."""
        self.failure = self.failure or error
        self._failed.set()
        self.stop()

    async def stopped(self, grace_s: float) -> None:
        """Wait until the parts are to drain: at the stop and `grace_s` more, or at a failure."""
        await self.stopping.wait()
        log.info("draining", grace_s=grace_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._failed.wait()


def spare_the_loop() -> None:
    """Have the interpreter hold up an event loop as little as it can. Call it once, when everything is imported."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()  # to look through what was imported, which is never garbage, holds the loop for 15 ms each time


async def run_until_stopped(
    services: Callable[[Process], AbstractAsyncContextManager[None]], *, drain_timeout_s: float, grace_s: float = 0.0
) -> None:
    """Run services until SIGTERM, SIGINT, or the failure of one.

    Args:
        services: starts them on entering; drains them on leaving, in reverse order.
        drain_timeout_s: after it, draining is cut short by cancelling. A second signal does so at once.
        grace_s: how long the services go on as before after the signal, for those who still send them work.

    Raises:
        BaseException: what made a service fail, or fail to start.
    """
    process = Process()
    running = asyncio.create_task(_run(services, process, grace_s), name="services")
    stopping = asyncio.create_task(process.stopping.wait(), name="stop signal")
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, _on_signal, process, running)
    try:
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        await _drained(running, drain_timeout_s + (0 if process.failure else grace_s))
    finally:
        stopping.cancel()
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
    if process.failure is not None:
        raise process.failure


async def _run(
    services: Callable[[Process], AbstractAsyncContextManager[None]], process: Process, grace_s: float
) -> None:
    starting = asyncio.current_task()
    assert starting is not None  # noqa: S101 - for the type checker: a coroutine runs in a task
    interrupt = asyncio.create_task(_cancel_when_stopped(process, starting), name="interrupting the start")
    try:
        async with services(process):
            interrupt.cancel()
            await process.stopped(grace_s)
    finally:
        interrupt.cancel()


async def _cancel_when_stopped(process: Process, starting: "asyncio.Task[None]") -> None:
    """A start that waits for a server must end when it is asked to."""
    await process.stopping.wait()
    starting.cancel()


def _on_signal(process: Process, running: "asyncio.Task[None]") -> None:
    if process.stopping.is_set():
        running.cancel()
    process.stop()


async def _drained(running: "asyncio.Task[None]", timeout_s: float) -> None:
    done, _ = await asyncio.wait((running,), timeout=timeout_s)
    if not done:
        log.warning(
            "drain took too long, cut short", timeout_s=timeout_s, waiting=sorted(map(_where, asyncio.all_tasks()))
        )
        running.cancel()
        await asyncio.wait((running,), timeout=1.0)
    if running.done() and not running.cancelled() and (error := running.exception()) is not None:
        raise error


def _where(task: "asyncio.Task[object]") -> str:
    """A task and the place where it waits."""
    places = [f"{frame.f_code.co_name}:{frame.f_lineno}" for frame in task.get_stack(limit=3)]
    return f"{task.get_name()} in {' > '.join(places)}"
