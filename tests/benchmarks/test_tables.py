"""The engine and the tables that it is compared with answer alike, and what does not is found out."""

from collections.abc import Callable, Iterable

import pytest

from benchmarks import tables
from benchmarks.apart import Progress
from benchmarks.baselines.python_table import PythonTable
from benchmarks.cases import churn
from benchmarks.errors import TablesDifferError
from benchmarks.population import Population
from benchmarks.tables import KINDS, Kind, Measured, RoutingTable, batches_of, event, new_table

POPULATION = Population(users=60, channels=200, memberships=2_000, instances=7, skew=1.0)
SMALL = Population(users=10, channels=20, memberships=40, instances=2)


@pytest.fixture(params=KINDS)
def table(request: pytest.FixtureRequest) -> RoutingTable:
    kind: Kind = request.param
    return new_table(kind)


def test_users_on_instances(table: RoutingTable) -> None:
    assert table.user_online("ann", "i1", ["c1", "c2"]) == 2
    assert table.user_online("ben", "i1", ["c2", "c3"]) == 1
    assert table.user_online("cat", "i2", ["c2"]) == 1
    assert table.user_online("cat", "i2") == 0
    assert table.instances("c2") == {"i1", "i2"}
    assert table.members("c2") == {"i1": ["ann", "ben"], "i2": ["cat"]}
    assert table.widths(["c1", "c2", "nowhere"]) == [1, 2, 0]
    assert table.user_offline("ann", "i1") == 1
    assert table.instances("c1") == frozenset()
    assert table.members("c2") == {"i1": ["ben"], "i2": ["cat"]}
    assert table.user_online("ann", "i2") == 1
    assert table.members("c2") == {"i1": ["ben"], "i2": ["ann", "cat"]}
    assert table.members("nowhere") == {}


def test_events_reach_the_batch_of_each_instance(table: RoutingTable) -> None:
    table.user_online("ann", "i1", ["c1", "c2"])
    table.user_online("ben", "i2", ["c2"])
    one, two = event(1, 100), event(2, 300)
    assert (len(one), len(two)) == (100, 300)
    assert batches_of(table, [("c2", one), ("nowhere", one), ("c1", two)]) == {"i1": [one, two], "i2": [one]}
    assert batches_of(table, []) == {}


@pytest.mark.parametrize("broken", [b"", b"[1]", b'{"a":', b'{"a":1} x'])
def test_no_table_routes_what_is_no_object(table: RoutingTable, broken: bytes) -> None:
    table.user_online("ann", "i1", ["c1"])
    with pytest.raises(ValueError, match=r".+"):
        table.route_many([("c1", broken)])


class Counted(Measured, frozen=True):
    users: int


def counted(kind: Kind, population: Population) -> Counted:
    table = tables.new_table(kind)
    tables.bring_online(table, population)
    return Counted(tables.answers_of(table, population), population.users)


def here(measurement: Callable[..., Counted], *settings: object) -> Counted:
    return measurement(*settings)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[Kind, Counted]]:
    """Measures all tables in this process: a small rehearsal, and then the population."""
    monkeypatch.setattr(tables, "run_apart", here)
    return lambda: tables.measure_each(stage, "counted", counted, (SMALL,), POPULATION)


stages: list[str] = []


def stage(title: str) -> Progress:
    stages.append(title)
    return lambda share, what: None  # noqa: ARG005


def test_each_table_is_measured_after_a_rehearsal(measured: Callable[[], dict[Kind, Counted]]) -> None:
    stages.clear()
    assert [(kind, of.users) for kind, of in measured().items()] == [(kind, POPULATION.users) for kind in KINDS]
    assert len(stages) == 1 + len(KINDS)


@pytest.mark.parametrize("wrong_from", [SMALL.users, POPULATION.users])
def test_a_table_that_answers_otherwise_is_found(
    wrong_from: int, measured: Callable[[], dict[Kind, Counted]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(PythonTable):
        def widths(self, channels: Iterable[str]) -> list[int]:
            return [width + (len(self._places) >= wrong_from) for width in super().widths(channels)]

    stages.clear()
    monkeypatch.setattr(tables, "new_table", lambda kind: Wrong() if kind == "python" else new_table(kind))
    with pytest.raises(TablesDifferError, match="Python dicts"):
        measured()
    assert (len(stages) == 1) == (wrong_from == SMALL.users)


def test_a_user_who_is_missing_is_found() -> None:
    class Forgetful(PythonTable):
        def members(self, channel: str) -> dict[str, list[str]]:
            return {}

    with pytest.raises(TablesDifferError, match="does not say so"):
        tables.bring_online(Forgetful(), POPULATION)


def test_churn_agrees_with_its_model_and_takes_the_same_steps_without_it() -> None:
    checked, alone = (churn.churn(POPULATION, 40, 4_000, checked=checked) for checked in (True, False))
    assert checked.returned == alone.returned
    assert checked.operations == alone.operations
    assert set(checked.operations) == set(churn.STEPS)
    assert checked.answers_checked > 4_000
    assert alone.answers_checked == 0


def test_churn_finds_an_engine_that_forgets_a_join(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(PythonTable):
        def _place(self, user: str, instance: str, channels: Iterable[str]) -> int:
            return super()._place(user, instance, list(channels)[1:])

    monkeypatch.setattr(churn, "PythonTable", Wrong)
    with pytest.raises(TablesDifferError):
        churn.churn(POPULATION, 40, 100, checked=True)
