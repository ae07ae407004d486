"""Rates: what is there at once, what comes back, and that who does not wait pays nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.rates import Rate


def test_a_full_bucket_is_spent_at_once_and_then_at_the_rate() -> None:
    rate, bucket, waits = Rate(per_s=10.0, at_once=3), 0.0, []
    for _ in range(5):
        bucket, wait = rate.spend(bucket, 1_000.0)
        waits.append(wait)
    assert waits == pytest.approx([0.0, 0.0, 0.0, 0.1, 0.2])


def test_a_bucket_that_was_kept_has_its_tokens() -> None:
    rate = Rate(per_s=1.0, at_once=1)
    empty, _ = rate.spend(0.0, 1_000.0)
    assert {rate.spend(empty, 1_000.0)[1] for _ in range(3)} == {1.0}
    assert rate.spend(empty, 1_001.0)[1] == 0.0


def test_no_bucket_holds_more_than_its_tokens() -> None:
    rate = Rate(per_s=1.0, at_once=2)
    bucket, _ = rate.spend(0.0, 1_000.0)
    for expected in (0.0, 0.0, 1.0):
        bucket, wait = rate.spend(bucket, 9_000.0)
        assert wait == pytest.approx(expected)


@given(st.lists(st.floats(0, 5), max_size=60), st.integers(1, 5), st.floats(0.5, 20))
def test_who_waits_as_told_keeps_the_rate(pauses: list[float], at_once: int, per_s: float) -> None:
    rate, bucket, now = Rate(per_s, at_once), 0.0, 0.0
    for spent, pause in enumerate(pauses, start=1):
        now += pause
        bucket, wait = rate.spend(bucket, now)
        now += wait
        assert spent <= at_once + per_s * now + 1e-6
