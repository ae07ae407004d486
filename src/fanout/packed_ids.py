"""Long lists of ids as one object: their bytes, with a space between them, as `Engine.packed_channels` returns them.

The garbage collector walks through each list of strings again and again, and the strings are freed in one step. For
100,000 ids each of these holds up an event loop for 1 to 5 ms; for the bytes of the ids, some microseconds.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from fanout.ids import are_ids, check_id

PIECE_BYTES: Final = 32 * 1024
"""The ids of a piece of this length are unpacked, or checked, in half a millisecond."""


def pack(ids: Sequence[str]) -> bytes:
    """Pack ids.

    Raises:
        InvalidId: one is no id.
    """
    if not are_ids(ids):
        for index, each in enumerate(ids):
            check_id(each, f"ids[{index}]")
    return " ".join(ids).encode()


def unpack(packed: bytes) -> list[str]:
    """Return the ids of a list, or of a piece of one."""
    return packed.decode().split(" ") if packed else []


def count(packed: bytes) -> int:
    """Return how many ids a list has."""
    return packed.count(b" ") + 1 if packed else 0


def pieces(packed: bytes, size: int = PIECE_BYTES) -> Iterator[bytes]:
    """Cut a list behind ids.

    Args:
        packed: the list.
        size: the most bytes of a piece; no id is longer.

    Yields:
        the pieces, in order, each a list that is not empty. There is none of an empty list.
    """
    begin = 0
    while begin < len(packed):
        is_last = len(packed) - begin <= size
        end = len(packed) if is_last else packed.rindex(b" ", begin, begin + size + 1)
        yield packed[begin:end]
        begin = end + 1


def join(parts: Iterable[bytes]) -> bytes:
    """Return the list that has the ids of several lists, one after the other."""
    return b" ".join(part for part in parts if part)
