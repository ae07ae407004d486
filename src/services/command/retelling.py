"""Publication of the membership changes that the log has lost. Contract section 4, "When the log goes back"."""

from functools import partial
from typing import Final

import structlog

from fanout.log_record import RETOLD_S
from fanout.ports.log import Log, Reset
from fanout.streams import MEMBERSHIP_STREAM, STREAMS
from services.command.metrics import CHANGES_TOLD_AGAIN
from services.command.outbox import Outbox
from services.runtime.tasks import Tasks, retry_forever

log = structlog.get_logger(__name__)

MARGIN_S: Final = 60.0
"""A change may be in the log later than its version says; see `Outbox.tell_again_since`."""


class Retelling:
    """Publishes the changes again that are newer than the newest one that the log still holds.

    Each gateway does so without knowing of the others: the log drops what another gateway has published. A gateway that
    starts does so too, because the gateway that heard of the loss may have ended before it was done.

    Args:
        log: is asked for losses before this object listened.
        outbox: publishes the changes.
        tasks: runs the publication.
    """

    def __init__(self, log: Log, outbox: Outbox, tasks: Tasks) -> None:
        self._log = log
        self._outbox = outbox
        self._tasks = tasks

    def hear(self, reset: Reset) -> None:
        """Handle a reset of the log, as the listener of `Log.on_reset`."""
        if STREAMS[reset.stream].changes_memberships:
            self._tasks.start(self._tell_again(reset), "publishing membership changes again")

    def begin(self) -> None:
        """Publish again what was lost during the last `RETOLD_S` seconds."""
        self._tasks.start(self._hear_of_missed(), "looking for lost membership changes")

    async def _hear_of_missed(self) -> None:
        since = self._outbox.now() / 1e6 - RETOLD_S
        missed = await retry_forever(
            partial(self._log.missed_reset, MEMBERSHIP_STREAM, since), "looking whether the log went back"
        )
        if missed is not None:
            self.hear(missed)

    async def _tell_again(self, reset: Reset) -> None:
        survived_us = max(reset.survived_ns // 1_000, self._outbox.now() - int(RETOLD_S * 1e6))
        since = max(0, survived_us - int(MARGIN_S * 1e6))
        told = await retry_forever(partial(self._outbox.tell_again_since, since), "publishing membership changes again")
        CHANGES_TOLD_AGAIN.inc(told)
        log.info("membership changes were published again", published=told)
