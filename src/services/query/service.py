"""What the queries answer. Built from ports alone."""

import random
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Literal, NamedTuple

from fanout.api import History, HistoryRequest, InvalidRequest, NoInstance, RealtimeAddress, not_a_member
from fanout.events import Message
from fanout.ids import check_message_id
from fanout.ports.memberships import Memberships
from fanout.ports.messages import Messages
from fanout.ports.presence import Lease, Presence

Direction = Literal["before", "after"]


class QueryService:
    """Implements `fanout.api.Queries`.

    Args:
        memberships: who may read what.
        messages: the message store.
        presence: the instances' leases.
    """

    def __init__(self, memberships: Memberships, messages: Messages, presence: Presence) -> None:
        self._memberships = memberships
        self._messages = messages
        self._presence = presence

    async def history(self, user_id: str, request: HistoryRequest) -> History:
        """A page of a channel; see `Queries.history`."""
        start = _start(request)
        if not await self._memberships.is_member(request.channel, user_id):
            raise not_a_member()
        page = await self._messages.history(
            request.channel,
            before=start.message_id if start.direction == "before" else None,
            after=start.message_id if start.direction == "after" else None,
            limit=request.limit + 1,  # one more than is shown tells whether there is more
        )
        return _cut(page, start.direction, request)

    async def connect(self) -> RealtimeAddress:
        """The address of the instance with most room; see `Queries.connect`. Chance picks among equals."""
        leases = (await self._presence.leases()).values()
        roomiest = max(leases, key=lambda lease: (_room(lease), random.random()), default=None)  # noqa: S311
        if roomiest is None:
            raise NoInstance("no notification instance is up; try again")
        if _room(roomiest) <= 0:
            raise NoInstance("every notification instance is full; try again")
        return RealtimeAddress(roomiest.address)


class _Start(NamedTuple):
    """Where a page begins; in its text, the cursor, the channel stands too: what leads on in one leads nowhere else."""

    direction: Direction
    message_id: str | None

    def encode(self, channel: str) -> str:
        return urlsafe_b64encode(f"{channel}:{self.direction}:{self.message_id}".encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, cursor: str, channel: str) -> "_Start":
        try:
            padding = "=" * (-len(cursor) % 4)
            of, direction, message_id = urlsafe_b64decode(cursor + padding).decode("ascii").split(":")
            check_message_id(message_id)
        except ValueError as error:
            raise _bad_cursor() from error
        if of == channel and direction == "before":
            return cls("before", message_id)
        if of == channel and direction == "after":
            return cls("after", message_id)
        raise _bad_cursor()


def _bad_cursor() -> InvalidRequest:
    return InvalidRequest("invalid_cursor", "the cursor is none that this service gave for this channel")


def _start(request: HistoryRequest) -> _Start:
    if request.cursor is not None:
        return _Start.decode(request.cursor, request.channel)
    if request.after is not None:
        return _Start("after", request.after)
    return _Start("before", request.before)


def _cut(page: list[Message], direction: Direction, request: HistoryRequest) -> History:
    """The page without the one message too many, which is the oldest going back and the newest going on."""
    if len(page) <= request.limit:
        return History(page)
    shown = page[: request.limit] if direction == "before" else page[-request.limit :]
    last = shown[-1] if direction == "before" else shown[0]
    return History(shown, _Start(direction, last.message_id).encode(request.channel))


def _room(lease: Lease) -> int:
    return lease.capacity - lease.connections
