"""What the commands do. Built from ports alone.

A change stands in the membership store first and is told on the log after; where telling it fails, the caller
gets `Unavailable` and can repeat the call, which tells it then. The log's message ids are derived from what
happened, so that the repeat of something already told is dropped there.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from fanout import subjects
from fanout.api import (
    ChannelAnswer,
    ChannelRequest,
    CreateChannel,
    Forbidden,
    InvalidRequest,
    InviteRequest,
    SendMessage,
    SentMessage,
    not_a_member,
)
from fanout.errors import ChannelExists, ChannelNotFound, Unavailable
from fanout.events import (
    MESSAGE_NEW,
    MemberJoined,
    MemberLeft,
    Message,
    MessageEvent,
    decode_message_event,
    encode,
    timestamp,
)
from fanout.ids import new_event_id, new_message_id, new_ulid
from fanout.ports.log import Log
from fanout.ports.memberships import Channel, Membership, Memberships

RETRY_WINDOW: Final = timedelta(seconds=100)
"""How long a `channels.create` can be completed by repeating it: less than the log's dedup window of 120 s."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class CommandService:
    """Implements `fanout.api.Commands`.

    Args:
        log: where messages and member events go.
        memberships: channels and their members.
        now: the time, with a zone.
    """

    def __init__(self, log: Log, memberships: Memberships, now: Callable[[], datetime] = _utc_now) -> None:
        self._log = log
        self._memberships = memberships
        self._now = now

    async def send_message(self, user_id: str, request: SendMessage, correlation_id: str) -> SentMessage:
        """Store a message in the log; see `Commands.send_message`.

        A `client_msg_id` that the user sent before, within the dedup window, is answered with the message that
        was stored then, whatever the repeat carries: the id is the client's word that it is the same message.
        """
        if request.thread_id is not None or request.also_send_to_channel:
            raise InvalidRequest("threads_unavailable", "threads are not in this version")
        if not await self._memberships.is_member(request.channel, user_id):
            raise not_a_member()
        message = _message(user_id, request, timestamp(self._now()))
        message_id = await self._store(message, correlation_id)
        return SentMessage(message_id, correlation_id)

    async def create_channel(self, user_id: str, request: CreateChannel) -> ChannelAnswer:
        """Create a channel; see `Commands.create_channel`.

        The creator who repeats the call shortly after it failed half-way completes it, and is answered as if it
        had not failed. Once everything was told, or after `RETRY_WINDOW`, the channel simply exists.
        """
        now = self._now()
        channel_id = request.channel_id or f"chan_{new_ulid()}"
        channel = Channel(channel_id, request.name, request.private, user_id, timestamp(now))
        members = list(dict.fromkeys([user_id, *request.members]))
        try:
            joined = await self._memberships.create(channel, members)
        except ChannelExists:
            joined = await self._unfinished(channel, members, now)
            if not await self._tell_joined(joined):
                raise
        else:
            await self._tell_joined(joined)
        return ChannelAnswer(channel_id)

    async def join(self, user_id: str, request: ChannelRequest) -> ChannelAnswer:
        """Make the user a member; see `Commands.join`. A member who joins again is told of again: a retry."""
        channel = await self._channel(request.channel)
        if channel.private and not await self._memberships.is_member(request.channel, user_id):
            raise Forbidden("private_channel", "a private channel is entered by a member's invitation")
        return await self._add(request.channel, [user_id])

    async def invite(self, user_id: str, request: InviteRequest) -> ChannelAnswer:
        """Make others members; see `Commands.invite`."""
        await self._channel(request.channel)
        if not await self._memberships.is_member(request.channel, user_id):
            raise not_a_member()
        return await self._add(request.channel, list(dict.fromkeys(request.user_ids)))

    async def leave(self, user_id: str, request: ChannelRequest) -> ChannelAnswer:
        """End the user's membership; see `Commands.leave`."""
        await self._channel(request.channel)
        ended = await self._memberships.remove(request.channel, user_id)
        if ended is not None:
            await self._tell_left(ended)
        return ChannelAnswer(request.channel)

    async def _store(self, message: Message, correlation_id: str) -> str:
        event_id = new_event_id()
        # No event id has a colon, so what the client chose can never be taken for one of ours.
        msg_id = f"{message.sender_id}:{message.client_msg_id}" if message.client_msg_id else event_id
        subject = subjects.message(message.channel_id)
        payload = _payload(event_id, message, correlation_id)
        appended = await self._log.append(subject, payload, msg_id=msg_id)
        return await self._original(appended.seq) if appended.duplicate else message.message_id

    async def _original(self, seq: int) -> str:
        stored = await self._log.get(subjects.MESSAGES, seq)
        if stored is None:
            raise Unavailable(f"the log no longer holds the first of these messages, at {seq}")
        return decode_message_event(stored.payload, subjects.channel_of(stored.subject)).message_id

    async def _channel(self, channel_id: str) -> Channel:
        channel = await self._memberships.channel(channel_id)
        if channel is None:
            raise ChannelNotFound(channel_id)
        return channel

    async def _unfinished(self, wanted: Channel, members: list[str], now: datetime) -> list[Membership]:
        found = await self._channel(wanted.channel_id)
        same = (found.name, found.private, found.created_by) == (
            wanted.name,
            wanted.private,
            wanted.created_by,
        )
        if not same or now - datetime.fromisoformat(found.created_at) > RETRY_WINDOW:
            raise ChannelExists(wanted.channel_id)
        return await self._memberships.add(wanted.channel_id, members, timestamp(now))

    async def _add(self, channel_id: str, user_ids: list[str]) -> ChannelAnswer:
        await self._tell_joined(await self._memberships.add(channel_id, user_ids, timestamp(self._now())))
        return ChannelAnswer(channel_id)

    async def _tell_joined(self, memberships: Iterable[Membership]) -> bool:
        """Publish memberships; whether the log had not heard of each before."""
        news = False
        for member in memberships:
            event = MemberJoined(new_event_id(), member.channel_id, member.user_id, member.joined_at)
            appended = await self._log.append(
                subjects.member_joined(member.channel_id), encode(event), msg_id=_msg_id("joined", member)
            )
            if not appended.duplicate:
                news = True
                await self._correct(member, joined=True)
        return news

    async def _tell_left(self, ended: Membership) -> None:
        at = timestamp(self._now())
        event = MemberLeft(new_event_id(), ended.channel_id, ended.user_id, at)
        try:
            await self._log.append(subjects.member_left(ended.channel_id), encode(event), msg_id=_msg_id("left", ended))
        except Unavailable:
            # Whoever left and is still routed to would go on reading, and a repeated call would find nothing
            # to tell. So the membership comes back, as a new one: what is told of it is no repeat of the old.
            await self._memberships.add(ended.channel_id, [ended.user_id], at)
            raise
        await self._correct(ended, joined=False)

    async def _correct(self, member: Membership, *, joined: bool) -> None:
        """Tell again, where what was told of a member is not what the store holds.

        Another gateway may change the membership back, and tell so, between this one's change and its word: the log
        would end with the older of the two, and whoever left would go on reading. But the last to tell also looks last.
        """
        while await self._memberships.is_member(member.channel_id, member.user_id) != joined:
            joined = not joined
            kind, subject = (MemberJoined, subjects.member_joined) if joined else (MemberLeft, subjects.member_left)
            event = kind(new_event_id(), member.channel_id, member.user_id, timestamp(self._now()))
            await self._log.append(subject(member.channel_id), encode(event), msg_id=event.event_id)


def _msg_id(what: str, member: Membership) -> str:
    return f"{what}:{member.channel_id}:{member.user_id}:{member.joined_at}"


def _message(user_id: str, request: SendMessage, sent_at: str) -> Message:
    return Message(
        message_id=new_message_id(),
        channel_id=request.channel,
        sender_id=user_id,
        text=request.text,
        sent_at=sent_at,
        mentions=request.mentions or None,
        attachments=request.attachments or None,
        client_msg_id=request.client_msg_id,
    )


def _payload(event_id: str, message: Message, correlation_id: str) -> bytes:
    raw = msgspec.Raw(encode(message))
    return encode(MessageEvent(event_id, MESSAGE_NEW, message.channel_id, raw, correlation_id))
