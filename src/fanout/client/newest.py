"""Drops events that a client has already, and those that are older than what it has."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

import msgspec

from fanout.client.events import (
    AuthOk,
    Catchup,
    ChatMessage,
    Event,
    MemberJoined,
    MemberLeft,
    MessageNew,
    MissedMessages,
    PresenceUpdate,
    ThreadReply,
)
from fanout.client.resume_point import ResumePoint

VERSIONS_KEPT: Final = 10_000
"""Users and memberships whose newest version is remembered: a change that comes twice comes soon."""


class Newest:
    """Tells news from repeats: the positions of a channel's messages rise, and so do the versions of a change.

    Args:
        point: where the client resumes, if it does.
    """

    def __init__(self, point: ResumePoint | None) -> None:
        self._log = None if point is None else point.log
        self._by_channel = {} if point is None else dict(point.ahead)
        self._presence: dict[str, int] = {}
        self._versions: OrderedDict[Hashable, int] = OrderedDict()

    def news_of(self, event: Event) -> Event | None:
        """The event, or the part of it that is new; None if nothing of it is."""
        match event:
            case MessageNew(channel_id=channel_id, seq=seq) | ThreadReply(channel_id=channel_id, seq=seq):
                return event if self._rises(channel_id, seq) else None
            case Catchup():
                return self._news_of_catchup(event)
            case MemberJoined() | MemberLeft():
                return event if self._is_newer((event.channel_id, event.user_id), event.version) else None
            case PresenceUpdate():
                return event if self._is_current(event) else None
            case AuthOk(log=log):
                self._follow(log)
        return event

    def _follow(self, log: str | None) -> None:
        """Forget the positions of another log, and versions that a store may have lost meanwhile."""
        self._presence.clear()
        if log != self._log:
            self._log = log
            self._by_channel.clear()

    def _rises(self, channel_id: str, seq: int) -> bool:
        rises = seq > self._by_channel.get(channel_id, 0)
        if rises:
            self._by_channel[channel_id] = seq
        return rises

    def _news_of_catchup(self, event: Catchup) -> Catchup:
        channels = [self._news_of_channel(missed) for missed in event.channels]
        return msgspec.structs.replace(
            event, channels=[missed for missed in channels if missed.messages or missed.more]
        )

    def _news_of_channel(self, missed: MissedMessages) -> MissedMessages:
        news = [message for message in missed.messages if self._is_news(missed.channel_id, message)]
        return msgspec.structs.replace(missed, messages=news)

    def _is_news(self, channel_id: str, message: ChatMessage) -> bool:
        return message.seq is None or self._rises(channel_id, message.seq)

    def _is_current(self, update: PresenceUpdate) -> bool:
        """Whether no later state of the user came on this connection. The same one may be asked for again."""
        current = update.version >= self._presence.get(update.user, 0)
        if current:
            self._presence[update.user] = update.version
        return current

    def _is_newer(self, about: Hashable, version: int) -> bool:
        if not version:
            return True
        if version <= self._versions.get(about, 0):
            return False
        self._versions[about] = version
        self._versions.move_to_end(about)
        if len(self._versions) > VERSIONS_KEPT:
            self._versions.popitem(last=False)
        return True
