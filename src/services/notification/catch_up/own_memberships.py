"""Recent changes of memberships, for clients that were away: which messages they get, and what they are told.

All clients that come back at the same time share one reading of META, which continues where the one before it ended.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import aclosing
from datetime import datetime
from operator import attrgetter
from typing import Final, NamedTuple

import structlog

from fanout import InvalidEvent, InvalidId, Unavailable, machine, text_frame
from fanout.events import MemberJoined, decode_member_event
from fanout.ports.log import Log, Reset, StoredEvent
from fanout.streams import MEMBERSHIP_STREAM, STREAMS
from fanout.subjects import channel_of
from services.runtime.shared_rounds import SharedRounds

log = structlog.get_logger(__name__)

MOST_CHANGES: Final = 200_000
"""Changes that are kept. If there are more, they are not known."""
ALWAYS: Final = 2**63 - 1
"""A time after all others, in nanoseconds since 1970."""


class TooManyChanges(Exception):  # noqa: N818 - it says what is known
    """More memberships changed lately than are kept."""


class Change(NamedTuple):
    """One change of a membership of one user."""

    channel_id: str
    joined: bool
    version: int
    at_ns: int
    """When it took effect, in nanoseconds since 1970."""
    stored_ns: int
    """When the log stored it."""
    frame: bytes
    """As members get it."""


class OwnMemberships:
    """The changes of each user's memberships in the last seconds.

    Args:
        events: the log.
        kept_s: seconds for which a change is known.
        clock: seconds since 1970.
    """

    def __init__(self, events: Log, *, kept_s: float, clock: Callable[[], float] = machine.wall_s) -> None:
        self._log = events
        self._kept_s = kept_s
        self._clock = clock
        self._reading = SharedRounds(self._read, "reading the newest changes of memberships")
        self._changes: dict[str, list[Change]] = {}
        self._order: deque[tuple[int, str]] = deque()
        """When each change was stored, and its user; in the order of the log."""
        self._upto = 0
        self._resets = 0
        self._read_at = -math.inf
        self._flooded_at = -math.inf

    def hear_reset(self, reset: Reset) -> None:
        """Handle the news that a stream went back; to be given to `Log.on_reset`."""
        if STREAMS[reset.stream].changes_memberships:
            self._resets += 1
            self._forget()

    async def changes_of(self, user_id: str) -> list[Change]:
        """The changes of a user's memberships, those included that were stored when this was called; the oldest first.

        Raises:
            TooManyChanges: they are not known.
            Unavailable: the log does not answer.
        """
        await self._reading.ask()
        return sorted(self._changes.get(user_id, ()), key=attrgetter("version"))

    async def _read(self) -> None:
        now, resets = self._clock(), self._resets
        if now - self._flooded_at < self._kept_s:
            raise TooManyChanges
        if now - self._read_at >= self._kept_s:
            self._forget()
            self._upto = await self._log.seq_at(MEMBERSHIP_STREAM, now - self._kept_s)
        end = await self._log.last_seq(MEMBERSHIP_STREAM)
        if end > self._upto:
            await self._read_upto(end)
        if resets != self._resets:
            raise Unavailable("the log went back")
        self._read_at = now
        self._prune(int((now - self._kept_s) * 1e9))

    async def _read_upto(self, end: int) -> None:
        async with aclosing(self._log.read(MEMBERSHIP_STREAM, after=self._upto, upto=end)) as events:
            async for stored in events:
                self._add(stored)
                if len(self._order) > MOST_CHANGES:
                    log.warning("too many memberships change; clients that were away longer read everything again")
                    self._flooded_at = self._clock()
                    self._forget()
                    raise TooManyChanges
        self._upto = end

    def _add(self, stored: StoredEvent) -> None:
        if stored.seq <= self._upto:
            return  # it was read before the reading was broken off
        self._upto = stored.seq
        try:
            event = decode_member_event(stored.payload, channel_of(stored.subject))
        except (InvalidEvent, InvalidId):
            return  # the workers store it as a dead letter
        at_ns = min(nanoseconds_of(event.at, stored.stored_ns), stored.stored_ns)
        joined, frame = isinstance(event, MemberJoined), text_frame(stored.payload)
        change = Change(event.channel_id, joined, event.version, at_ns, stored.stored_ns, frame)
        self._changes.setdefault(event.user_id, []).append(change)
        self._order.append((stored.stored_ns, event.user_id))

    def _prune(self, before_ns: int) -> None:
        while self._order and self._order[0][0] < before_ns:
            _, user_id = self._order.popleft()
            changes = self._changes[user_id]
            del changes[0]
            if not changes:
                del self._changes[user_id]

    def _forget(self) -> None:
        self._changes.clear()
        self._order.clear()
        self._read_at = -math.inf


def nanoseconds_of(text: str, otherwise: int) -> int:
    """A time of an event, in nanoseconds since 1970; `otherwise` if it is none."""
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1e9)
    except (ValueError, OverflowError):
        return otherwise


def spans_of(changes: Iterable[Change]) -> list[tuple[str, int, int]]:
    """When a user was a member of the channels that the changes name, as `LogCache` takes it.

    Args:
        changes: of one user, by their versions. Before the first change of a channel, the user was what it changed.
    """
    spans: list[tuple[str, int, int]] = []
    since: dict[str, int | None] = {}
    for change in changes:
        channel_id, began = change.channel_id, since.get(change.channel_id, None if change.joined else 0)
        if began is not None and not change.joined:
            spans.append((channel_id, began, change.at_ns))
        since[channel_id] = (change.at_ns if began is None else began) if change.joined else None
    ended = [(channel_id, 0, 0) for channel_id, began in since.items() if began is None]
    return spans + ended + [(channel_id, began, ALWAYS) for channel_id, began in since.items() if began is not None]


def newest_of(changes: Iterable[Change], since_ns: int) -> list[Change]:
    """The newest change of each channel, of those that were stored since a time."""
    newest = {change.channel_id: change for change in changes if change.stored_ns >= since_ns}
    return list(newest.values())
