"""Presence as processes reach it: calls over a link."""

from collections.abc import Awaitable, Callable
from typing import Any

from tests.simulation.links import Linked, no_more_is_known


class LinkedPresence(Linked):
    """The ports of presence for one process."""

    async def _reach(self, work: Callable[[], Awaitable[Any]], name: str) -> Any:
        with no_more_is_known():
            return await super()._reach(work, name)
