from hypothesis import given
from hypothesis import strategies as st

from services.gateway.limiter import RateLimiter


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_then_the_rate() -> None:
    clock = Clock()
    limiter = RateLimiter(10.0, 3, clock=clock)
    assert [limiter.take("a") for _ in range(3)] == [0.0] * 3
    wait = limiter.take("a")
    assert 0 < wait <= 0.1
    clock.now += wait
    assert limiter.take("a") == 0.0
    assert limiter.take("a") > 0


def test_a_refusal_costs_nothing() -> None:
    limiter = RateLimiter(1.0, 1, clock=Clock())
    limiter.take("a")
    assert {limiter.take("a") for _ in range(100)} == {1.0}


def test_users_are_apart() -> None:
    limiter = RateLimiter(1.0, 1, clock=Clock())
    assert [limiter.take(user) for user in "abc"] == [0.0] * 3


def test_memory_is_bounded_and_the_longest_unseen_is_forgotten() -> None:
    limiter = RateLimiter(1.0, 1, max_users=2, clock=Clock())
    for user in "abc":
        limiter.take(user)
    assert (limiter.take("c"), limiter.take("b")) == (1.0, 1.0)
    assert limiter.take("a") == 0.0
    assert len(limiter._full_at) == 2


@given(st.lists(st.floats(0, 5), max_size=60), st.integers(1, 5), st.floats(0.5, 20))
def test_never_more_than_the_burst_and_the_rate_allow(pauses: list[float], burst: int, rate: float) -> None:
    clock = Clock()
    limiter = RateLimiter(rate, burst, clock=clock)
    taken = 0
    for pause in pauses:
        clock.now += pause
        taken += limiter.take("a") == 0.0
        assert taken <= burst + rate * clock.now + 1e-6


def test_whoever_is_busy_is_remembered_though_he_came_first() -> None:
    limiter = RateLimiter(1.0, 2, max_users=2, clock=lambda: 0.0)
    limiter.take("busy")
    limiter.take("quiet")
    limiter.take("busy")
    limiter.take("new")
    assert limiter.take("busy") > 0
