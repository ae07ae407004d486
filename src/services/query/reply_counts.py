"""Counting the replies of threads, at the cost of the replies that are new.

The rows of the store are the count. Below the position up to which the message writers have stored everything no row is
added any more, so the number of rows there is remembered, and only those above it are counted again.

After a log went back, a message may move from such a position to a higher one. Therefore a number is remembered for a
bounded time only.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from fanout import machine
from fanout.ports.messages import Messages

RECOUNTED_AFTER_S: Final = 60.0
"""Seconds after which the rows of a thread are all counted again."""
_REMEMBERED: Final = 10_000


class _Counted(NamedTuple):
    replies: int
    upto: int
    """The `seq` up to which `replies` are counted."""
    since: float
    """When all rows were counted."""


class ReplyCounts:
    """Counts replies for one process.

    Args:
        messages: the store.
        clock: seconds that never step back.
    """

    def __init__(self, messages: Messages, clock: Callable[[], float] = machine.monotonic_s) -> None:
        self._messages = messages
        self._clock = clock
        self._counted: OrderedDict[str, _Counted] = OrderedDict()

    async def count(self, thread_id: str, stored: int) -> int:
        """The number of stored replies of a thread.

        Args:
            thread_id: the thread.
            stored: a `seq` up to which the store holds every message that the log held.

        Raises:
            Unavailable: the store cannot be read.
        """
        known = self._known(thread_id)
        upto = max(known.upto, stored)
        new, above = await asyncio.gather(
            self._messages.reply_count(thread_id, after=known.upto, upto=upto),
            self._messages.reply_count(thread_id, after=upto),
        )
        self._remember(thread_id, known._replace(replies=known.replies + new, upto=upto))
        return known.replies + new + above

    def _known(self, thread_id: str) -> _Counted:
        now = self._clock()
        known = self._counted.get(thread_id)
        return known if known is not None and now - known.since < RECOUNTED_AFTER_S else _Counted(0, -1, now)

    def _remember(self, thread_id: str, counted: _Counted) -> None:
        self._counted[thread_id] = counted
        self._counted.move_to_end(thread_id)
        if len(self._counted) > _REMEMBERED:
            self._counted.popitem(last=False)
