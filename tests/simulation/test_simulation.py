"""The tier itself: what it promises holds in these runs. `python -m tests.simulation` tries many more."""

from pathlib import Path

import msgspec
import pytest

from tests.simulation.drawing import drawn
from tests.simulation.plan import Plan
from tests.simulation.run import simulate
from tests.simulation.story import story

STORIES = sorted((Path(__file__).parent / "stories").glob("*.json"))
"""Plans that broke a promise once."""


@pytest.mark.parametrize("seed", range(1, 13))
def test_every_promise_holds(seed: int) -> None:
    outcome = simulate(drawn(seed))
    assert not outcome.broken, story(outcome)


@pytest.mark.parametrize("kept", STORIES, ids=lambda file: file.stem)
def test_what_broke_a_promise_once_breaks_none_any_more(kept: Path) -> None:
    outcome = simulate(msgspec.json.decode(kept.read_bytes(), type=Plan))
    assert not outcome.broken, story(outcome)
