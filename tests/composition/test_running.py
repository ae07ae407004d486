"""The order in which the services of a process start and stop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

from services.composition.running import Service, ServiceContext, Services, running
from services.runtime.lifecycle import Process
from services.runtime.settings import load_settings


@dataclass(frozen=True)
class NoPorts:
    """Of a service that needs none."""


class World:
    """Services that note what becomes of them."""

    def __init__(self) -> None:
        self.noted: list[str] = []
        self.readiness: list[dict[str, object]] = []

    def service(self, name: str, *, serves_rest: bool = False) -> Service[NoPorts]:
        async def start(context: ServiceContext, _: NoPorts) -> None:
            self.noted.append(f"start {name}")
            await context.enter(self._left(name))
            if not serves_rest:
                self.readiness.append(await self._readyz(context))

        return Service(name=name, help="", ports=NoPorts, start=start, serves_rest=serves_rest)

    @asynccontextmanager
    async def _left(self, name: str) -> AsyncIterator[None]:
        yield
        self.noted.append(f"stop {name}")

    async def _readyz(self, context: ServiceContext) -> dict[str, object]:
        async with httpx.AsyncClient(trust_env=False) as http:
            return dict((await http.get(f"http://{context.settings.listen}/readyz")).json())


@pytest.fixture
def world() -> World:
    return World()


async def run(services: Services, process: Process) -> None:
    async with running(load_settings(), process, services, (), alone=True):
        pass


async def test_the_last_to_start_is_the_first_to_stop(world: World) -> None:
    await run((world.service("one"), world.service("two")), Process())
    assert world.noted == ["start one", "start two", "stop two", "stop one"]


async def test_health_is_served_before_the_first_starts_and_says_that_it_is_starting(world: World) -> None:
    await run((world.service("one"),), Process())
    assert world.readiness == [{"ready": False, "degraded": False, "checks": {"process": "starting"}}]


async def test_one_that_serves_rest_serves_health_itself(world: World) -> None:
    await run((world.service("rest", serves_rest=True),), Process())  # nothing listens for it
    assert world.noted == ["start rest", "stop rest"]
    assert world.readiness == []
