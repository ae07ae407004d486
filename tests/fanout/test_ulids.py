"""ULIDs: sorted by time, and above all that were made before."""

import re
from itertools import pairwise

from fanout.ulids import UlidFactory


def test_a_ulid_has_the_time_first_and_then_the_random_part() -> None:
    assert UlidFactory(lambda: 1_999_999, bytes)() == "0" * 9 + "1" + "0" * 16
    assert UlidFactory(lambda: 1_000_000, lambda n: b"\xff" * n)() == "0" * 9 + "1" + "Z" * 16
    # The example of the specification: 1469918176385 ms.
    assert UlidFactory(lambda: 1_469_918_176_385_000_000, bytes)().startswith("01ARYZ6S41")


def test_ulids_increase_also_within_a_millisecond_and_when_the_clock_steps_back() -> None:
    times = iter([5, 5, 4, 6, 1])
    make = UlidFactory(lambda: next(times) * 1_000_000, lambda n: bytes([7]) * n)
    made = [make() for _ in range(5)]
    assert all(earlier < later for earlier, later in pairwise(made))
    assert [ulid[:10] for ulid in made] == ["0000000005"] * 3 + ["0000000006"] * 2
    assert all(re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", ulid) for ulid in made)
