"""The ids that callers choose: one and many are checked by the same rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout import InvalidId
from fanout.ids import are_ids, check_id, is_id

VALID = ["a", "Z", "0", "_", "-", "x" * 128]
INVALID = ["", " ", "a b", "a.b", "é", "a\n", "\ud800", "x" * 129]


@pytest.mark.parametrize("value", VALID)
def test_an_id_is_accepted_and_returned(value: str) -> None:
    assert is_id(value)
    assert check_id(value, "user_id") == value


@pytest.mark.parametrize("value", INVALID)
def test_what_is_no_id_is_refused_with_the_name_of_the_field(value: str) -> None:
    assert not is_id(value)
    with pytest.raises(InvalidId, match="user_id must be"):
        check_id(value, "user_id")


@given(st.lists(st.sampled_from(VALID + INVALID) | st.text(max_size=4), max_size=5))
def test_many_are_ids_where_each_is(values: list[str]) -> None:
    assert are_ids(values) == all(map(is_id, values))
