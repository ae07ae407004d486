"""Channels with their members in the store of memberships."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from fanout.events import timestamp
from fanout.ports.memberships import Channel
from services.adapters.sqlite.memberships import SqliteMemberships

_CREATED_AT_ONCE: Final = 500


async def create_channels(memberships: SqliteMemberships, members: Mapping[str, Sequence[str]]) -> None:
    """Create channels of the given members, of which nobody is told."""
    created_at, names = timestamp(), list(members)
    for start in range(0, len(names), _CREATED_AT_ONCE):
        creations = (
            memberships.create(
                Channel(name, name, private=False, created_by=members[name][0], created_at=created_at),
                members[name],
                published=True,
            )
            for name in names[start : start + _CREATED_AT_ONCE]
        )
        await asyncio.gather(*creations)
