"""Lanes: a lane is one partition of one stream, and a number stands for it in the engine and in batches."""

from typing import Final, NamedTuple

from fanout.streams import STREAMS, StreamSpec

_CODE_BITS: Final = 4
MAX_CODE: Final = (1 << _CODE_BITS) - 1
"""The highest `lane_code` of a stream. Lanes of a few partitions then have numbers of one byte in a batch."""

_BY_CODE: Final = {row.lane_code: row.name for row in STREAMS.values() if row.lane_code}


class UnknownLane(ValueError):  # noqa: N818 - as the tree in `fanout.errors`
    """The number's code stands for no stream of this version: a newer version wrote it."""


class Lane(NamedTuple):
    """A partition of a stream: its events are in order, and one reader at a time routes them."""

    stream: str
    part: int

    @property
    def spec(self) -> StreamSpec:
        """The stream's row of the table."""
        return STREAMS[self.stream]

    @property
    def number(self) -> int:
        """The lane as the engine and the batches know it; never 0, which stands for ephemeral events."""
        return self.part << _CODE_BITS | self.spec.lane_code

    @classmethod
    def of_number(cls, number: int) -> "Lane":
        """The lane of a number.

        Raises:
            UnknownLane: no stream has that code.
        """
        code, part = number & MAX_CODE, number >> _CODE_BITS
        if code not in _BY_CODE:
            raise UnknownLane(f"lane {number} is of a stream with the code {code}, which this version does not know")
        return cls(_BY_CODE[code], part)
