"""What does not fit is refused before it is begun, with a size that is accepted, whatever was asked for."""

import re
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from benchmarks.cases import login, sizing
from benchmarks.costs import Held, Tables, require_room
from benchmarks.errors import BenchError
from benchmarks.population import SPEC, Population

GB: Final = 10**9


def of_login(population: Population) -> list[Held]:
    return login.tables(population, 1_000)


@st.composite
def populations(draw: st.DrawFn) -> Population:
    """Thin and dense ones, from a single channel to more than any machine holds."""
    size: Callable[[], int] = lambda: round(10 ** draw(st.floats(0, 9.5)))  # noqa: E731 - drawn twice
    users, channels = size(), size()
    thin = Population(users, channels, memberships=channels, instances=10)
    return replace(thin, memberships=10 ** draw(st.integers(0, 15))).drawable()


def refused_with(asked: Population, tables: Tables, available: int) -> str | None:
    try:
        require_room(asked, tables, available)
    except BenchError as refused:
        return str(refused)
    return None


def refusal(asked: Population, tables: Tables, available: int) -> str:
    refused = refused_with(asked, tables, available)
    assert refused is not None
    return refused


def proposed(refused: str) -> Population | None:
    found = re.search(r"--users (\d+) --channels (\d+) --memberships (\d+)$", refused)
    if found is None:
        return None
    users, channels, memberships = map(int, found.groups())
    return Population(users, channels, memberships, instances=100)


@settings(deadline=None)
@given(populations(), st.floats(0.0, 1.0))
def test_what_can_be_drawn_can_be_drawn_at_any_size(population: Population, fraction: float) -> None:
    smaller = population.scaled(fraction)
    smaller.check()
    assert smaller.memberships <= population.memberships
    assert population.scaled(1.0) == population


@pytest.mark.parametrize("tables", [sizing.tables, of_login])
@settings(deadline=None)
@given(asked=populations(), available=st.integers(0, 100 * GB))
def test_what_is_proposed_is_accepted(tables: Tables, asked: Population, available: int) -> None:
    refused = refused_with(asked, tables, available)
    if refused is None:
        return
    fits = proposed(refused)
    if fits is None:
        assert "memory must be freed" in refused or "--visit" in refused
    else:
        assert fits.memberships <= asked.memberships
        assert refused_with(fits, tables, available) is None


@pytest.mark.parametrize("available", [GB, 4 * GB])
def test_what_is_proposed_is_large_and_of_the_same_shape(available: int) -> None:
    fits = proposed(refusal(SPEC.scaled(10), sizing.tables, available))
    assert fits is not None
    assert fits.memberships == 300 * fits.users == 6 * fits.channels
    assert refused_with(fits.scaled(1.2), sizing.tables, available)


def test_the_table_that_does_not_fit_is_named_with_what_it_takes() -> None:
    said = refusal(SPEC, sizing.tables, GB)
    assert "the engine table of 100,000 users, 5,000,000 channels and 30,000,000 memberships takes about 731 MB" in said
    assert "1.8 GB in all" in said
    assert "900 MB can be used" in said
    dense = Population(users=100_000, channels=1_000_000, memberships=2_000_000_000, instances=100)
    assert "the Python dicts table of 12,500 users" in refusal(dense, sizing.tables, GB)


def test_where_nothing_fits_nothing_is_proposed() -> None:
    assert proposed(refusal(SPEC, sizing.tables, 0)) is None


def test_a_user_of_many_channels_is_never_proposed_fewer() -> None:
    fits = proposed(refusal(SPEC.scaled(10), of_login, GB))
    assert fits is not None
    assert fits.channels >= 1_000
    with pytest.raises(BenchError, match=r"--channels 999 is less than --visit 1000"):
        of_login(Population(users=1, channels=999, memberships=999, instances=1))
