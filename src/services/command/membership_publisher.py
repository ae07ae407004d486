"""Publishes on the log the membership changes that the store holds. The store is a transactional outbox.

The store marks each change as *unpublished*, in the same write as the change, until it is published. The call that
makes a change publishes it at once. A sweep of any gateway publishes what such a call did not. Both may publish the
same change: the message id is derived from the change, so the log drops the repeat, and a repeat after the log's dedup
window changes nothing. Two changes never have the same id. A change may be published after a newer one; readers ignore
it because of its version.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from fanout import subjects
from fanout.errors import OutcomeUnknown, Unavailable
from fanout.events import MemberJoined, MemberLeft, encode
from fanout.ids import new_event_id
from fanout.membership_versions import now_us
from fanout.ports.log import Log
from fanout.ports.memberships import Membership, Memberships
from fanout.streams import MESSAGES
from services.command.metrics import CHANGES_PUBLISHED_LATE, CHANGES_UNPUBLISHED
from services.runtime.tasks import all_ended

SWEEP_EVERY_S: Final = 2.0
PRUNE_EVERY_S: Final = 60.0
RENEW_AFTER_US: Final = 10_000_000
"""A change that is published later than this gets a new version first, so that the log is nearly in version order."""

_PAGE: Final = 500
_MARKED_AT_ONCE: Final = 50


@contextmanager
def _made() -> Iterator[None]:
    """Turn `Unavailable` into `OutcomeUnknown`: the store holds the change, though what follows it failed."""
    try:
        yield
    except OutcomeUnknown:
        raise
    except Unavailable as error:
        raise OutcomeUnknown(f"the change is made, and not published yet: {error}") from error


class MembershipPublisher:
    """Publishes membership changes, and then marks them in the store as published.

    Args:
        log: where they are published.
        memberships: the store that holds them.
        clock: microseconds since 1970.
    """

    def __init__(self, log: Log, memberships: Memberships, clock: Callable[[], int] = now_us) -> None:
        self._log = log
        self._memberships = memberships
        self._clock = clock

    def now(self) -> int:
        """The time in microseconds since 1970, the unit of versions."""
        return self._clock()

    async def publish(self, memberships: Sequence[Membership]) -> int:
        """Publish the newest change of each membership that is unpublished.

        Returns:
            how many of them the log did not hold.

        Raises:
            OutcomeUnknown: some may not be published yet; the sweep publishes them.
        """
        with _made():
            unpublished = [membership for membership in memberships if membership.unpublished]
            return await self._publish_and_mark(await self._renewed(unpublished))

    async def finish_creation(self, channel_id: str) -> bool:
        """Finish the creation of a channel: write its first members and publish that they joined.

        Returns:
            whether there was something to finish.

        Raises:
            OutcomeUnknown: it is still unfinished; the sweep finishes it.
        """
        with _made():
            first_members = await self._memberships.resume_creation(channel_id)
            if first_members is None:
                return False
            await self.publish(first_members)
            await self._memberships.creation_published(channel_id)
            return True

    async def sweep(self) -> None:
        """Publish the changes that the calls which made them did not publish.

        Raises:
            Unavailable: the store or the log is unavailable; the rest stays unpublished in the store.
        """
        CHANGES_UNPUBLISHED.set(await self._memberships.count_unpublished())
        unfinished = await self._memberships.unfinished(_PAGE)
        for channel_id in unfinished:
            await self._memberships.resume_creation(channel_id)
        while await self._publish_page() == _PAGE:
            pass
        for channel_id in unfinished:
            await self._memberships.creation_published(channel_id)

    async def prune(self) -> None:
        """Delete the documents of memberships that ended and were published long ago.

        Raises:
            Unavailable: the store is unavailable.
        """
        while await self._memberships.prune(_PAGE) == _PAGE:
            pass

    async def republish_since(self, version: int) -> int:
        """Publish every change of this version or a newer one again, as the store holds it now.

        This repairs a log that has lost its newest events. Begin a minute before the first lost event: a change may be
        in the log later than its version says, by `RENEW_AFTER_US`, the time that the log took to answer, and the skew
        of the gateways' clocks.

        Args:
            version: the lowest version, in microseconds since 1970.

        Returns:
            how many of them the log did not hold.

        Raises:
            Unavailable: not all were published; call again with the same version.
        """
        news, last = 0, None
        while True:
            page = await self._memberships.changed_since(version, limit=_PAGE, after=last)
            news += await self._publish_and_mark(page)
            if len(page) < _PAGE:
                return news
            last = page[-1]

    async def _publish_page(self) -> int:
        page = await self._memberships.unpublished(_PAGE)
        CHANGES_PUBLISHED_LATE.inc(await self.publish(page))
        return len(page)

    async def _renewed(self, memberships: Sequence[Membership]) -> list[Membership]:
        fresh_from = self._clock() - RENEW_AFTER_US
        late = [membership for membership in memberships if membership.version < fresh_from]
        fresh = [membership for membership in memberships if membership.version >= fresh_from]
        return fresh + (await self._memberships.renew(late) if late else [])

    async def _publish_and_mark(self, memberships: Sequence[Membership]) -> int:
        """Publish changes and mark them as published. Return how many the log did not hold.

        Some are published at the same time, since each is of another user or channel.
        """
        news = 0
        for start in range(0, len(memberships), _MARKED_AT_ONCE):
            some = memberships[start : start + _MARKED_AT_ONCE]
            joined = any(membership.left_at is None for membership in some)
            messages_seq = await self._log.last_seq(MESSAGES) if joined else 0
            publishing = (self._publish_one(membership, messages_seq) for membership in some)
            news += sum(await all_ended(publishing))
            await self._memberships.mark_published(some)
        return news

    async def _publish_one(self, membership: Membership, messages_seq: int) -> bool:
        """Publish the newest change. Return whether the log did not hold it.

        Args:
            membership: with the change.
            messages_seq: the end of MESSAGES: what is up to there is read for a user who joins.
        """
        channel_id, user_id, version = membership.channel_id, membership.user_id, membership.version
        event: MemberJoined | MemberLeft
        if membership.left_at is None:
            kind, subject = "joined", subjects.member_joined(channel_id)
            event = MemberJoined(new_event_id(), channel_id, user_id, membership.joined_at, version, messages_seq)
        else:
            kind, subject = "left", subjects.member_left(channel_id)
            event = MemberLeft(new_event_id(), channel_id, user_id, membership.left_at, version)
        msg_id = f"{kind}:{membership.membership_id}:{version}"
        return not (await self._log.append(subject, encode(event), msg_id=msg_id)).duplicate
