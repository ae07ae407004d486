"""What a store has in the place of an id."""

import pytest

from fanout.packed_ids import unpack
from services.runtime.stored_ids import STORED_IDS_SKIPPED, pack_stored


def _skipped() -> float:
    return float(STORED_IDS_SKIPPED._value.get())


def test_ids_are_packed_as_they_come() -> None:
    before = _skipped()
    assert pack_stored(["b", "a", "B"], "channel_id") == b"b a B"
    assert pack_stored([], "channel_id") == b""
    assert _skipped() == before


@pytest.mark.parametrize("value", ["", "a b", "a.b", "é", "x" * 129, "a\n", 7, None, b"a", ["a"]])
def test_what_is_no_id_is_counted_and_passed_over(value: object) -> None:
    before = _skipped()
    assert unpack(pack_stored(["a", value, "b", value], "channel_id")) == ["a", "b"]
    assert _skipped() == before + 2
