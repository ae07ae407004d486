"""Faults: what goes wrong, to which process or server, and how it ends."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from tests.simulation.hosts import VirtualMachine
from tests.simulation.links import SILENCE_S, Link
from tests.simulation.plan import Fault
from tests.simulation.processes import SimulatedProcess
from tests.simulation.world import World

SLOWNESS_S: Final = 0.4
"""Seconds that each way takes longer over a slow link."""
MOST_ACKS: Final = 5
"""Fewer acknowledgements than these are lost with the newest events, beside those of the lost events."""


class Striker:
    """Lets faults strike, and ends them.

    Args:
        world: that they strike.
    """

    def __init__(self, world: World) -> None:
        self._world = world
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
            "away": self._away,
            "stand still": self._stand_still,
            "empty": self._empty,
            "refuse": self._refuse,
            "lose newest": self._lose_newest,
            "another": self._another,
        }

    async def strike(self, fault: Fault) -> None:
        """Let a fault strike; returns when it has ended."""
        if fault.on and fault.on not in self._world.processes and fault.on not in self._world.servers.hosts:
            return  # it was removed
        about = {"fault": fault.what, "on": fault.on, "to": fault.to}
        self._world.note("fault", **about, seconds=round(fault.seconds, 2))
        await self._faults[fault.what](fault)
        self._world.note("fault ended", **about)

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
        if host.dead or host.paused:
            return
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
        links = self._world.servers.links_of(fault.to, fault.on)
        await self._cut_for(links, fault.seconds)

    async def _stall(self, fault: Fault) -> None:
        links = self._world.servers.links_of(fault.to, fault.on)
        for link in links:
            link.stall()
        await asyncio.sleep(min(fault.seconds, SILENCE_S))
        if fault.seconds > SILENCE_S:  # by then the client has broken the connection off
            await self._cut_for(links, fault.seconds - SILENCE_S)
        for link in links:
            link.flow()

    async def _slow(self, fault: Fault) -> None:
        links = self._world.servers.links_of(fault.to, fault.on)
        for link in links:
            link.slowness += SLOWNESS_S
        await asyncio.sleep(fault.seconds)
        for link in links:
            link.slowness -= SLOWNESS_S

    async def _away(self, fault: Fault) -> None:
        """The server is killed and started again. What it holds on a disk is there again."""
        if self._world.servers.down(fault.on):
            await asyncio.sleep(fault.seconds)
            self._world.servers.up(fault.on)

    async def _empty(self, fault: Fault) -> None:
        """Redis is killed, and comes back without its keys."""
        if self._world.servers.down(fault.on):
            await asyncio.sleep(fault.seconds)
            self._world.servers.empty_redis()
            self._world.servers.up(fault.on)

    async def _stand_still(self, fault: Fault) -> None:
        host = self._world.servers.hosts[fault.on]
        if host.paused:
            return
        self._world.loop.pause(host)
        await asyncio.sleep(min(fault.seconds, SILENCE_S))
        if fault.seconds > SILENCE_S:
            self._world.servers.cut_off(fault.on)
            await asyncio.sleep(fault.seconds - SILENCE_S)
            self._world.servers.reconnect(fault.on)
        self._world.loop.resume(host)

    async def _refuse(self, fault: Fault) -> None:
        full = self._world.servers.full
        full.add(fault.on)
        await asyncio.sleep(fault.seconds)
        full.discard(fault.on)

    async def _lose_newest(self, fault: Fault) -> None:
        """NATS loses power, and comes back without what its disk had not taken."""
        log = self._world.servers.log
        acks = self._world.draw.below(MOST_ACKS)
        await self._away_to_lose(fault, partial(log.lose_newest, fault.to, fault.amount, acks))

    async def _another(self, fault: Fault) -> None:
        """NATS comes back with another stream in the place of one, which is empty."""
        await self._away_to_lose(fault, partial(self._world.servers.log.become_another, fault.to))

    async def _away_to_lose(self, fault: Fault, lose: Callable[[], Awaitable[int]]) -> None:
        servers = self._world.servers
        servers.cut_off("nats")
        await asyncio.sleep(fault.seconds)
        lost = await servers.asked("nats", lose)
        self._world.note("lost", stream=fault.to, events=lost)
        servers.reconnect("nats")

    async def _cut_for(self, links: list[Link], seconds: float) -> None:
        for link in links:
            link.cut()
        await asyncio.sleep(seconds)
        for link in links:
            link.repair()
