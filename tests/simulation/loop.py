"""An event loop whose time is virtual, and in which the seed decides which host runs next."""

import asyncio
import heapq
import itertools
import traceback
from asyncio import events
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context
from typing import Any, Final, TypeVar, TypeVarTuple

from tests.simulation.hosts import HOST, Draw, Host, VirtualTime

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

STEP_S: Final = 10e-6
"""Seconds that each callback takes."""
LONGEST_WORK_S: Final = 3e-3
"""Seconds after which the work of a thread is done, at the latest."""


LONGEST_RUN_S: Final = 3_600.0
"""Virtual seconds after which a run is stuck. It would never end, and fill the memory with its history."""


class Stuck(Exception):  # noqa: N818 - what happened, in a word
    """Something waits for what never comes: nothing is left to run, or the run goes on for an hour of virtual time."""


class HostTask(asyncio.Task[Any]):
    """A task that knows its host."""

    host: Host


class SimulationLoop(asyncio.BaseEventLoop):
    """Runs the callbacks of many hosts, one after the other.

    The callbacks of one host run in the order in which they became ready, as asyncio promises. Which host runs next is
    drawn. Timers become ready when no host can run, or when the callbacks before have taken so long. Work for threads
    is done at a drawn moment, whole. There are no sockets.

    Args:
        draw: the chance of the run.

    Attributes:
        on_error: is told of each error that nobody handles, and of its host, unless the host was killed.
    """

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.on_error: Callable[[Host, str], None] = lambda _host, _error: None
        self.virtual = VirtualTime()
        self.steps = 0
        self._draw = draw
        self._runnable: list[Host] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        return self.virtual.now

    def create_task(self, coro: Any, *, name: object = None, context: Context | None = None) -> Any:
        task = HostTask(coro, loop=self, name=name, context=context)  # type: ignore[arg-type]
        task.host = HOST.get() if context is None else context[HOST]
        task.host.tasks.add(task)
        return task

    def call_soon(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = events.Handle(callback, args, self, context)
        self._make_ready(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = events.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*_Ts], _T], *args: *_Ts
    ) -> "asyncio.Future[_T]":
        done: asyncio.Future[_T] = self.create_future()
        self.call_later(self._draw.share() * LONGEST_WORK_S, _work, done, func, args)
        return done

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        host = _host_of(context)
        if host is not None and not host.dead:
            error = context.get("exception")
            self.on_error(host, context["message"] if error is None else _described(error))

    def report_failed_tasks(self, host: Host) -> None:
        """Tell `on_error` of the tasks of a host that failed, of which nobody has asked why."""
        failed = [task for task in host.tasks if task.done() and task._log_traceback]
        errors = [error for task in failed if (error := task.exception()) is not None]
        for said in sorted(map(_described, errors)):
            self.on_error(host, said)

    def kill(self, host: Host) -> None:
        """Run nothing of a host any more: neither a callback nor the end of a task."""
        self._withhold(host)
        host.dead = True
        host.corpses = list(host.tasks)
        host.ready.clear()

    def pause(self, host: Host) -> None:
        """Run nothing of a host until it is resumed. Its timers and what it is sent wait in its queue."""
        self._withhold(host)
        host.paused = True

    def resume(self, host: Host) -> None:
        """Let a host go on, if it is paused."""
        if not host.paused:
            return  # it is runnable already, and must not be so twice
        host.paused = False
        if host.ready and not host.dead:
            self._runnable.append(host)

    def _withhold(self, host: Host) -> None:
        if host in self._runnable:
            self._runnable.remove(host)

    def _make_ready(self, handle: asyncio.Handle) -> None:
        host: Host = handle._context[HOST]  # type: ignore[attr-defined]
        if host.dead:
            return
        if not host.ready and not host.paused:
            self._runnable.append(host)
        host.ready.append(handle)

    def _run_once(self) -> None:
        """Run one callback. `BaseEventLoop.run_forever` calls this until the loop is stopped."""
        virtual, timers = self.virtual, self._timers
        if not self._runnable:
            self._wait_for_a_timer()
        virtual.now += STEP_S
        self.steps += 1
        hosts = self._runnable
        at = int(self._draw.share() * len(hosts)) if len(hosts) > 1 else 0
        host = hosts[at]
        handle = host.ready.popleft()
        if not host.ready:
            hosts[at] = hosts[-1]
            hosts.pop()
        if not handle._cancelled:
            if host.machine.has_engines:
                host.machine.tick()
            handle._run()
        while timers and timers[0][0] <= virtual.now:
            self._ring(heapq.heappop(timers)[2])

    def _wait_for_a_timer(self) -> None:
        while not self._runnable:
            if not self._timers:
                raise Stuck("no callback is ready, and no timer is set")
            when, _, timer = heapq.heappop(self._timers)
            self.virtual.now = max(self.virtual.now, when)
            if self.virtual.now > LONGEST_RUN_S:
                raise Stuck(f"the run has not ended within {LONGEST_RUN_S:g} s")
            self._ring(timer)

    def _ring(self, timer: asyncio.TimerHandle) -> None:
        if not timer._cancelled:
            self._make_ready(timer)

    def _timer_handle_cancelled(self, _handle: asyncio.TimerHandle) -> None:
        """A cancelled timer is dropped when its time comes."""


def _work(done: "asyncio.Future[Any]", func: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        result = func(*args)
    except BaseException as error:  # noqa: BLE001 - raised where the result is awaited
        if not done.cancelled():
            done.set_exception(error)
    else:
        if not done.cancelled():
            done.set_result(result)


def _host_of(context: dict[str, Any]) -> Host | None:
    """The host of an error that nobody handles; None for one that is found after the run."""
    if (handle := context.get("handle")) is not None:
        of_callback: Host = handle._context[HOST]
        return of_callback
    task = context.get("task") or context.get("future")
    return task.host if isinstance(task, HostTask) else HOST.get(None)


def _described(error: BaseException) -> str:
    """An error and the functions that it came through, without what differs from process to process."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{error!r} in {' > '.join(frame.name for frame in frames)}"


def run(loop: SimulationLoop, outside: Host, work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on a host until it ends, as `asyncio.run` does; then forget all that still waits.

    Args:
        loop: of the run; it is closed at the end.
        outside: the host of the coroutine.
        work: the coroutine.
    """
    try:
        return outside.context.copy().run(loop.run_until_complete, work)
    finally:
        loop.close()
