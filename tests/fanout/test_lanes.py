"""Lanes as numbers."""

import pytest

from fanout.lanes import Lane, UnknownLane
from fanout.streams import MESSAGES, META, RECEIPTS


@pytest.mark.parametrize("stream", [MESSAGES, META, RECEIPTS])
@pytest.mark.parametrize("part", [0, 1, 1_000_000])
def test_a_number_stands_for_one_lane_and_is_never_0(stream: str, part: int) -> None:
    lane = Lane(stream, part)
    assert lane.number
    assert Lane.of_number(lane.number) == lane


@pytest.mark.parametrize("number", [0, 9, 15, 16, 32])
def test_a_code_of_a_newer_version_is_named(number: int) -> None:
    with pytest.raises(UnknownLane, match=f"lane {number} "):
        Lane.of_number(number)
