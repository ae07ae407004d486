import re
from collections.abc import Callable
from inspect import Parameter, iscoroutinefunction, signature
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tests.simulation.drawing import drawn
from tests.simulation.plan import Plan
from tests.simulation.planted import PLANTED, planted
from tests.simulation.run import Outcome, simulate
from tests.simulation.story import story

FOUND_SOON = (
    "off by one",
    "auth.ok does not wait",
    "a handler that fails",
    "new channels are refused",
    "marks clear everything",
    "joiners have a backlog",
    "own messages count",
)
"""Planted faults that one of the first seeds finds; which one changes with every change of the product."""
SEEDS = range(1, 31)
VARIATIONS = 40
"""How many seeds a kept plan is run with. What is drawn during a run changes with every change of the product."""


STORIES = Path(__file__).parent / "stories"
KEPT = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", (STORIES / "README.md").read_text(), re.MULTILINE)
"""Each kept plan, and the planted fault with which it breaks a promise."""
PATCHES = [(name, *patch) for name, fault in PLANTED.items() for patch in fault.patches]


def takes(replacement: Callable[..., Any], original: Callable[..., Any]) -> bool:
    """Whether a function can be called as another one is."""
    parameters = signature(original).parameters.values()
    positional = [None for parameter in parameters if parameter.kind is not Parameter.KEYWORD_ONLY]
    named = {parameter.name: None for parameter in parameters if parameter.kind is Parameter.KEYWORD_ONLY}
    try:
        signature(replacement).bind(*positional, **named)
    except TypeError:
        return False
    return True


@pytest.mark.parametrize(("name", "owner", "attribute", "replacement"), PATCHES)
def test_what_is_replaced_is_there_and_is_called_alike(name: str, owner: Any, attribute: str, replacement: Any) -> None:
    original = vars(owner).get(attribute)
    assert type(original) is type(replacement), f"{name}: {owner.__name__} has no such {attribute} any more"
    if callable(original):
        assert iscoroutinefunction(original) == iscoroutinefunction(replacement)
        assert takes(replacement, original)


def test_a_function_that_takes_less_or_more_is_not_called_alike() -> None:
    def original(_self: Any, _user: str, *, _stopped: str = "") -> None: ...
    def less(_self: Any, _user: str) -> None: ...
    def more(_self: Any, _user: str, _channel: str, *, _stopped: str) -> None: ...
    def anything(*_args: Any, **_options: Any) -> None: ...

    assert [takes(other, original) for other in (original, anything, less, more)] == [True, True, False, False]


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


@pytest.mark.parametrize("name", FOUND_SOON)
def test_a_planted_fault_is_found(name: str) -> None:
    found = next((outcome for seed in SEEDS if (outcome := run(name, seed)).broken), None)
    assert found is not None
    healthy = simulate(found.plan)
    assert not healthy.broken, story(healthy)


def test_the_table_of_the_kept_plans_names_each_of_them() -> None:
    assert sorted(plan for plan, _ in KEPT) == sorted(file.stem for file in STORIES.glob("*.json"))


@pytest.mark.parametrize(("plan", "name"), KEPT)
def test_a_kept_plan_breaks_a_promise_with_its_fault(plan: str, name: str) -> None:
    kept = msgspec.json.decode((STORIES / f"{plan}.json").read_bytes(), type=Plan)
    with planted(name):
        assert any(simulate(replace(kept, seed=kept.seed + number)).broken for number in range(VARIATIONS))
