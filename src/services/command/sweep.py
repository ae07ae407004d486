"""The sweep: publishes membership changes that are not on the log yet, again and again until they are."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fanout.ports.log import Log
from fanout.ports.memberships import Memberships
from services.command.membership_publisher import PRUNE_EVERY_S, SWEEP_EVERY_S, MembershipPublisher
from services.command.republishing import Republisher
from services.runtime.tasks import Tasks, periodic


@asynccontextmanager
async def running_sweep(
    log: Log, memberships: Memberships, on_failure: Callable[[BaseException], None]
) -> AsyncIterator[None]:
    """Append the changes of memberships that no call has appended, or that the log has lost, while the context lasts.

    Any number of processes may do it at the same time.

    Args:
        log: gets the events.
        memberships: the store with the unpublished changes; old documents of ended memberships are deleted there.
        on_failure: is called with an error that ends the sweep.
    """
    publisher = MembershipPublisher(log, memberships)
    async with Tasks(on_failure) as tasks:
        republisher = Republisher(log, publisher, tasks)
        forget = log.on_reset(republisher.hear)
        republisher.begin()
        tasks.start(periodic(SWEEP_EVERY_S, publisher.sweep, "publishing changes of memberships"), "membership-sweep")
        tasks.start(periodic(PRUNE_EVERY_S, publisher.prune, "deleting ended memberships"), "membership-prune")
        yield
        forget()
