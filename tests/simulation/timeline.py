"""When a user was a member of a channel, as far as the history makes it certain."""

from typing import Final, NamedTuple

from tests.simulation.history import History
from tests.simulation.plan import Plan

NEVER: Final = float("inf")
_ENDS: Final = frozenset({"leave", "remove"})
"""The calls that end a membership."""
_REFUSED: Final = frozenset({400, 403, 404})
"""The statuses of a call that did nothing, if it was not repeated: an earlier try may have been done. A channel that
exists (409) may be that of an earlier process."""


class Change(NamedTuple):
    """A change of a membership. It took effect at some time between the two."""

    asked: float
    answered: float
    """`NEVER` where no answer says whether it was done."""
    joins: bool


class Timeline:
    """The changes of each membership.

    Args:
        plan: has the first members.
        history: has the changes.
    """

    def __init__(self, plan: Plan, history: History) -> None:
        self._plan = plan
        self._changes: dict[tuple[str, str], list[Change]] = {}
        answers = {entry.about["call"]: entry for entry in history.of("answered")}
        for entry in history.of("asks"):
            answer = answers.get(entry.about["call"])
            at, status = (answer.at, answer.about["status"]) if answer else (NEVER, 0)
            if answer and status in _REFUSED and answer.about["tries"] == 1:
                continue
            change = Change(entry.at, at if status in (200, 201) else NEVER, entry.about["to"] not in _ENDS)
            for user in entry.about["users"]:
                self._changes.setdefault((user, entry.about["channel"]), []).append(change)

    def first(self, user: str, channel: str) -> float:
        """When the user was first made a member, or somebody first asked for it."""
        if self._is_first_member(user, channel):
            return 0.0
        return min((change.asked for change in self._of(user, channel) if change.joins), default=NEVER)

    def joined(self, user: str, channel: str) -> tuple[float, float]:
        """Between when and when the newest membership began, at the end: the bounds of all calls that may have done so.

        A call that may have found a member, and so changed nothing, is one of them, but for those before the last
        leave that is certain. `NEVER` as the second one says that this is not known.
        """
        changes = self._of(user, channel)
        joins = [change for change in changes if change.joins]
        gone = max((leave.asked for leave in changes if self._ends_all(leave, changes)), default=0.0)
        later = [join for join in joins if join.asked >= gone]
        if not gone and self._is_first_member(user, channel):
            asked = 0.0
        else:
            asked = min((join.asked for join in later), default=0.0)
        if not changes:
            return 0.0, 0.0
        return asked, max((change.answered for change in changes), default=0.0)

    def left(self, user: str, channel: str, before: float, at: float) -> float:
        """When the user had surely left, before a time, and not come back until another; `NEVER` if that is not so.

        Args:
            user: whose membership.
            channel: of which channel.
            before: when the leave was answered, at the latest.
            at: when the user is to be away still.
        """
        changes = [change for change in self._of(user, channel) if change.asked <= at]
        leaves = [change for change in changes if not change.joins and change.answered < before]
        if not leaves:
            return NEVER
        newest = max(leaves, key=lambda change: change.asked)
        came_back = any(change.joins and change.answered > newest.asked for change in changes)
        return NEVER if came_back else newest.answered

    def since(self, user: str, channel: str, opened: float, joined: list[float]) -> float:
        """From when a session is to get every message of a channel; `NEVER` where that is not certain.

        Args:
            user: of the session.
            channel: which one.
            opened: when the session opened.
            joined: when it got an event that its user joined the channel.
        """
        changes = self._of(user, channel)
        before = [change for change in changes if change.asked <= opened]
        if self._was_member(user, channel, before, opened):
            return opened
        for at in joined:
            if all(change.joins for change in changes if change.asked <= at):
                return at
        return NEVER

    def until(self, user: str, channel: str, since: float) -> float:
        """Until when it is: until somebody asks that the user leaves."""
        return min(
            (change.asked for change in self._of(user, channel) if not change.joins and change.answered >= since),
            default=NEVER,
        )

    def _was_member(self, user: str, channel: str, before: list[Change], opened: float) -> bool:
        if not before:
            return self._is_first_member(user, channel)
        if any(change.answered >= opened for change in before):
            return self._is_first_member(user, channel) and all(change.joins for change in before)
        newest = max(before, key=lambda change: change.asked)
        apart = all(change is newest or change.answered < newest.asked for change in before)
        return newest.joins and apart

    @staticmethod
    def _ends_all(leave: Change, changes: list[Change]) -> bool:
        """Whether a leave is certain, and apart from every join."""
        if leave.joins or leave.answered == NEVER:
            return False
        return all(not join.joins or join.answered < leave.asked or join.asked > leave.answered for join in changes)

    def _is_first_member(self, user: str, channel: str) -> bool:
        return user in self._plan.channels.get(channel, ())

    def _of(self, user: str, channel: str) -> list[Change]:
        return self._changes.get((user, channel), [])
