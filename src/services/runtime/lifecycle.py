"""The lifecycle of a process: start, run until a signal or a failure, drain, end in bounded time."""

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
"""Seconds for which another thread may hold the GIL while the event loop waits for it. Python's default of 5 ms is too
long for the loop."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Process:
    """The state that the services of a process share: the signal to stop, and the first failure."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.failure: BaseException | None = None
        self._failed = asyncio.Event()
        self._stop_listeners: list[Callable[[], None]] = []

    def on_stop(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the process is asked to stop, before its services drain."""
        self._stop_listeners.append(listener)

    def stop(self) -> None:
        """Ask the process to drain and to end."""
        if not self.stopping.is_set():
            self.stopping.set()
            for listener in self._stop_listeners:
                listener()

    def fail(self, error: BaseException) -> None:
        """Stop the process, since a part of it has failed. The first failure is kept."""
        self.failure = self.failure or error
        self._failed.set()
        self.stop()

    async def stopped(self, grace_s: float) -> None:
        """Wait until the services should drain: `grace_s` seconds after the request to stop, or at a failure."""
        await self.stopping.wait()
        log.info("draining", grace_s=grace_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._failed.wait()


def spare_the_loop() -> None:
    """Tune the interpreter for short pauses of the event loop. Call this once, after all imports."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()  # imported modules are never garbage, and scanning them stops the loop for 15 ms each time


async def run_until_stopped(
    services: Callable[[Process], AbstractAsyncContextManager[None]], *, drain_timeout_s: float, grace_s: float = 0.0
) -> None:
    """Run services until SIGTERM, SIGINT, or the failure of one.

    Args:
        services: starts them on entering; drains them on leaving, in reverse order.
        drain_timeout_s: seconds after which draining is cancelled. A second signal cancels it at once.
        grace_s: seconds for which the services go on after the signal, for clients that still send them work.

    Raises:
        BaseException: the error of the service that failed, or that did not start.
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
    """Cancel a start that waits for a server, when the process is asked to stop."""
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
            "draining took too long and was cancelled",
            timeout_s=timeout_s,
            waiting=sorted(map(_where, asyncio.all_tasks())),
        )
        running.cancel()
        await asyncio.wait((running,), timeout=1.0)
    if running.done() and not running.cancelled() and (error := running.exception()) is not None:
        raise error


def _where(task: "asyncio.Task[object]") -> str:
    """The name of a task and the functions in which it waits."""
    places = [f"{frame.f_code.co_name}:{frame.f_lineno}" for frame in task.get_stack(limit=3)]
    return f"{task.get_name()} in {' > '.join(places)}"
