"""The outbox: changes of memberships that the store holds, told on the log.

The store keeps the duty to tell with the change itself. The call that makes a change tells it at once; where it did
not, a sweep of any gateway does. Both may tell the same change: its message id is derived from the change, so that the
log drops the repeat, and a repeat that the log no longer knows as one changes nothing. Two changes never have the same
id. A change may be told after a newer one: its version says so, and readers ignore it.
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
from services.command.metrics import CHANGES_TOLD_LATE, CHANGES_UNTOLD

SWEEP_EVERY_S: Final = 2.0
PRUNE_EVERY_S: Final = 60.0
RENEW_AFTER_US: Final = 10_000_000
"""A change that is told later than this gets a new version first, so that the log holds versions nearly in order."""

_PAGE: Final = 500
_MARKED_AT_ONCE: Final = 50


@contextmanager
def _made() -> Iterator[None]:
    """What follows a change that the store holds: where it fails, nobody may say that nothing was done."""
    try:
        yield
    except OutcomeUnknown:
        raise
    except Unavailable as error:
        raise OutcomeUnknown(f"the change is made, and not told yet: {error}") from error


class Outbox:
    """Tells changes of memberships, and keeps account of what is told.

    Args:
        log: where they are told.
        memberships: the store that holds them.
        clock: microseconds since 1970.
    """

    def __init__(self, log: Log, memberships: Memberships, clock: Callable[[], int] = now_us) -> None:
        self._log = log
        self._memberships = memberships
        self._clock = clock

    def now(self) -> int:
        """The time, in microseconds since 1970, as versions have it."""
        return self._clock()

    async def tell(self, memberships: Sequence[Membership]) -> int:
        """Tell the newest change of each, but for those that were told.

        Returns:
            how many the log did not hold.

        Raises:
            OutcomeUnknown: some may not be told yet; the sweep tells them.
        """
        with _made():
            untold = [membership for membership in memberships if membership.untold]
            return await self._tell(await self._renewed(untold))

    async def finish_creation(self, channel_id: str) -> bool:
        """Write and tell what the creation of a channel has left undone; False where it has left nothing.

        Raises:
            OutcomeUnknown: it is still unfinished; the sweep goes on with it.
        """
        with _made():
            first_members = await self._memberships.resume_creation(channel_id)
            if first_members is None:
                return False
            await self.tell(first_members)
            await self._memberships.creation_told(channel_id)
            return True

    async def sweep(self) -> None:
        """Tell what the calls that made the changes did not.

        Raises:
            Unavailable: the store or the log is away; what is untold stays in the store.
        """
        CHANGES_UNTOLD.set(await self._memberships.count_untold())
        unfinished = await self._memberships.unfinished(_PAGE)
        for channel_id in unfinished:
            await self._memberships.resume_creation(channel_id)
        while await self._tell_page() == _PAGE:
            pass
        for channel_id in unfinished:
            await self._memberships.creation_told(channel_id)

    async def prune(self) -> None:
        """Delete the documents of memberships that ended and were told long ago.

        Raises:
            Unavailable: the store is away.
        """
        while await self._memberships.prune(_PAGE) == _PAGE:
            pass

    async def tell_again_since(self, version: int) -> int:
        """Tell every change again that has this version or a newer one, as the store holds it now.

        For a log that has lost its newest events. Begin a minute before the first that is lost: a change may stand in
        the log later than its version says, by `RENEW_AFTER_US`, the time that the log took to answer, and the skew of
        the gateways' clocks.

        Returns:
            how many the log did not hold.

        Raises:
            Unavailable: not all were told; call again with the same version.
        """
        news, last = 0, None
        while True:
            page = await self._memberships.changed_since(version, limit=_PAGE, after=last)
            news += await self._tell(page)
            if len(page) < _PAGE:
                return news
            last = page[-1]

    async def _tell_page(self) -> int:
        page = await self._memberships.untold(_PAGE)
        CHANGES_TOLD_LATE.inc(await self.tell(page))
        return len(page)

    async def _renewed(self, memberships: Sequence[Membership]) -> list[Membership]:
        fresh_from = self._clock() - RENEW_AFTER_US
        late = [membership for membership in memberships if membership.version < fresh_from]
        fresh = [membership for membership in memberships if membership.version >= fresh_from]
        return fresh + (await self._memberships.renew(late) if late else [])

    async def _tell(self, memberships: Sequence[Membership]) -> int:
        """Publish changes and mark them as told; how many were news to the log."""
        news = 0
        for start in range(0, len(memberships), _MARKED_AT_ONCE):
            some = memberships[start : start + _MARKED_AT_ONCE]
            news += sum([await self._publish(membership) for membership in some])
            await self._memberships.told(some)
        return news

    async def _publish(self, membership: Membership) -> bool:
        """Publish the newest change; whether the log did not hold it."""
        channel_id, user_id, version = membership.channel_id, membership.user_id, membership.version
        event: MemberJoined | MemberLeft
        if membership.left_at is None:
            kind, subject = "joined", subjects.member_joined(channel_id)
            event = MemberJoined(new_event_id(), channel_id, user_id, membership.joined_at, version)
        else:
            kind, subject = "left", subjects.member_left(channel_id)
            event = MemberLeft(new_event_id(), channel_id, user_id, membership.left_at, version)
        msg_id = f"{kind}:{membership.membership_id}:{version}"
        return not (await self._log.append(subject, encode(event), msg_id=msg_id)).duplicate
