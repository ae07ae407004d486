"""The places in the log of some times ago: a question that all clients of a moment share."""

from collections.abc import Callable
from functools import partial

from fanout import machine
from fanout.ports.log import Log
from fanout.streams import REPLAYED_STREAM
from services.runtime.shared_rounds import SharedRounds


class Horizons:
    """Says up to where messages were stored some seconds ago.

    Args:
        events: the log.
        clock: seconds since 1970.
    """

    def __init__(self, events: Log, *, clock: Callable[[], float] = machine.wall_s) -> None:
        self._log = events
        self._clock = clock
        self._rounds: dict[float, SharedRounds[int]] = {}

    async def seq_ago(self, seconds: float) -> int:
        """The seq of the newest message that was stored at least so many seconds ago, as in `Log.seq_at`.

        Args:
            seconds: one of few values, each of which has a question of its own.

        Raises:
            Unavailable: the log does not answer.
        """
        if seconds not in self._rounds:
            self._rounds[seconds] = SharedRounds(partial(self._ask, seconds), "finding a time in the log")
        return await self._rounds[seconds].ask()

    async def seq_at(self, at_s: float) -> int:
        """The same for a time in seconds since 1970, for one caller.

        Raises:
            Unavailable: the log does not answer.
        """
        return await self._log.seq_at(REPLAYED_STREAM, at_s)

    async def _ask(self, seconds: float) -> int:
        return await self._log.seq_at(REPLAYED_STREAM, self._clock() - seconds)
