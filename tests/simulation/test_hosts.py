import asyncio
import re
from pathlib import Path

import pytest

from fanout import Engine, machine
from tests.simulation.hosts import EPOCH_NS, HOST, Draw, Host, VirtualMachine, VirtualTime
from tests.support.simulated import Stage

FOLDER = Path(__file__).parent
MODULES = [file for file in FOLDER.glob("*.py") if not file.name.startswith("test_")]


def everything(draw: Draw) -> list[object]:
    items = list("abcdef")
    return [
        draw.share(),
        draw.bytes(8),
        draw.below(1_000),
        draw.between(2.0, 3.0),
        draw.choice(items),
        draw.sample(items, 3),
        draw.happens(0.5),
        draw.state(),
    ]


def test_what_is_drawn_follows_from_the_seed() -> None:
    assert everything(Draw(7)) == everything(Draw(7))
    assert everything(Draw(7)) != everything(Draw(8))


def test_what_is_drawn_lies_where_it_is_to() -> None:
    draw = Draw(1)
    assert {draw.below(3) for _ in range(100)} == {0, 1, 2}
    assert all(2.0 <= draw.between(2.0, 3.0) < 3.0 for _ in range(100))
    assert {draw.choice("ab") for _ in range(50)} == {"a", "b"}
    assert sorted(draw.sample([1, 2, 3], 9)) == [1, 2, 3]
    assert not any(draw.happens(0.0) for _ in range(50))
    assert all(draw.happens(1.0) for _ in range(50))
    assert 350 < sum(draw.happens(0.4) for _ in range(1_000)) < 450


def test_the_state_tells_whether_as_much_was_drawn() -> None:
    one, other = Draw(1), Draw(1)
    assert one.state() == other.state()
    one.share()
    assert one.state() != other.state()


@pytest.mark.parametrize("module", MODULES, ids=lambda file: file.name)
def test_chance_and_time_come_from_the_simulation(module: Path) -> None:
    taken = set(re.findall(r"\b(?:import|from) (random|secrets|time|datetime|uuid)\b", module.read_text()))
    allowed = {"hosts.py": {"random"}, "__main__.py": {"time"}}
    assert taken <= allowed.get(module.name, set())


def test_the_clocks_of_a_host_follow_the_virtual_time_and_its_skew() -> None:
    time = VirtualTime()
    own = VirtualMachine(time, Draw(1))
    assert (own.wall_ns(), own.monotonic_s(), own.precise_s()) == (EPOCH_NS, 0.0, 0.0)
    time.now, own.skew_s = 10.0, -0.5
    assert own.wall_ns() == EPOCH_NS + 9_500_000_000
    assert (own.monotonic_s(), own.precise_s()) == (10.0, 10.0)


def test_the_chance_of_a_host_follows_from_the_seed() -> None:
    one, other = (VirtualMachine(VirtualTime(), Draw(3)) for _ in range(2))
    for own in (one, other):
        assert own.ulids is not machine.current().ulids
    assert one.random_bytes(16) == other.random_bytes(16)
    assert one.random_share() == other.random_share()
    assert one.engine_options()["seed"] == other.engine_options()["seed"]


def test_what_runs_on_a_host_has_its_machine() -> None:
    stage = Stage()

    async def which() -> tuple[Host, machine.Machine]:
        await asyncio.sleep(0)
        return HOST.get(), machine.current()

    async def work() -> None:
        for host in (stage.client, stage.server):
            assert await host.start(which(), "which") == (host, host.machine)

    stage.run(work)


def test_an_engine_of_a_host_has_its_clock() -> None:
    stage = Stage()
    own = stage.client.machine
    assert not own.has_engines
    assert isinstance(Engine(**own.engine_options()), Engine)
    assert own.has_engines


def test_the_clock_of_the_engines_follows_before_each_callback_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, ticks = Stage(), []
    own = stage.client.machine
    own.engine_options()
    monkeypatch.setattr(own, "tick", lambda: ticks.append(stage.loop.time()))

    async def work() -> None:
        for when in (1.0, 5.0):
            stage.loop.call_at(when, lambda: None, context=stage.client.context)
        await asyncio.sleep(6.0)

    stage.run(work)
    assert ticks == pytest.approx([1.0, 5.0], abs=0.001)
