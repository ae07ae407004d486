"""Hosts: the simulated processes and servers. Each has callbacks of its own, in order, and clocks of its own."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Coroutine, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar
from weakref import WeakSet

from fanout import ManualClock, machine
from fanout.machine import EngineOptions, Machine

_T = TypeVar("_T")

EPOCH_NS = 1_800_000_000 * 10**9
"""When every simulation begins, by a clock that is right."""


class VirtualMachine(Machine):
    """Clocks that follow the simulation's time, and chance from its seed.

    Args:
        time: the virtual time in seconds.
        random: draws the bytes and the shares.

    Attributes:
        skew_s: seconds by which the wall clock is ahead of the right time. It may be changed while services run.
        has_engines: whether `tick` is to be called before each callback.
    """

    def __init__(self, time: "VirtualTime", random: "Draw") -> None:
        super().__init__()
        self.skew_s = 0.0
        self._time = time
        self._random = random
        self._clock = ManualClock()
        self.has_engines = False

    def wall_ns(self) -> int:
        return EPOCH_NS + int((self._time.now + self.skew_s) * 1e9)

    def monotonic_s(self) -> float:
        return self._time.now

    def precise_s(self) -> float:
        return self._time.now

    def random_bytes(self, count: int) -> bytes:
        return self._random.bytes(count)

    def random_share(self) -> float:
        return self._random.share()

    def engine_options(self) -> EngineOptions:
        self.has_engines = True
        self.tick()
        return {"clock": self._clock, "seed": self._random.below(1 << 32)}

    def tick(self) -> None:
        """Let the clock of the machine's engines follow."""
        self._clock.set(int(self._time.now * 1e9), self.wall_ns())


class VirtualTime:
    """Seconds since the simulation began."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0.0


class Draw:
    """The one source of chance. Everything that it returns follows from the seed and the calls before."""

    def __init__(self, seed: int) -> None:
        import random  # noqa: PLC0415 - here alone; every other module draws from this

        self._random = random.Random(seed)  # noqa: S311 - repeatable, and no secret
        self.share = self._random.random
        self.bytes = self._random.randbytes

    def below(self, count: int) -> int:
        return int(self.share() * count)

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.share()

    def choice(self, items: Sequence[_T]) -> _T:
        return items[self.below(len(items))]

    def sample(self, items: list[_T], count: int) -> list[_T]:
        return self._random.sample(items, min(count, len(items)))

    def happens(self, odds: float) -> bool:
        return self.share() < odds

    def state(self) -> int:
        """A number that differs where two runs have drawn differently."""
        return hash(self._random.getstate()[1])


class Host:
    """A process, or a server, of the simulation.

    Attributes:
        name: for people.
        ready: its callbacks, which run in this order, as those of an event loop of its own would.
        paused: its callbacks wait, as those of a process that was stopped by SIGSTOP.
        dead: its callbacks never run again, as those of a process that was killed.
        context: for what others let this host do.
    """

    def __init__(self, name: str, machine_: VirtualMachine) -> None:
        self.name = name
        self.machine = machine_
        self.ready: deque[asyncio.Handle] = deque()
        self.paused = False
        self.dead = False
        self.tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        self.corpses: list[asyncio.Task[Any]] = []
        """The tasks that it had when it was killed. They must not be collected: that would run their `finally`."""
        self.context = contextvars.Context()
        self.context.run(HOST.set, self)
        self.context.run(machine.set_current, machine_)

    def start(self, work: Coroutine[Any, Any, _T], name: str) -> "asyncio.Task[_T]":
        """Run a coroutine on this host."""
        loop = asyncio.get_running_loop()
        context = self.context.copy()
        return context.run(lambda: loop.create_task(work, name=name))


HOST: ContextVar[Host] = ContextVar("host")
"""The host whose callback runs now."""
