"""What a single call of the engine's API costs, by pytest-benchmark: `make bench` runs it, `make test` does not."""

from collections.abc import Callable
from typing import Final

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.population import Population, instance_name, user_name
from benchmarks.tables import bring_online, event
from fanout import Engine, decode_batch

POPULATION: Final = Population(users=1_000, channels=50_000, memberships=300_000, instances=100)
CHANNEL: Final = POPULATION.some_names(1, draw=0)[0]
NAMES: Final = POPULATION.some_names(1_000, draw=1)
EVENT: Final = event(1)
USER: Final = user_name(0)


@pytest.fixture(scope="module")
def engine() -> Engine:
    table = Engine(flush_interval=0.0)
    bring_online(table, POPULATION)
    table.user_online("cached", "notif-new", NAMES)
    table.user_offline("cached", "notif-new")
    return table


def visit(engine: Engine, user: str, names: list[str] | None) -> tuple[int, int]:
    return engine.user_online(user, "notif-new", names), engine.user_offline(user, "notif-new")


def routed(engine: Engine) -> set[str]:
    engine.route(CHANNEL, EVENT)
    return {instance for instance, _ in engine.drain()}


CALLS: Final[dict[str, tuple[Callable[[Engine], object], Callable[[Engine], object]]]] = {
    "instances": (lambda engine: engine.instances(CHANNEL), lambda engine: frozenset(engine.members(CHANNEL))),
    "members": (lambda engine: set(engine.members(CHANNEL)), lambda engine: engine.instances(CHANNEL)),
    "is_member": (lambda engine: engine.is_member("nobody", CHANNEL), lambda _: False),
    "channels of a user": (lambda engine: engine.channels(USER), lambda _: set(POPULATION.names(0))),
    "locations": (lambda engine: engine.locations(USER), lambda _: {instance_name(0, POPULATION.instances)}),
    "join and leave": (lambda engine: (engine.join(USER, "new"), engine.leave(USER, "new")), lambda _: (True, True)),
    "online and offline by name": (lambda engine: visit(engine, "by-name", NAMES), lambda _: (1_000, 1_000)),
    "online and offline, cached": (lambda engine: visit(engine, "cached", None), lambda _: (1_000, 1_000)),
    "route and drain": (routed, lambda engine: engine.instances(CHANNEL)),
    "stats": (lambda engine: engine.stats()["users"], lambda _: POPULATION.users),
}
"""Each call, and what it must return."""


@pytest.mark.parametrize("name", CALLS)
def test_call(benchmark: BenchmarkFixture, engine: Engine, name: str) -> None:
    call, expected = CALLS[name]
    assert benchmark(call, engine) == expected(engine)


def test_decode_a_batch_of_a_hundred(benchmark: BenchmarkFixture, engine: Engine) -> None:
    engine.route_many([(CHANNEL, EVENT)] * 100)
    assert [each.event for each in benchmark(decode_batch, engine.drain()[0][1])] == [EVENT] * 100
