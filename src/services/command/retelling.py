"""Changes of memberships that the log has lost, told again. Contract section 4, "When the log goes back"."""

from functools import partial
from typing import Final

import structlog

from fanout.log_record import RETOLD_S
from fanout.ports.log import Reset
from fanout.subjects import META
from services.command.metrics import CHANGES_TOLD_AGAIN
from services.command.outbox import Outbox
from services.runtime.tasks import Tasks, insist

log = structlog.get_logger(__name__)

MARGIN_S: Final = 60.0
"""A change may stand in the log later than its version says; see `Outbox.tell_again_since`."""


class Retelling:
    """Has the store's word told again, from the newest change on that the log still holds.

    Each gateway does it, so that none need know of the others: the log drops what another has told.

    Args:
        outbox: tells.
        tasks: run it.
    """

    def __init__(self, outbox: Outbox, tasks: Tasks) -> None:
        self._outbox = outbox
        self._tasks = tasks

    def hear(self, reset: Reset) -> None:
        """Listener of `Log.on_reset`."""
        if reset.stream == META:
            self._tasks.start(self._tell_again(reset), "telling changes of memberships again")

    async def _tell_again(self, reset: Reset) -> None:
        survived_us = max(reset.survived_ns // 1_000, self._outbox.now() - int(RETOLD_S * 1e6))
        since = max(0, survived_us - int(MARGIN_S * 1e6))
        told = await insist(partial(self._outbox.tell_again_since, since), "telling changes of memberships again")
        CHANGES_TOLD_AGAIN.inc(told)
        log.info("changes of memberships were told again", told=told)
