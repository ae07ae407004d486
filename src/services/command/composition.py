"""Where the commands meet what they work on."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fanout.api import Commands
from fanout.ports.log import Log
from fanout.ports.memberships import Memberships
from services.command.outbox import PRUNE_EVERY_S, SWEEP_EVERY_S, Outbox
from services.command.retelling import Retelling
from services.command.service import CommandService
from services.runtime.tasks import Tasks, periodic


def build_commands(log: Log, memberships: Memberships) -> Commands:
    """The commands over ready adapters."""
    return CommandService(log, memberships)


@asynccontextmanager
async def running_sweep(
    log: Log, memberships: Memberships, on_failure: Callable[[BaseException], None]
) -> AsyncIterator[None]:
    """Tell changes of memberships that no call has told, or that the log has lost, for the length of the context.

    Any number may do it.
    """
    outbox = Outbox(log, memberships)
    async with Tasks(on_failure) as tasks:
        retelling = Retelling(log, outbox, tasks)
        forget = log.on_reset(retelling.hear)
        retelling.begin()
        tasks.start(periodic(SWEEP_EVERY_S, outbox.sweep, "telling changes of memberships"), "membership-sweep")
        tasks.start(periodic(PRUNE_EVERY_S, outbox.prune, "deleting ended memberships"), "membership-prune")
        yield
        forget()
