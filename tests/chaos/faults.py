"""What strikes a storm: workers and instances die and come, and the NATS server goes and comes back."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from tests.chaos.scenario import Scenario, counted
from tests.chaos.stage import Stage

LOOK_EVERY_S = 0.1
LONGEST_OUTAGE_S = 3.0
LONGEST_ABSENCE_S = 6.0
"""Of an instance that was killed."""


@dataclass
class Struck:
    """How often."""

    kills: int = 0
    adds: int = 0
    instance_kills: int = 0
    restarts: int = 0


class FaultInjector:
    """Strikes a stage at random, in turns: a worker that starts while NATS is away would only refuse to.

    Args:
        scenario: says how often.
        stage: what is struck.
        accepted: how many messages were, so far: by that, restarts are spread over the run.
        say: is told of each blow.
    """

    def __init__(
        self, scenario: Scenario, stage: Stage, accepted: Callable[[], int], say: Callable[[str], None]
    ) -> None:
        self.struck = Struck()
        self._scenario = scenario
        self._stage = stage
        self._accepted = accepted
        self._say = say
        self._chance = random.Random(f"faults {scenario.seed}")
        self._turn = asyncio.Lock()

    async def change_workers(self) -> None:
        """Change workers at random times until cancelled."""
        while True:
            await asyncio.sleep(self._scenario.change_every * self._chance.uniform(0.5, 1.5))
            async with self._turn:
                await self._change()

    async def restart_nats(self) -> None:
        """So often as the scenario says, spread over its messages."""
        async for number in self._spread(self._scenario.nats_restarts):
            async with self._turn:
                await self._restart(crash=number % 2 == 1)

    async def kill_instances(self) -> None:
        """So often as the scenario says, spread over its messages."""
        async for _ in self._spread(self._scenario.instance_kills):
            name = self._chance.choice(list(self._stage.instances))
            await self._stage.kill_instance(name)
            self.struck.instance_kills += 1
            self._say(f"kills {name}")
            await asyncio.sleep(self._chance.uniform(0.0, LONGEST_ABSENCE_S))
            async with self._turn:
                await self._stage.start_instance(name)
            self._say(f"{name} is back")

    async def _spread(self, count: int) -> AsyncIterator[int]:
        """The numbers from 1 on, each when so many messages are accepted that they are spread over all."""
        for number in range(1, count + 1):
            at = self._scenario.messages * (number + self._chance.uniform(-0.2, 0.2)) / (count + 1)
            while self._accepted() < at:  # noqa: ASYNC110 - a figure has no event of its own
                await asyncio.sleep(LOOK_EVERY_S)
            yield number

    async def _change(self) -> None:
        alive = len(self._stage.workers())
        if alive <= 1:
            await self._add()
        elif alive >= self._scenario.most_workers or self._kills_next():
            await self._kill()
        else:
            await self._add()

    def _kills_next(self) -> bool:
        if self.struck.kills == 0 or self.struck.adds == 0:
            return self.struck.kills == 0
        return self._chance.random() < 0.5

    async def _kill(self) -> None:
        worker = self._chance.choice(self._stage.workers())
        await self._stage.kill_worker(worker)
        self.struck.kills += 1
        self._say(f"kills {worker.name}; {self._alive()}")

    async def _add(self) -> None:
        await self._stage.add_worker()
        self.struck.adds += 1
        self._say(f"adds a worker; {self._alive()}")

    def _alive(self) -> str:
        left = len(self._stage.workers())
        return f"{counted(left, 'worker')} {'lives' if left == 1 else 'live'}"

    async def _restart(self, *, crash: bool) -> None:
        nats = self._stage.nats
        await asyncio.to_thread(nats.kill if crash else nats.stop)
        outage = self._chance.uniform(0.0, LONGEST_OUTAGE_S)
        self._say(f"{'kills' if crash else 'stops'} nats-server for {outage:.1f} s")
        await asyncio.sleep(outage / 2)
        if len(self._stage.workers()) > 1 and self._chance.random() < 0.5:
            await self._kill()
        await asyncio.sleep(outage / 2)
        await asyncio.to_thread(nats.start)
        self.struck.restarts += 1
        self._say("nats-server is back")
