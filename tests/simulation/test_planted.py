import pytest

from tests.simulation.plan import drawn
from tests.simulation.planted import PLANTED, planted
from tests.simulation.run import Outcome, simulate
from tests.simulation.story import story

FOUND_BY = {
    "gaps are skipped": range(17, 21),
    "off by one": range(1, 30),
    "acknowledged before written": range(1, 30),
    "a handler that fails": range(2, 6),
}
"""Seeds of which one finds a planted fault; for the rarest one only those close to it are run."""


@pytest.mark.parametrize("name", PLANTED)
def test_each_fault_can_be_planted_and_is_taken_out_again(name: str) -> None:
    patches = PLANTED[name].patches
    before = [getattr(owner, attribute) for owner, attribute, _ in patches]
    with planted(name):
        assert [getattr(owner, attribute) for owner, attribute, _ in patches] == [patch[2] for patch in patches]
    assert [getattr(owner, attribute) for owner, attribute, _ in patches] == before
    assert patches
    assert PLANTED[name].what


def test_nothing_is_planted_without_a_name() -> None:
    every = [(owner, attribute) for fault in PLANTED.values() for owner, attribute, _ in fault.patches]
    before = [getattr(*place) for place in every]
    with planted(""):
        assert [getattr(*place) for place in every] == before


def run(name: str, seed: int) -> Outcome:
    with planted(name):
        return simulate(drawn(seed))


@pytest.mark.parametrize("name", FOUND_BY)
def test_a_planted_fault_is_found(name: str) -> None:
    found = next((outcome for seed in FOUND_BY[name] if (outcome := run(name, seed)).broken), None)
    assert found is not None
    healthy = simulate(found.plan)
    assert not healthy.broken, story(healthy)
