"""The focus of a story: the users, channels and messages of the promises that are broken."""

import re
from collections.abc import Sequence
from typing import Final

from tests.simulation.evidence import Broken
from tests.simulation.history import History
from tests.simulation.plan import Plan

_NAME: Final = re.compile(r"\w+")


class Focus:
    """Says what of a trace a story tells.

    Args:
        plan: of the run.
        history: of the run.
        broken: the promises that are broken.
    """

    def __init__(self, plan: Plan, history: History, broken: Sequence[Broken]) -> None:
        known = {*plan.devices.values(), *plan.channels}
        known |= {user for members in plan.channels.values() for user in members}
        for entry in history.of("posts", "asks"):
            known |= {entry.about["user"], entry.about["channel"], entry.about.get("message", "")}
        named = {name for one in broken for name in _NAME.findall(one.what)}
        self._of = known & named

    def has(self, of: Sequence[str]) -> bool:
        """Whether something is to be told that is about these users, channels and messages.

        It is if one of them is in the focus, if it is about none of them, and if the focus is empty.
        """
        return not of or not self._of or not self._of.isdisjoint(of)
