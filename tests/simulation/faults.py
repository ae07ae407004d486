"""Faults: what goes wrong, to which process or server, and how it ends."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from tests.simulation.hosts import VirtualMachine
from tests.simulation.links import SILENCE_S
from tests.simulation.plan import SERVERS, Fault
from tests.simulation.processes import SimulatedProcess
from tests.simulation.world import World

MOST_ACKS: Final = 5
"""Fewer acknowledgements than these are lost with the newest events, beside those of the lost events."""


class Striker:
    """Lets faults strike, and ends them.

    Args:
        world: that they strike.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._network = world.servers.network
        self._faults: dict[str, Callable[[Fault], Awaitable[None]]] = {
            "kill": self._kill,
            "kill without files": self._kill_without_files,
            "remove": self._remove,
            "deploy": self._deploy,
            "stop": self._stop,
            "pause": self._pause,
            "clock jumps": self._clock_jumps,
            "cut": self._cut,
            "stall": self._stall,
            "slow": self._slow,
            "isolate": self._cut,
            "isolate silently": self._stall,
            "away": self._away,
            "stand still": self._stand_still,
            "empty": self._empty,
            "refuse": self._refuse,
            "lose newest": self._lose_newest,
            "another": self._another,
        }

    async def strike(self, fault: Fault) -> None:
        """Let a fault strike, if it finds something to strike; returns when it has ended."""
        if not self._finds_something(fault):
            return  # a note in the history would excuse what goes wrong without it
        about = {"fault": fault.what, "on": fault.on, "to": fault.to}
        self._world.note("fault", **about, seconds=round(fault.seconds, 2))
        await self._faults[fault.what](fault)
        self._world.note("fault ended", **about)

    def _finds_something(self, fault: Fault) -> bool:
        process, server = self._world.processes.get(fault.on), self._world.servers.hosts.get(fault.on)
        match fault.what:
            case "deploy":
                return any(process.is_alive for process in self._world.processes.values())
            case "remove":
                return self._world.can_remove(fault.on)
            case "kill" | "kill without files" | "stop":
                return process is not None and process.is_alive
            case "pause":
                return process is not None and process.is_alive and not process.host.paused
            case "away" | "empty" | "stand still":
                return server is not None and not server.paused
        return process is not None or server is not None

    async def _kill(self, fault: Fault) -> None:
        process = self._world.processes[fault.on]
        process.kill()
        await asyncio.sleep(fault.seconds)
        process.start()

    async def _kill_without_files(self, fault: Fault) -> None:
        """The process comes back on another machine."""
        self._world.processes[fault.on].lose_files()
        await self._kill(fault)

    async def _remove(self, fault: Fault) -> None:
        """The machine is lost, and nothing comes in its place."""
        self._world.remove(fault.on)
        await asyncio.sleep(0)

    async def _deploy(self, fault: Fault) -> None:
        """Every process is asked to stop, and is started again."""
        processes = list(self._world.processes.values())
        for process in processes:
            process.stop()
        await asyncio.sleep(fault.seconds)
        for process in processes:
            process.start()

    async def _stop(self, fault: Fault) -> None:
        process = self._world.processes[fault.on]
        process.stop()
        await asyncio.sleep(fault.seconds)
        process.start()

    async def _pause(self, fault: Fault) -> None:
        host = self._world.processes[fault.on].host
        self._world.loop.pause(host)
        await asyncio.sleep(fault.seconds)
        self._world.loop.resume(host)

    async def _clock_jumps(self, fault: Fault) -> None:
        clock: SimulatedProcess | VirtualMachine = (
            self._world.servers.hosts[fault.on].machine
            if fault.on in self._world.servers.hosts
            else self._world.processes[fault.on]
        )
        clock.skew_s += fault.amount
        await asyncio.sleep(fault.seconds)
        clock.skew_s -= fault.amount

    async def _cut(self, fault: Fault) -> None:
        await self._cut_for(fault, fault.seconds)

    async def _stall(self, fault: Fault) -> None:
        for server in _ends(fault):
            self._network.stall(server, fault.on)
        await asyncio.sleep(min(fault.seconds, SILENCE_S))
        if fault.seconds > SILENCE_S:  # by then the client has broken the connection off
            await self._cut_for(fault, fault.seconds - SILENCE_S)
        for server in _ends(fault):
            self._network.flow(server, fault.on)

    async def _slow(self, fault: Fault) -> None:
        self._network.slow_down(fault.to, fault.on)
        await asyncio.sleep(fault.seconds)
        self._network.speed_up(fault.to, fault.on)

    async def _away(self, fault: Fault) -> None:
        """The server is killed and started again. What it holds on a disk is there again."""
        self._world.servers.down(fault.on)
        await asyncio.sleep(fault.seconds)
        self._world.servers.up(fault.on)

    async def _empty(self, fault: Fault) -> None:
        """Redis is killed, and comes back without its keys."""
        self._world.servers.down(fault.on)
        await asyncio.sleep(fault.seconds)
        self._world.servers.empty_redis()
        self._world.servers.up(fault.on)

    async def _stand_still(self, fault: Fault) -> None:
        host = self._world.servers.hosts[fault.on]
        self._world.loop.pause(host)
        await asyncio.sleep(min(fault.seconds, SILENCE_S))
        if fault.seconds > SILENCE_S:
            self._network.cut(fault.on)
            await asyncio.sleep(fault.seconds - SILENCE_S)
            self._network.repair(fault.on)
        self._world.loop.resume(host)

    async def _refuse(self, fault: Fault) -> None:
        full = self._world.servers.full
        full[fault.on] += 1
        await asyncio.sleep(fault.seconds)
        full[fault.on] -= 1

    async def _lose_newest(self, fault: Fault) -> None:
        """NATS loses power, and comes back without what its disk had not taken."""
        log = self._world.servers.log
        acks = self._world.draw.below(MOST_ACKS)
        await self._away_to_lose(fault, partial(log.lose_newest, fault.to, fault.amount, acks))

    async def _another(self, fault: Fault) -> None:
        """NATS comes back with another stream in the place of one, which is empty."""
        await self._away_to_lose(fault, partial(self._world.servers.log.become_another, fault.to))

    async def _away_to_lose(self, fault: Fault, lose: Callable[[], Awaitable[int]]) -> None:
        self._network.cut("nats")
        await asyncio.sleep(fault.seconds)
        lost = await self._world.servers.asked("nats", lose)
        self._world.note("lost", stream=fault.to, events=lost)
        self._network.repair("nats")

    async def _cut_for(self, fault: Fault, seconds: float) -> None:
        for server in _ends(fault):
            self._network.cut(server, fault.on)
        await asyncio.sleep(seconds)
        for server in _ends(fault):
            self._network.repair(server, fault.on)


def _ends(fault: Fault) -> Sequence[str]:
    """The servers to which a fault strikes the connections of a process: one, or all where it names none."""
    return (fault.to,) if fault.to else SERVERS
