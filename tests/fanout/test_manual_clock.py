"""An engine on a clock that is set, and with a seed: nothing depends on the machine's time or on chance."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fanout import Engine, ManualClock, MembershipUnknown

MILLISECOND = 1_000_000
SECOND = 1_000 * MILLISECOND
BEGIN = 5 * SECOND
"""What the monotonic clock says when an engine is made."""
TODAY = 1_800_000_000 * SECOND
"""What the clock since 1970 says then."""
HIGHEST = 2**64 - 1


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(BEGIN, TODAY)


def _any(value: object) -> Any:
    """A value of a type that the stub does not allow."""
    return value


def _wait(clock: ManualClock, nanoseconds: int) -> None:
    clock.set(BEGIN + nanoseconds, TODAY + nanoseconds)


def test_a_batch_is_due_when_the_clock_says_so(clock: ManualClock) -> None:
    engine = Engine(flush_interval=0.25, clock=clock)
    engine.user_online("ann", "i1", ["general"])
    _wait(clock, 100 * MILLISECOND)
    engine.route("general", b"{}")
    assert engine.next_due() == 0.25
    _wait(clock, 350 * MILLISECOND - 1)
    assert (engine.next_due(), engine.drain()) == (1e-9, [])
    _wait(clock, 350 * MILLISECOND)
    assert engine.next_due() == 0
    assert [instance for instance, _ in engine.drain()] == ["i1"]


def test_a_cached_list_grows_old_by_the_clock(clock: ManualClock) -> None:
    engine = Engine(cache_ttl=10, clock=clock)
    for user in ("ann", "ben"):
        engine.user_online(user, "i1", ["general"])
        engine.user_offline(user, "i1")
    _wait(clock, 10 * SECOND - 1)
    assert engine.user_online("ann", "i1") == 1
    _wait(clock, 10 * SECOND)
    with pytest.raises(MembershipUnknown):
        engine.user_online("ben", "i1")


def _written(path: Path, clock: ManualClock) -> Path:
    """A snapshot that was written three seconds after the list in it was loaded."""
    engine = Engine(clock=clock)
    engine.user_online("ann", "i1", ["general"])
    engine.user_offline("ann", "i1")
    _wait(clock, 3 * SECOND)
    engine.snapshot(path / "table")
    return path / "table"


@pytest.mark.parametrize("age", [0, 4 * SECOND, 7 * SECOND - 1])
def test_a_list_in_a_snapshot_grows_old_by_the_time_since_1970(tmp_path: Path, clock: ManualClock, age: int) -> None:
    path = _written(tmp_path, clock)
    later = ManualClock(1, TODAY + 3 * SECOND + age)
    restored = Engine.restore(path, cache_ttl=10, clock=later)
    assert restored.user_online("ann", "i1") == 1
    restored.user_offline("ann", "i1")
    later.set(1 + 7 * SECOND - age, 0)
    with pytest.raises(MembershipUnknown):
        restored.user_online("ann", "i1")


@pytest.mark.parametrize("age", [-1, 7 * SECOND])
def test_a_list_that_is_too_old_or_from_the_future_is_not_restored(
    tmp_path: Path, clock: ManualClock, age: int
) -> None:
    path = _written(tmp_path, clock)
    later = ManualClock(0, TODAY + 3 * SECOND + age)
    assert Engine.restore(path, cache_ttl=10, clock=later).stats()["cached_users"] == 0


def test_engines_share_a_clock_and_each_counts_from_its_own_beginning(clock: ManualClock) -> None:
    first = Engine(flush_interval=1, clock=clock)
    _wait(clock, HIGHEST - TODAY)
    second = Engine(flush_interval=1, clock=clock)
    for engine in (first, second):
        engine.user_online("ann", "i1", ["general"])
        engine.route("general", b"{}")
        assert engine.next_due() == 1


def test_without_a_clock_the_machine_has_one() -> None:
    engine = Engine(flush_interval=0, clock=None)
    engine.user_online("ann", "i1", ["general"])
    engine.route("general", b"{}")
    assert len(engine.drain()) == 1


def test_a_clock_does_not_go_back(clock: ManualClock) -> None:
    with pytest.raises(ValueError, match=f"must not go back from {BEGIN} to {BEGIN - 1}"):
        clock.set(BEGIN - 1, 7)
    assert repr(clock) == f"<fanout.ManualClock monotonic_ns={BEGIN} unix_ns={TODAY}>"
    clock.set(BEGIN, 7)
    assert repr(clock) == f"<fanout.ManualClock monotonic_ns={BEGIN} unix_ns=7>"
    assert repr(ManualClock()) == "<fanout.ManualClock monotonic_ns=0 unix_ns=0>"


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: ManualClock(_any("1")), "monotonic_ns must be an int, not str: '1'"),
        (lambda: ManualClock(0, _any(1.5)), "unix_ns must be an int, not float: 1.5"),
        (lambda: ManualClock().set(_any(None), 0), "monotonic_ns must be an int, not NoneType"),
        (lambda: Engine(clock=_any(5)), "clock must be a ManualClock or None, not int: 5"),
        (lambda: Engine(clock=_any(ManualClock)), "clock must be a ManualClock or None, not type"),
        (lambda: Engine.restore("none", clock=_any("now")), "clock must be a ManualClock or None, not str: 'now'"),
        (lambda: Engine(seed=_any("x")), "seed must be an int, not str: 'x'"),
    ],
)
def test_a_value_of_a_wrong_type_is_named(call: Callable[[], object], text: str) -> None:
    with pytest.raises(TypeError) as raised:
        call()
    assert str(raised.value) == text


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: ManualClock(-1), "monotonic_ns is negative or too large: -1"),
        (lambda: ManualClock(0, HIGHEST + 1), f"unix_ns is negative or too large: {HIGHEST + 1}"),
        (lambda: ManualClock().set(1, -1), "unix_ns is negative or too large: -1"),
        (lambda: Engine(seed=-1), "seed is negative or too large: -1"),
    ],
)
def test_a_value_out_of_range_is_named(call: Callable[[], object], text: str) -> None:
    with pytest.raises(ValueError, match="is negative or too large") as raised:
        call()
    assert str(raised.value) == text


def _filled(seed: int | None) -> Engine:
    engine = Engine(clock=ManualClock(), seed=seed)
    for user in range(300):
        engine.user_online(f"user-{user}", f"i{user % 7}", [f"channel-{user % 50}", "general"])
    return engine


def _answers(engine: Engine, path: Path) -> tuple[object, ...]:
    engine.snapshot(path)
    restored = Engine.restore(path, clock=ManualClock(), seed=3)
    restored.route("general", b"{}")
    instances = [instance for instance, _ in restored.drain(force=True)]
    return path.read_bytes(), engine.users_page("i1"), instances, restored.users_page("i1"), engine.stats()


def test_with_a_seed_each_order_is_the_same_again(tmp_path: Path) -> None:
    assert _answers(_filled(7), tmp_path / "a") == _answers(_filled(7), tmp_path / "b")


@pytest.mark.parametrize("other", [8, 0, None])
def test_another_seed_or_none_gives_other_orders(tmp_path: Path, other: int | None) -> None:
    seven, others = _answers(_filled(7), tmp_path / "a"), _answers(_filled(other), tmp_path / "b")
    assert seven[:2] != others[:2]
    assert sorted(_filled(7).users("i1")) == sorted(_filled(other).users("i1"))
