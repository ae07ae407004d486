"""A run: a world is opened, people act and faults strike, every fault is ended, and the promises are checked."""

import asyncio
import gc
import logging
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog

from services.notification.metrics import GAPS_PASSED_OVER
from tests.simulation.checker import check
from tests.simulation.error_counts import ErrorCounts
from tests.simulation.evidence import Broken
from tests.simulation.faults import Striker
from tests.simulation.history import History
from tests.simulation.hosts import Draw
from tests.simulation.last_looks import last_looks
from tests.simulation.loop import SimulationLoop, Stuck, run
from tests.simulation.people import People
from tests.simulation.plan import ACTIVE_S, Plan
from tests.simulation.rest import Found, every_channel, look, undelivered, unrest
from tests.simulation.trace import Trace, tracing
from tests.simulation.world import World

READY_WITHIN_S: Final = 15.0
"""Seconds within which every process is ready at the beginning, if no connection is slow; else `REST_WITHIN_S`."""
REST_WITHIN_S: Final = 60.0
"""Seconds after the last fault within which the tier is at rest."""
DELIVERED_WITHIN_S: Final = 10.0
"""Seconds within which the last messages, posted at rest, are delivered and stored."""
CAUGHT_UP_WITHIN_S: Final = 120
"""Seconds more within which every device has caught up, also one that reads slowly."""
_CLOSINGS: Final = 50


@dataclass
class Outcome:
    """What came of a run."""

    plan: Plan
    history: History
    broken: list[Broken]
    seconds: float
    """Virtual seconds."""
    steps: int
    """Callbacks that ran."""
    digest: str
    """A hash of everything that happened."""
    trace: Trace | None = None
    """What the processes did inside, if the run was traced."""


def simulate(plan: Plan, *, traced: bool = False) -> Outcome:
    """Run a plan to its end.

    Args:
        plan: which one; the same plan always gives the same history.
        traced: whether the outcome has a trace. The run takes longer with one, and is the same.
    """
    with tempfile.TemporaryDirectory() as folder, _quiet():
        outcome = _run(plan, Path(folder), traced=traced)
        # What is left after this is of Python and the modules, and need not be searched again. The world of the run
        # must not be in reach any more: frozen, it would stay for good.
        gc.collect()
        gc.freeze()
    return outcome


def _run(plan: Plan, folder: Path, *, traced: bool) -> Outcome:
    draw = Draw(plan.seed)
    loop = SimulationLoop(draw)
    world = World(loop, draw, plan, folder)
    director, errors, gaps = _Director(world), ErrorCounts(), ErrorCounts([GAPS_PASSED_OVER])
    trace = None
    try:
        with tracing(world) if traced else nullcontext() as trace:
            run(loop, world.outside, director.direct())
    except Stuck as stuck:
        director.broken.append(Broken("rest", f"nothing could run any more: {stuck}"))
    finally:
        for counted in errors.counted():
            world.note("error", process="the tier", error=counted)
        for counted in gaps.counted():
            world.note("passed over", counted=counted)
        world.history.close()
        digest = f"{world.history.digest()}-{draw.state() & 0xFFFFFFFF:08x}"
        _forget(world)
    broken = director.broken + check(plan, world.history, director.found)
    return Outcome(plan, world.history, broken, loop.time(), loop.steps, digest, trace)


class _Director:
    """Lets a run happen."""

    def __init__(self, world: World) -> None:
        self.broken: list[Broken] = []
        self.found: Found | None = None
        self._world = world
        self._people = People(world)
        self._striker = Striker(world)

    async def direct(self) -> None:
        async with AsyncExitStack() as stack:
            await self._world.open(stack)
            if await self._settled("the start", REST_WITHIN_S if self._world.plan.slow else READY_WITHIN_S):
                await self._active()
                await self._end_faults()
                if await self._settled("the last fault", REST_WITHIN_S):
                    await self._last_words()
            self.found = await look(self._world)
            self._world.report_failed_tasks()

    async def _active(self) -> None:
        """Let everything of the plan happen, each at its time."""
        plan, begin = self._world.plan, self._world.loop.time()
        things: list[tuple[float, Any, Any]] = [(action.at, self._people.act, action) for action in plan.actions]
        things += [(fault.at, self._striker.strike, fault) for fault in plan.faults]
        tasks = [asyncio.ensure_future(_at(begin + at, work, what)) for at, work, what in things]
        await asyncio.sleep(ACTIVE_S)
        await asyncio.gather(*tasks)

    async def _end_faults(self) -> None:
        self._world.note("faults ended")
        for process in self._world.processes.values():
            process.start()
        for device in self._people.devices.values():
            device.heal()

    async def _settled(self, since: str, within_s: float) -> bool:
        """Wait until the tier is at rest."""
        until = self._world.loop.time() + within_s
        while problems := await unrest(self._world, self._people):
            if self._world.loop.time() > until:
                said = "; ".join(problems)
                self.broken.append(Broken("rest", f"{within_s:g} s after {since} the tier is not at rest: {said}"))
                return False
            await asyncio.sleep(1.0)
        self._world.note("at rest")
        return True

    async def _last_words(self) -> None:
        """Somebody says something in each channel, which must reach every member."""
        servers = self._world.servers
        for channel in await every_channel(self._world):
            members = await servers.asked("stores", partial(servers.memberships.members_of, channel))
            if members:
                await self._people.post(members[0], channel)
        await asyncio.sleep(DELIVERED_WITHIN_S)
        if self._world.plan.slow:
            await self._delivered()
        await self._caught_up()
        self.broken += await last_looks(self._world, self._people, REST_WITHIN_S)

    async def _delivered(self) -> None:
        """Wait until no instance reads the log before it delivers what it has heard: each reading takes seconds."""
        until = self._world.loop.time() + REST_WITHIN_S
        while late := [what for process in self._world.of_kind("instance") for what in undelivered(process)]:
            if self._world.loop.time() >= until:
                self.broken += [Broken("rest", f"{REST_WITHIN_S:g} s after the last messages {what}") for what in late]
                return
            await asyncio.sleep(1.0)

    async def _caught_up(self) -> None:
        """Wait until no device reads the history any more. Whether it knows all then is for the checker."""
        until = self._world.loop.time() + CAUGHT_UP_WITHIN_S
        while reading := self._reading():
            if self._world.loop.time() >= until:
                self.broken += [
                    Broken("caught up", f"{CAUGHT_UP_WITHIN_S:g} s after the last messages {name} has not caught up")
                    for name in reading
                ]
                return
            await asyncio.sleep(1.0)

    def _reading(self) -> list[str]:
        """The devices that are connected and have not caught up."""
        devices = self._people.devices.values()
        return [device.name for device in devices if device.session is not None and not device.catching_up.is_done]


async def _at(when: float, work: Any, what: Any) -> None:
    await asyncio.sleep(when - asyncio.get_running_loop().time())
    await work(what)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the services log, and what Python says of tasks that were killed."""
    logging.disable(logging.CRITICAL)
    known, hook = structlog.get_config(), sys.unraisablehook
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    sys.unraisablehook = lambda _: None
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        sys.unraisablehook = hook
        structlog.configure(**known)
        logging.disable(logging.NOTSET)


def _forget(world: World) -> None:
    """Close what still waits, so that nothing of a run lives on in the next one."""
    hosts = [world.outside, *world.servers.hosts.values(), *world.hosts]
    for host in hosts:
        for task in [*host.tasks, *host.corpses]:
            _close(task.get_coro())
        host.ready.clear()


def _close(coroutine: Any) -> None:
    # What a process that ends does in `finally` cannot be done here: there is no loop. So it ends step by step.
    for _ in range(_CLOSINGS):
        try:
            coroutine.close()
        except Exception:  # noqa: BLE001, S112 - it was in the middle of something
            continue
        return
