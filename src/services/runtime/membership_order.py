"""The order of membership events: by their versions, whatever their order in the log."""

from collections.abc import Callable

from prometheus_client import Counter

from fanout.events import MemberEvent, MemberJoined
from fanout.membership_versions import Age, MembershipVersions, now_us
from fanout.ports.memberships import Memberships
from services.runtime.tasks import retry_forever

OUTDATED = Counter(
    "fanout_membership_events_outdated_total", "Membership events that came after a newer change and were ignored"
)


class MembershipOrder:
    """Decides which events a reader of META must ignore, because a newer change of the same membership is known.

    Args:
        memberships: the store. It is asked where the versions of recent changes do not decide.
        known_at: when the reader's membership lists were loaded, in microseconds since 1970; None for now.
        clock: microseconds since 1970.
    """

    def __init__(
        self, memberships: Memberships, *, known_at: int | None = None, clock: Callable[[], int] = now_us
    ) -> None:
        self._memberships = memberships
        self._clock = clock
        self._versions = MembershipVersions(clock() if known_at is None else known_at)

    def begin(self) -> None:
        """Note that the reader reads from the end of META on, and has just found it: it reads no event of before.

        A newer change than an event that it will read may be among those.
        """
        self._versions = MembershipVersions(self._clock())

    def loading(self, user_id: str) -> None:
        """Note that the user's list is loaded from the store now: an older event must not change it unchecked."""
        self._versions.loaded(user_id, self._clock())

    async def is_newest(self, event: MemberEvent, *, has_list: bool = True) -> bool:
        """Whether an event is to be applied. If the store has to be asked and is unavailable, this waits for it.

        Args:
            event: from META.
            has_list: whether the reader has a list of this user, which an outdated event would make wrong.
        """
        user_id, channel_id = event.user_id, event.channel_id
        age = self._versions.age(user_id, channel_id, event.version, self._clock())
        if age is Age.OLDER or (age is Age.UNKNOWN and has_list and not await self._is_in_store(event)):
            OUTDATED.inc()
            return False
        self._versions.seen(user_id, channel_id, event.version)
        return True

    async def _is_in_store(self, event: MemberEvent) -> bool:
        """Whether the store holds no newer change. A newer one has an event of its own, which came or will come."""
        stored = await retry_forever(
            lambda: self._memberships.membership(event.channel_id, event.user_id), "checking a membership event"
        )
        if stored is None:  # the membership ended long ago, or there never was one
            return not isinstance(event, MemberJoined)
        self._versions.seen(event.user_id, event.channel_id, stored.version)
        return stored.version <= event.version
