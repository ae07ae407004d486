"""Positions in the log, for the history: how far the store and the log have come, and where a message is."""

import asyncio
from typing import Final, NamedTuple

import structlog

from fanout.error_codes import UNKNOWN_MESSAGE
from fanout.errors import CallRejected, FanoutError
from fanout.ports.log import Log
from fanout.ports.messages import IndexEntry
from fanout.streams import MESSAGE_WRITER, MESSAGES
from services.runtime.accepted_messages import AcceptedMessages
from services.runtime.shared_rounds import SharedRounds

log = structlog.get_logger(__name__)

LOG_ANSWERS_WITHIN_S: Final = 2.0
"""Seconds. If the log has not answered by then, the history is answered without it."""


class Ends(NamedTuple):
    """How far the store and the log have come. Read the store after it: then the store has at least that."""

    stored: int
    """A `seq` up to which the store holds every message that the log held. It never falls: if the log does not answer,
    this is its last answer, or 0 if there was none, because stored messages stay stored."""
    newest: int | None
    """The newest `seq` that the log held after it was asked for; None if the log did not answer."""


class Positions:
    """Finds positions in the log.

    Args:
        events: the log.
        accepted: finds messages, stored or not.
    """

    def __init__(self, events: Log, accepted: AcceptedMessages) -> None:
        self._log = events
        self._accepted = accepted
        self._stored = 0
        self._rounds = SharedRounds(self._ask, "asking for the ends of the log")
        self._answered = True

    async def ends(self) -> Ends:
        """How far the store and the log have come, asked for after this call began."""
        try:
            async with asyncio.timeout(LOG_ANSWERS_WITHIN_S):
                newest = await self._rounds.ask()
                return Ends(self._stored, newest)
        except (FanoutError, TimeoutError) as error:
            if self._answered:
                log.warning("the log does not say how far the writer has come", reason=str(error) or "no answer")
            self._answered = False
            return Ends(self._stored, None)

    async def stored(self, wanted: int) -> int:
        """A `seq` up to which the store holds every message, at least `wanted` if that is so.

        Args:
            wanted: the log is asked only if the store was not known to have come so far.
        """
        return self._stored if self._stored >= wanted else (await self.ends()).stored

    async def _ask(self) -> int:
        newest, acknowledged = await asyncio.gather(
            self._log.last_seq(MESSAGES), self._log.acknowledged(MESSAGES, MESSAGE_WRITER)
        )
        self._stored = max(self._stored, acknowledged)
        self._answered = True
        return newest

    async def find(self, channel_id: str, message_id: str) -> IndexEntry:
        """Where a message of a channel is, from the store or, if it is not stored yet, from the log.

        Args:
            channel_id: the channel that the message must be of.
            message_id: the message to find.

        Raises:
            CallRejected: neither holds such a message of this channel.
            Unavailable: one of them cannot be read, or the writer is too far behind to search what it has to store.
        """
        entry = await self._accepted.find(message_id, channel_id)
        if entry is None or entry.channel_id != channel_id:
            raise CallRejected(UNKNOWN_MESSAGE)
        return entry
