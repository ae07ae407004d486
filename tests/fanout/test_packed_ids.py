"""Packed ids, against lists of strings."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout import InvalidId, packed_ids
from fanout.packed_ids import count, join, pack, pieces, unpack

ids = st.text(alphabet="abcXYZ019_-", min_size=1, max_size=12)
id_lists = st.lists(ids, max_size=60)


@given(id_lists)
def test_a_list_comes_out_as_it_went_in(names: list[str]) -> None:
    packed = pack(names)
    assert unpack(packed) == names
    assert count(packed) == len(names)


@given(id_lists, st.integers(13, 200))
def test_the_pieces_of_a_list_have_its_ids_and_are_no_longer_than_asked(names: list[str], size: int) -> None:
    found = list(pieces(pack(names), size))
    assert [name for piece in found for name in unpack(piece)] == names
    assert all(0 < len(piece) <= size for piece in found)
    for piece, following in itertools.pairwise(found):
        assert len(piece) + 1 + len(unpack(following)[0]) > size, "the next id has no room"


def test_the_usual_piece_has_no_more_than_its_bytes() -> None:
    packed = pack([f"channel-{number:07}" for number in range(10_000)])
    assert max(map(len, pieces(packed))) <= packed_ids.PIECE_BYTES
    assert len(list(pieces(packed))) == 5


@given(st.lists(id_lists, max_size=6))
def test_lists_are_joined_in_order_and_empty_ones_leave_nothing(lists: list[list[str]]) -> None:
    assert unpack(join(map(pack, lists))) == [name for names in lists for name in names]


@pytest.mark.parametrize("name", ["é", "名", "", "a b", " a", "a.b", "a\n", "x" * 129, "\ud800"])
def test_what_is_no_id_is_not_packed(name: str) -> None:
    with pytest.raises(InvalidId, match=r"ids\[1\]"):
        pack(["a", name, "b"])
