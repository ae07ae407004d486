"""The membership store in memory, with a switch that makes it unavailable."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from fanout.errors import ChannelExists, ChannelNotFound
from fanout.ids import new_membership_id
from fanout.membership_versions import now_us
from fanout.ports.memberships import ENDED_KEPT_S, Channel, Membership
from services.adapters.embedded.suspension import suspending
from tests.support.switchable import Switchable


@suspending
class FakeMemberships(Switchable):
    """Channels and memberships as dicts."""

    def __init__(self, clock: Callable[[], int] = now_us) -> None:
        super().__init__()
        self.channels: dict[str, Channel] = {}
        self.documents: dict[tuple[str, str], Membership] = {}
        self._clock = clock
        self._pending: dict[str, list[str]] = {}
        self._told_at: dict[tuple[str, str], int] = {}
        self._deleted = 0

    async def create(self, channel: Channel, members: Sequence[str], *, told: bool = False) -> list[Membership]:
        self._use()
        if channel.channel_id in self.channels:
            raise ChannelExists(channel.channel_id)
        self.channels[channel.channel_id] = channel
        created = [self._join(channel.channel_id, user, channel.created_at) for user in members]
        if not told:
            self._pending[channel.channel_id] = list(members)
            return created
        self._mark_told(created)
        return [self.documents[_key(membership)] for membership in created]

    async def channel(self, channel_id: str) -> Channel | None:
        self._use()
        return self.channels.get(channel_id)

    async def unfinished(self, limit: int) -> list[str]:
        self._use()
        return list(self._pending)[:limit]

    async def resume_creation(self, channel_id: str) -> list[Membership] | None:
        self._use()
        pending = self._pending.get(channel_id)
        return None if pending is None else [self.documents[channel_id, user] for user in pending]

    async def creation_told(self, channel_id: str) -> None:
        self._use()
        self._pending.pop(channel_id, None)

    async def add(self, channel_id: str, user_ids: Sequence[str], joined_at: str) -> list[Membership]:
        self._use()
        if channel_id not in self.channels:
            raise ChannelNotFound(channel_id)
        return [self._join(channel_id, user, joined_at) for user in user_ids]

    async def remove(self, channel_id: str, user_id: str, left_at: str) -> Membership | None:
        self._use()
        found = self.documents.get((channel_id, user_id))
        if found is not None and found.left_at is None:
            found = replace(found, left_at=left_at, version=max(self._clock(), found.version + 1), untold=True)
            self.documents[channel_id, user_id] = found
        return found

    async def membership(self, channel_id: str, user_id: str) -> Membership | None:
        self._use()
        return self.documents.get((channel_id, user_id))

    async def is_member(self, channel_id: str, user_id: str) -> bool:
        self._use()
        return any(each.user_id == user_id and each.channel_id == channel_id for each in self._lasting())

    async def channels_of(self, user_id: str) -> list[str]:
        self._use()
        return sorted(each.channel_id for each in self._lasting() if each.user_id == user_id)

    async def members_of(self, channel_id: str) -> list[str]:
        self._use()
        return sorted(each.user_id for each in self._lasting() if each.channel_id == channel_id)

    async def untold(self, limit: int) -> list[Membership]:
        self._use()
        return [each for each in self._by_version() if each.untold][:limit]

    async def count_untold(self) -> int:
        self._use()
        return sum(each.untold for each in self.documents.values())

    async def renew(self, memberships: Sequence[Membership]) -> list[Membership]:
        self._use()
        renewed = [
            replace(each, version=max(self._clock(), each.version + 1))
            for each in self._unchanged(memberships)
            if each.untold
        ]
        self.documents.update({_key(each): each for each in renewed})
        return renewed

    async def told(self, memberships: Sequence[Membership]) -> None:
        self._use()
        self._mark_told(memberships)

    async def changed_since(self, version: int, *, limit: int, after: Membership | None = None) -> list[Membership]:
        self._use()
        start = (version, ("", "")) if after is None else (after.version, _key(after))
        return [each for each in self._by_version() if (each.version, _key(each)) > start][:limit]

    async def prune(self, limit: int) -> int:
        self._use()
        before = self._clock() - ENDED_KEPT_S * 1_000_000
        old = [
            each
            for key, each in self.documents.items()
            if each.left_at is not None and not each.untold and self._told_at[key] <= before
        ][:limit]
        for each in old:
            del self.documents[_key(each)]
            self._deleted = max(self._deleted, each.version)
        return len(old)

    def _join(self, channel_id: str, user_id: str, joined_at: str) -> Membership:
        found = self.documents.get((channel_id, user_id))
        if found is None or found.left_at is not None:
            version = max(self._clock(), found.version + 1 if found else self._deleted + 1)
            found = Membership(channel_id, user_id, new_membership_id(), version, joined_at)
            self.documents[channel_id, user_id] = found
        return found

    def _mark_told(self, memberships: Sequence[Membership]) -> None:
        for each in self._unchanged(memberships):
            self.documents[_key(each)] = replace(each, untold=False)
            self._told_at[_key(each)] = self._clock()

    def _unchanged(self, memberships: Sequence[Membership]) -> list[Membership]:
        found = [(each, self.documents.get(_key(each))) for each in memberships]
        return [now for each, now in found if now is not None and now.version == each.version]

    def _lasting(self) -> list[Membership]:
        return [each for each in self.documents.values() if each.left_at is None]

    def _by_version(self) -> list[Membership]:
        return sorted(self.documents.values(), key=lambda each: (each.version, _key(each)))


def _key(membership: Membership) -> tuple[str, str]:
    return membership.channel_id, membership.user_id
