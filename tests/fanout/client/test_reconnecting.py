"""When a client comes again, and when not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout.client import Closing, Delays, DeviceDeregistered, DeviceReplaced, ProtocolViolation, SessionEnded
from fanout.client.reconnecting import LONGEST_WAIT_S, Backoff

BROKEN = Closing(None, "")


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (4409, "replaced", DeviceReplaced),
        (4409, "the device has connected again", DeviceReplaced),
        (4409, "deregistered", DeviceDeregistered),
        (4400, "not a JSON object", ProtocolViolation),
    ],
)
def test_some_ends_are_final(code: int, reason: str, error: type[SessionEnded]) -> None:
    ending = Closing(code, reason).final_error()
    assert type(ending) is error
    assert ending.code == code


@pytest.mark.parametrize("code", [None, 1000, 1001, 1009, 1011, 1012, 1013, 4401, 4408, 4413, 4999])
def test_after_others_a_client_comes_again(code: int | None) -> None:
    assert Closing(code, "").final_error() is None


@pytest.mark.parametrize(
    ("closing", "was_open", "refused"),
    [
        (Closing(4401, "token_expired: the token has expired"), False, True),
        (Closing(4401, "the token has expired"), True, True),
        (Closing(4401, "no auth frame in time"), False, False),
        (Closing(1012, "token_expired: of another code"), True, False),
    ],
)
def test_a_refused_token_is_known_from_a_late_one(closing: Closing, *, was_open: bool, refused: bool) -> None:
    assert closing.refuses_token(was_open=was_open) is refused


@pytest.mark.parametrize(
    ("reason", "after_s"),
    [
        ("full; retry_after_ms=1500", 1.5),
        ("full; retry_after_ms=999999999", LONGEST_WAIT_S),
        ("full; retry_after_ms=-5", None),
        ("full", None),
    ],
)
def test_the_server_says_when(reason: str, after_s: float | None) -> None:
    assert Closing(1013, reason).retry_after_s == after_s
    if after_s is not None:
        assert Backoff(Delays()).next_delay_s(Closing(1013, reason)) == after_s


def test_people_do_not_read_what_is_for_programs() -> None:
    assert Closing(1013, "full; retry_after_ms=1500").text == "full"
    assert BROKEN.text == "the connection broke"


def test_the_wait_doubles_up_to_a_bound_until_the_connection_works() -> None:
    backoff = Backoff(Delays(0.5, 30.0), random=lambda: 1.0)
    assert [backoff.next_delay_s(BROKEN) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    backoff.settle()
    assert backoff.next_delay_s(BROKEN) == 0.5


def test_the_first_wait_is_spread_as_the_server_has_said() -> None:
    backoff = Backoff(Delays(0.5, 30.0), random=lambda: 0.5)
    backoff.spread(20_000)
    assert backoff.next_delay_s(BROKEN) == 10.0
    assert backoff.next_delay_s(BROKEN) == 0.5
    backoff.spread(None)
    assert backoff.next_delay_s(BROKEN) == 1.0


@given(st.integers(0, 5_000), st.floats(0, 0.999))
def test_a_wait_is_never_out_of_bounds(failures: int, share: float) -> None:
    backoff = Backoff(Delays(0.5, 30.0), random=lambda: share)
    for _ in range(min(failures, 50)):
        backoff.next_delay_s(BROKEN)
    assert 0 <= backoff.next_delay_s(BROKEN) <= Delays().bound_s(failures) <= 30
