"""How the backends of a process are opened, watched and closed, whatever the table has."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from fanout.errors import Unavailable
from services.composition.backends import Adapter, Backend, Backends, Found, Open, Table, inspections, needed_rows
from services.runtime.health import Health
from services.runtime.settings import ConfigurationError, load_settings


class Shelf(Protocol):
    name: str


class Drawer(Protocol):
    name: str


@dataclass(frozen=True)
class Needed:
    shelf: Shelf
    drawer: Drawer


class World:
    """Rows whose adapters note what becomes of them."""

    def __init__(self) -> None:
        self.noted: list[str] = []
        self.away: set[str] = set()
        drawer = Backend[Thing](name="drawer", ports=(Drawer,), embedded=self._adapter("box"), rests_on=(Shelf,))
        shelf = Backend[Thing](
            name="shelf",
            ports=(Shelf,),
            embedded=self._adapter("board"),
            remote=self._adapter("warehouse"),
            setting="mongo_url",
            server="a warehouse",
        )
        self.table: Table = (shelf, drawer)

    def _adapter(self, name: str) -> Adapter["Thing"]:
        async def look(_: Backends) -> Found:
            return Found(name)

        return Adapter(description=name, open=self._opens(name), look=look, checks={"weight": look})

    def _opens(self, name: str) -> "Open[Thing]":
        async def open_thing(backends: Backends) -> Thing:
            if name == "box":
                await backends.open(Shelf)
            self.noted.append(f"open {name}")
            return backends.close_at_end(Thing(name, self))

        return open_thing


class Thing:
    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self._world = world

    async def ping(self) -> None:
        if self.name in self._world.away:
            raise Unavailable(self.name)

    async def close(self) -> None:
        self._world.noted.append(f"close {self.name}")


@pytest.fixture
def world() -> World:
    return World()


def backends_of(world: World, stack: AsyncExitStack, health: Health | None = None, *, alone: bool = True) -> Backends:
    settings = load_settings(data_dir=Path("unused"))
    return Backends(world.table, settings, health or Health(), stack, alone=alone)


async def test_each_is_opened_once_and_the_last_is_closed_first(world: World) -> None:
    async with AsyncExitStack() as stack:
        backends = backends_of(world, stack)
        needed = await backends.open_all(Needed)
        assert await backends.open(Drawer) is needed.drawer
        assert needed.shelf.name == "board"
    assert world.noted == ["open board", "open box", "close box", "close board"]


async def test_one_that_a_service_can_do_without_makes_it_degraded(world: World) -> None:
    async with AsyncExitStack() as stack:
        health = Health()
        await backends_of(world, stack, health).open_all(Needed, degraded_without=(Drawer,))
        world.away = {"box"}
        report = await health.report()
        assert (report.ready, report.degraded) == (True, True)
        world.away = {"board"}
        assert not (await health.report()).ready


async def test_the_setting_chooses_the_remote_one(world: World) -> None:
    shelf, drawer = world.table
    settings = load_settings().model_copy(update={"mongo_url": "mongodb://127.0.0.1"})
    assert shelf.adapter(settings, alone=False).description == "warehouse"
    assert drawer.adapter(settings, alone=True).description == "box"


async def test_an_embedded_one_that_works_inside_one_process_is_refused_to_several(world: World) -> None:
    async with AsyncExitStack() as stack:
        backends = backends_of(world, stack, alone=False)
        with pytest.raises(ConfigurationError, match="FANOUT_MONGO_URL: services that run in separate processes need"):
            await backends.open(Shelf)
        lines = inspections(world.table[0])
        with pytest.raises(ConfigurationError, match="a warehouse"):
            await lines["shelf"](backends)
        with pytest.raises(Unavailable, match="without the shelf"):
            await lines["weight"](backends)
    assert world.noted == []


def test_what_a_port_rests_on_is_needed_too(world: World) -> None:
    assert [row.name for row in needed_rows(world.table, [Drawer])] == ["shelf", "drawer"]
    assert [row.name for row in needed_rows(world.table, [Shelf])] == ["shelf"]
