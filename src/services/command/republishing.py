"""Publication of the membership changes that the log has lost. Contract section 4, "When the log goes back"."""

from functools import partial
from typing import Final

import structlog

from fanout.log_record import REPUBLISHED_S
from fanout.ports.log import Log, Reset
from fanout.streams import MEMBERSHIP_STREAM, STREAMS
from services.command.membership_publisher import MembershipPublisher
from services.command.metrics import CHANGES_REPUBLISHED
from services.runtime.tasks import Tasks, retry_forever

log = structlog.get_logger(__name__)

MARGIN_S: Final = 60.0
"""A change may be in the log later than its version says; see `MembershipPublisher.republish_since`."""


class Republisher:
    """Publishes the changes again that are newer than the newest one that the log still holds.

    Each gateway does so without knowing of the others: the log drops what another gateway has published. A gateway that
    starts does so too, because the gateway that heard of the loss may have ended before it was done.

    Args:
        log: is asked for losses before this object listened.
        publisher: publishes the changes.
        tasks: runs the publication.
    """

    def __init__(self, log: Log, publisher: MembershipPublisher, tasks: Tasks) -> None:
        self._log = log
        self._publisher = publisher
        self._tasks = tasks

    def hear(self, reset: Reset) -> None:
        """Handle a reset of the log, as the listener of `Log.on_reset`."""
        if STREAMS[reset.stream].changes_memberships:
            self._tasks.start(self._republish(reset), "publishing membership changes again")

    def begin(self) -> None:
        """Publish again what was lost during the last `REPUBLISHED_S` seconds."""
        self._tasks.start(self._hear_of_missed(), "looking for lost membership changes")

    async def _hear_of_missed(self) -> None:
        since = self._publisher.now() / 1e6 - REPUBLISHED_S
        missed = await retry_forever(
            partial(self._log.missed_reset, MEMBERSHIP_STREAM, since), "looking whether the log went back"
        )
        if missed is not None:
            self.hear(missed)

    async def _republish(self, reset: Reset) -> None:
        survived_us = max(reset.survived_ns // 1_000, self._publisher.now() - int(REPUBLISHED_S * 1e6))
        since = max(0, survived_us - int(MARGIN_S * 1e6))
        published = await retry_forever(
            partial(self._publisher.republish_since, since), "publishing membership changes again"
        )
        CHANGES_REPUBLISHED.inc(published)
        log.info("membership changes were published again", published=published)
