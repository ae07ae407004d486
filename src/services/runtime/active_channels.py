"""Notes which channels users open and write to, now and then and many at once, so that nobody waits for it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import structlog

from fanout.errors import Unavailable
from fanout.ports.client_state import ClientState
from services.runtime.tasks import Tasks, periodic

log = structlog.get_logger(__name__)

WRITE_EVERY_S: Final = 1.0
MOST_WAITING: Final = 20_000
"""Uses that may wait for the store. The oldest are forgotten above that: they only order channels."""
_WRITTEN_AT_ONCE: Final = 500


class ActiveChannels:
    """Collects the uses of channels.

    Args:
        store: keeps them.
    """

    def __init__(self, store: ClientState) -> None:
        self._store = store
        self._waiting: dict[tuple[str, str], None] = {}  # a set that keeps its order

    def note(self, user_id: str, channel_id: str) -> None:
        """Note that a user has used a channel."""
        use = user_id, channel_id
        self._waiting.pop(use, None)
        self._waiting[use] = None
        if len(self._waiting) > MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]

    async def write(self) -> None:
        """Write what was noted. If the store is away, it waits for the next call."""
        while self._waiting:
            some = list(self._waiting)[:_WRITTEN_AT_ONCE]
            await self._store.note_used(some)
            for use in some:
                self._waiting.pop(use, None)


@asynccontextmanager
async def noting_active_channels(
    store: ClientState, on_failure: Callable[[BaseException], None]
) -> AsyncIterator[ActiveChannels]:
    """Write uses from time to time while the context lasts, and once more at its end.

    Args:
        store: keeps them.
        on_failure: called if the writing fails for another reason than a store that is away.
    """
    channels = ActiveChannels(store)
    async with Tasks(on_failure) as tasks:
        tasks.start(periodic(WRITE_EVERY_S, channels.write, "noting active channels"), "active channels")
        yield channels
    try:
        await channels.write()
    except Unavailable as error:
        log.warning("the channels that were used last are not noted", reason=str(error))
