"""The clocks and the chance of a machine, and which machine is the current one."""

import asyncio
import contextvars
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

import pytest

from fanout import machine
from fanout.events import timestamp
from fanout.ids import new_message_id, new_ulid
from fanout.machine import EngineOptions, Machine

_T = TypeVar("_T")
NOW_NS = 1_700_000_000_123_456_000
TOP = 1 - 2**-53
"""The highest share that there is."""


class Simulated(Machine):
    def __init__(self, name: str = "", share: float = 0.5) -> None:
        super().__init__()
        self.name = name
        self.now_ns = NOW_NS
        self.share = share

    def wall_ns(self) -> int:
        return self.now_ns

    def monotonic_s(self) -> float:
        return 12.5

    def precise_s(self) -> float:
        return 0.25

    def random_bytes(self, n: int) -> bytes:
        return bytes([0xAB]) * n

    def random_share(self) -> float:
        return self.share

    def engine_options(self) -> EngineOptions:
        return {"clock": None, "seed": len(self.name)}


def on(one: Machine, call: Callable[[], _T]) -> _T:
    """The result of `call` in a context of its own, whose machine is `one`."""

    def inside() -> _T:
        machine.set_current(one)
        return call()

    return contextvars.copy_context().run(inside)


@pytest.fixture
def simulated() -> Iterator[Simulated]:
    before, own = machine.current(), Simulated()
    machine.set_current(own)
    yield own
    machine.set_current(before)


def test_the_default_machine_is_that_of_the_operating_system() -> None:
    assert type(machine.current()) is Machine
    assert machine.engine_options() == {"clock": None, "seed": None}
    assert abs(machine.wall_ns() - time.time_ns()) < 10**9
    assert abs(machine.wall_s() - time.time()) < 1
    assert abs(machine.monotonic_s() - time.monotonic()) < 1
    assert abs(machine.precise_s() - time.perf_counter()) < 1
    assert abs((machine.utc_now() - datetime.now(UTC)).total_seconds()) < 1


def test_the_chance_of_the_operating_system_differs_each_time() -> None:
    assert len(machine.random_bytes(16)) == 16
    assert len({machine.random_token(8) for _ in range(100)}) == 100
    assert len({machine.random_share() for _ in range(100)}) == 100
    assert {machine.random_below(3) for _ in range(200)} == {0, 1, 2}
    assert {machine.random_choice("abc") for _ in range(200)} == {"a", "b", "c"}


def test_all_functions_ask_the_current_machine(simulated: Simulated) -> None:
    assert machine.wall_ns() == NOW_NS
    assert machine.wall_s() == NOW_NS / 1e9
    assert machine.utc_now() == datetime(2023, 11, 14, 22, 13, 20, 123456, UTC)
    assert machine.monotonic_s() == 12.5
    assert machine.precise_s() == 0.25
    assert machine.random_bytes(2) == b"\xab\xab"
    assert machine.random_token(3) == "ababab"
    assert machine.random_share() == 0.5
    assert machine.random_between(1, 2) == 1.5
    assert machine.random_below(7) == 3
    assert machine.random_choice("abc") == "b"
    assert machine.engine_options() == {"clock": None, "seed": 0}
    assert timestamp() == "2023-11-14T22:13:20.123Z"


@pytest.mark.parametrize("microsecond", [0, 1, 499_999, 500_000, 999_999])
def test_the_time_is_exact_to_the_microsecond(simulated: Simulated, microsecond: int) -> None:
    simulated.now_ns = 1_700_000_000_000_000_000 + microsecond * 1_000
    assert machine.utc_now().microsecond == microsecond


@pytest.mark.parametrize("n", [1, 2, 3, 5, 1_000, 2**32 + 1, 2**53 - 1, 2**53])
def test_a_random_number_is_always_below_its_bound(simulated: Simulated, n: int) -> None:
    simulated.share = 0.0
    assert machine.random_below(n) == 0
    simulated.share = TOP
    assert machine.random_below(n) == n - 1


def test_there_is_no_choice_among_nothing() -> None:
    with pytest.raises(ValueError, match="below 0"):
        machine.random_below(0)
    with pytest.raises(ValueError, match="below 0"):
        machine.random_choice([])


def test_a_machine_is_set_for_a_context_alone() -> None:
    one = Simulated("one")
    assert on(one, machine.current) is one
    assert type(machine.current()) is Machine


async def test_tasks_and_threads_have_the_machine_of_those_that_started_them() -> None:
    async def process(name: str) -> list[int | None]:
        machine.set_current(Simulated(name))
        await asyncio.sleep(0)
        inner = asyncio.create_task(asyncio.to_thread(machine.engine_options))
        return [machine.engine_options()["seed"], (await inner)["seed"]]

    one, two = await asyncio.gather(process("one"), process("second"))
    assert one == [3] * 2
    assert two == [6] * 2
    assert machine.engine_options()["seed"] is None


def test_each_machine_has_ulids_of_its_own() -> None:
    one, two = Simulated("one"), Simulated("two")
    two.now_ns -= 10**9
    of_one = [on(one, new_ulid) for _ in range(2)]
    of_two = [on(two, new_ulid) for _ in range(2)]
    assert of_one == sorted(set(of_one))
    assert of_two == sorted(set(of_two))
    assert of_two[-1] < of_one[0], "the clock of the one does not move that of the other"
    assert on(Simulated(), new_ulid) == of_one[0], "the same clock and chance give the same ids"
    assert on(one, new_message_id) > f"msg_{of_one[-1]}"
