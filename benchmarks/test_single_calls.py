"""What a single call of the engine's API costs, by pytest-benchmark: `make bench` runs it, `make test` does not."""

from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.measure.fill import bring_online
from benchmarks.measure.routing import event
from benchmarks.population import Population, instance_name, user_name
from fanout import Engine, decode_batch

POPULATION = Population(users=1_000, channels=50_000, memberships=300_000, instances=100)
VISIT = 1_000
EVENT = event(1, 300)


@pytest.fixture(scope="module")
def engine() -> Engine:
    table = Engine(flush_interval=0.0)
    bring_online(table, POPULATION, lambda share, what: None)  # noqa: ARG005 - nobody watches
    return table


@pytest.fixture(scope="module")
def channel() -> str:
    return POPULATION.some_names(1, draw=0)[0]


@pytest.fixture
def names() -> list[str]:
    return POPULATION.some_names(VISIT, draw=1)


def test_instances(benchmark: BenchmarkFixture, engine: Engine, channel: str) -> None:
    assert benchmark(engine.instances, channel)


def test_members(benchmark: BenchmarkFixture, engine: Engine, channel: str) -> None:
    assert set(benchmark(engine.members, channel)) == engine.instances(channel)


def test_is_member(benchmark: BenchmarkFixture, engine: Engine, channel: str) -> None:
    assert benchmark(engine.is_member, "nobody", channel) is False


def test_channels_of_a_user(benchmark: BenchmarkFixture, engine: Engine) -> None:
    assert benchmark(engine.channels, user_name(0)) == set(POPULATION.names(0))


def test_locations(benchmark: BenchmarkFixture, engine: Engine) -> None:
    assert benchmark(engine.locations, user_name(0)) == {instance_name(0, POPULATION.instances)}


def test_join_and_leave(benchmark: BenchmarkFixture, engine: Engine) -> None:
    def both() -> tuple[bool, bool]:
        return engine.join(user_name(1), "a-new-channel"), engine.leave(user_name(1), "a-new-channel")

    assert benchmark(both) == (True, True)
    assert not engine.instances("a-new-channel")


def test_online_and_offline_by_name(benchmark: BenchmarkFixture, engine: Engine, names: list[str]) -> None:
    def both() -> tuple[int, int]:
        return engine.user_online("visitor", "notif-new", names), engine.user_offline("visitor", "notif-new")

    assert benchmark(both) == (VISIT, VISIT)


def test_online_and_offline_from_the_cache(benchmark: BenchmarkFixture, engine: Engine, names: list[str]) -> None:
    def both() -> tuple[int, int]:
        return engine.user_online("visitor", "notif-new"), engine.user_offline("visitor", "notif-new")

    engine.user_online("visitor", "notif-new", names)
    engine.user_offline("visitor", "notif-new")
    assert benchmark(both) == (VISIT, VISIT)


def test_route_and_drain(benchmark: BenchmarkFixture, engine: Engine, channel: str) -> None:
    def both() -> list[tuple[str, bytes]]:
        engine.route(channel, EVENT)
        return engine.drain()

    assert {instance for instance, _ in benchmark(both)} == engine.instances(channel)


def test_decode_a_batch_of_a_hundred(benchmark: BenchmarkFixture, engine: Engine, channel: str) -> None:
    engine.route_many([(channel, EVENT)] * 100)
    payload = engine.drain()[0][1]
    decoded: list[Any] = benchmark(decode_batch, payload)
    assert [record.event for record in decoded] == [EVENT] * 100


def test_stats(benchmark: BenchmarkFixture, engine: Engine) -> None:
    assert benchmark(engine.stats)["users"] == POPULATION.users
