"""Lanes: one partition of one stream, as the number that batches carry."""

from typing import Final, NamedTuple

from fanout.subjects import MESSAGES, META

_CODES: Final = {MESSAGES: 1, META: 2}
_STREAMS: Final = {code: stream for stream, code in _CODES.items()}
_CODE_BITS: Final = 2


class UnknownLane(ValueError):  # noqa: N818 - as the tree in `fanout.errors`
    """A number whose code stands for no stream: a newer version wrote it."""


class Lane(NamedTuple):
    """A partition of a stream: the unit of order, and of one reader at a time."""

    stream: str
    part: int

    @property
    def number(self) -> int:
        """The lane as the engine and the batches know it; never 0, which is for ephemeral events."""
        return self.part << _CODE_BITS | _CODES[self.stream]

    @classmethod
    def of_number(cls, number: int) -> "Lane":
        """The lane of a number.

        Raises:
            UnknownLane: no stream has that code.
        """
        code, part = number & ((1 << _CODE_BITS) - 1), number >> _CODE_BITS
        if code not in _STREAMS:
            raise UnknownLane(f"lane {number} is of a stream with the code {code}, which this version does not know")
        return cls(_STREAMS[code], part)
