"""The log's end: all logins of a moment share one question for it."""

from fanout.ports.log import Log
from fanout.streams import REPLAYED_STREAM
from services.notification.registry import Registry
from services.notification.session import Session
from services.runtime.shared_rounds import SharedRounds


class LogEnd:
    """Asks how far the log goes.

    Every message that comes live to a session was stored either up to an end that was asked for while the session holds
    live messages, or is held. So the session lacks nothing when it has the log up to there, and then what it holds.

    Args:
        events: the log.
        registry: holds the sessions' frames.
    """

    def __init__(self, events: Log, registry: Registry) -> None:
        self._log = events
        self._write_queue = registry.write_queue
        self._end = SharedRounds(self._ask, "finding the end of the messages")

    async def now(self) -> int:
        """The seq of the newest message that was stored when this was called, or one that was stored since.

        Raises:
            Unavailable: the log does not answer.
        """
        return await self._end.ask()

    async def held(self, session: Session) -> int:
        """The log's end, above which the session holds every live message.

        Raises:
            Unavailable: the log does not answer.
        """
        while True:
            self._write_queue.hold(session)
            end = await self.now()
            if self._write_queue.is_holding(session) or session.ending is not None:
                return end

    async def _ask(self) -> int:
        return await self._log.last_seq(REPLAYED_STREAM)
