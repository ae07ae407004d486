"""Where the rows of an import go: channels, and memberships."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, Protocol, TypeVar

from fanout.events import timestamp
from fanout.ports.imports import Imports, NewMembership
from fanout.ports.memberships import Channel
from services.importing.pacing import Pacer
from services.importing.rows import ChannelRow, MembershipRow, Moment, Row, RowReader

AT_ONCE: Final = 2_000
"""Rows that are written at once while nobody waits for the store: after an interruption, so many come again."""
PACED_AT_ONCE: Final = 500
"""Rows that are written at once while services run: their writes wait for a transaction."""
KNOWN_CHANNELS: Final = 200_000
"""Channels that are remembered to exist: they take 30 MB at most."""

R = TypeVar("R", bound=Row)


class Target(Protocol[R]):
    """Takes rows of one kind."""

    kind: str
    """`channels` or `memberships`."""
    rows: RowReader[R]
    at_once: int
    """How many rows it takes at a time."""

    async def refused_channels(self, rows: Sequence[R]) -> Collection[str]:
        """The ids of channels whose rows must not be written."""
        ...

    async def write(self, rows: Sequence[R]) -> int:
        """Write rows, and return how many were new. Writing them again changes nothing."""
        ...

    async def settle(self) -> None:
        """Return when what was written has reached the services that run."""
        ...


class Channels:
    """A `Target` for channels.

    Args:
        imports: the store.
        now: the time of creation where a row has none.
    """

    kind = "channels"
    at_once = AT_ONCE

    def __init__(self, imports: Imports, now: str) -> None:
        self._imports = imports
        self._now = now
        self.rows = RowReader(ChannelRow)

    async def refused_channels(self, rows: Sequence[ChannelRow]) -> Collection[str]:  # noqa: ARG002 - `Target`
        """See `Target`: none."""
        return ()

    async def write(self, rows: Sequence[ChannelRow]) -> int:
        """See `Target`."""
        return await self._imports.create_channels(
            [
                Channel(row.channel_id, row.name, row.private, row.created_by, _time(row.created_at, self._now))
                for row in rows
            ]
        )

    async def settle(self) -> None:
        """See `Target`. No service keeps channels without members in memory."""


class MembersOfChannels:
    """A `Target` for memberships.

    Args:
        imports: the store.
        now: the beginning of a membership where a row has none.
        pacer: holds the import back while services run; None if none runs.
        owner: creates the channels that do not exist, as private ones; None to refuse their rows.
    """

    kind = "memberships"

    def __init__(self, imports: Imports, now: str, pacer: Pacer | None, owner: str | None = None) -> None:
        self._imports = imports
        self._now = now
        self._pacer = pacer
        self._owner = owner
        self._known: set[str] = set()
        self.rows = RowReader(MembershipRow)
        self.at_once = PACED_AT_ONCE if pacer else AT_ONCE

    async def refused_channels(self, rows: Sequence[MembershipRow]) -> Collection[str]:
        """See `Target`: those that do not exist."""
        return () if self._owner else await self._missing(row.channel_id for row in rows)

    async def write(self, rows: Sequence[MembershipRow]) -> int:
        """See `Target`."""
        if self._owner:
            await self._create(await self._missing(row.channel_id for row in rows), self._owner)
        new = [NewMembership(row.channel_id, row.user_id, _time(row.joined_at, self._now)) for row in rows]
        if self._pacer is None:
            return await self._imports.add_memberships(new, published=True)
        await self._pacer.before(len(new))
        began = await self._imports.add_memberships(new)
        self._pacer.after(began)
        return began

    async def settle(self) -> None:
        """See `Target`."""
        if self._pacer is not None:
            await self._pacer.all_published()

    async def _missing(self, channel_ids: Iterable[str]) -> set[str]:
        asked = set(channel_ids) - self._known
        missing = await self._imports.missing_channels(asked) if asked else set()
        if len(self._known) > KNOWN_CHANNELS:
            self._known.clear()
        self._known |= asked - missing
        return missing

    async def _create(self, channel_ids: Iterable[str], owner: str) -> None:
        await self._imports.create_channels(
            [Channel(each, each, private=True, created_by=owner, created_at=self._now) for each in sorted(channel_ids)]
        )


def _time(moment: Moment | None, now: str) -> str:
    return timestamp(moment) if moment else now
