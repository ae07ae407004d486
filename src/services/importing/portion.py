"""How many rows an import writes at once: fewer while the store does not manage so many in time."""

from typing import Final

_FEWER: Final = 4
"""By how much a failure divides the rows."""
_MORE: Final = 2
"""By how much successes multiply them."""
AFTER_SUCCESSES: Final = 8
"""Successes in a row after which there may be more: trying it costs a slow store a timeout."""


class Portion:
    """The number of rows of the next write.

    Args:
        most: the number while every write succeeds.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.rows = most
        self._successes = 0

    def failed(self) -> None:
        """Take note of a write that the store did not acknowledge."""
        self.rows = max(1, self.rows // _FEWER)
        self._successes = 0

    def succeeded(self) -> None:
        """Take note of a write that the store acknowledged."""
        self._successes += 1
        if self._successes == AFTER_SUCCESSES:
            self.rows = min(self._most, self.rows * _MORE)
            self._successes = 0
