"""The command service: it handles the calls that change something. It uses only ports.

A change of a membership is written to the membership store first, marked as not yet on the log, and then appended to
the log. If the log cannot be reached, the caller gets `Unavailable`, the change stands, and the publisher appends it
later.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import msgspec

from fanout import machine, subjects
from fanout.api.channels import ChannelRequest, ChannelResponse, CreateChannel, InviteRequest
from fanout.api.messages import SendMessage, SentMessage
from fanout.error_codes import NOT_A_MEMBER, THREADS_UNAVAILABLE
from fanout.errors import CallRejected, ChannelExists, ChannelNotFound, Unavailable
from fanout.events import (
    MESSAGE_NEW,
    Message,
    MessageEvent,
    decode_message_event,
    encode,
    timestamp,
)
from fanout.ids import new_event_id, new_message_id, new_ulid
from fanout.ports.log import Log
from fanout.ports.memberships import Channel, Memberships
from fanout.streams import MESSAGES
from services.command.membership_publisher import MembershipPublisher


class CommandService:
    """Handles the calls that change something: those of `fanout.api.messages` and `fanout.api.channels`.

    Args:
        log: stores messages and member events.
        memberships: channels and their members.
        now: the time, with a zone.
    """

    def __init__(self, log: Log, memberships: Memberships, now: Callable[[], datetime] = machine.utc_now) -> None:
        self._log = log
        self._memberships = memberships
        self._publisher = MembershipPublisher(log, memberships)
        self._now = now

    async def send_message(self, user_id: str, request: SendMessage, correlation_id: str) -> SentMessage:
        """Store a message in the log; see `MessageCalls.send_message`.

        A repeat with a `client_msg_id` that the user sent before, within the dedup window, is answered with the id of
        the message that was stored then, whatever else it holds: by the id, the client says that it is the same.
        """
        if request.thread_id is not None or request.also_send_to_channel:
            raise CallRejected(THREADS_UNAVAILABLE)
        if not await self._memberships.is_member(request.channel, user_id):
            raise CallRejected(NOT_A_MEMBER)
        mentions = await self._mentioned(user_id, request)
        message = _message(user_id, request, mentions, timestamp(self._now()))
        message_id = await self._store(message, correlation_id)
        return SentMessage(message_id, correlation_id)

    async def create_channel(self, user_id: str, request: CreateChannel) -> ChannelResponse:
        """Create a channel; see `ChannelCalls.create_channel`.

        If a creation failed halfway, its repeat by the creator finishes it, with the members of the first call. A
        member who has left since then is not added again.
        """
        channel_id = request.channel_id or f"chan_{new_ulid()}"
        channel = Channel(channel_id, request.name, request.private, user_id, timestamp(self._now()))
        members = list(dict.fromkeys([user_id, *request.members]))
        try:
            await self._memberships.create(channel, members)
        except ChannelExists:
            if not await self._is_repeat(channel) or not await self._publisher.finish_creation(channel_id):
                raise
        else:
            await self._publisher.finish_creation(channel_id)
        return ChannelResponse(channel_id)

    async def join(self, user_id: str, request: ChannelRequest) -> ChannelResponse:
        """Make the user a member; see `ChannelCalls.join`."""
        if not await self._is_hidden(request.channel):
            return await self._add(request.channel, [user_id])
        membership = await self._memberships.membership(request.channel, user_id)
        if membership is None or membership.left_at is not None:
            raise _not_found(request.channel)
        await self._publisher.publish([membership])
        return ChannelResponse(request.channel)

    async def invite(self, user_id: str, request: InviteRequest) -> ChannelResponse:
        """Make others members; see `ChannelCalls.invite`."""
        if not await self._memberships.is_member(request.channel, user_id):
            raise CallRejected(NOT_A_MEMBER)
        return await self._add(request.channel, list(dict.fromkeys(request.user_ids)))

    async def leave(self, user_id: str, request: ChannelRequest) -> ChannelResponse:
        """End the user's membership; see `ChannelCalls.leave`. A repeat appends what the first call could not."""
        ended = await self._memberships.remove(request.channel, user_id, timestamp(self._now()))
        if ended is not None:
            await self._publisher.publish([ended])
        elif await self._is_hidden(request.channel):
            raise _not_found(request.channel)
        return ChannelResponse(request.channel)

    async def _mentioned(self, user_id: str, request: SendMessage) -> list[str]:
        """The members of the channel that a message mentions, each once, without the sender."""
        others = [user for user in dict.fromkeys(request.mentions or ()) if user != user_id]
        members = await asyncio.gather(*(self._memberships.is_member(request.channel, user) for user in others))
        return [user for user, is_member in zip(others, members, strict=True) if is_member]

    async def _store(self, message: Message, correlation_id: str) -> str:
        event_id = new_event_id()
        # No event id has a colon, so what the client chose can never be taken for one of ours.
        msg_id = f"{message.sender_id}:{message.client_msg_id}" if message.client_msg_id else event_id
        subject = subjects.message(message.channel_id)
        payload = _payload(event_id, message, correlation_id)
        appended = await self._log.append(subject, payload, msg_id=msg_id)
        return await self._original(appended.seq) if appended.duplicate else message.message_id

    async def _original(self, seq: int) -> str:
        stored = await self._log.get(MESSAGES, seq)
        if stored is None:
            raise Unavailable(f"the log no longer holds the first of these messages, at {seq}")
        return decode_message_event(stored.payload, subjects.channel_of(stored.subject)).message_id

    async def _is_repeat(self, wanted: Channel) -> bool:
        found = await self._memberships.channel(wanted.channel_id)
        return found is not None and replace(found, created_at=wanted.created_at) == wanted

    async def _is_hidden(self, channel_id: str) -> bool:
        """Whether a user outside the channel gets `channel_not_found`: it is private, or does not exist."""
        channel = await self._memberships.channel(channel_id)
        return channel is None or channel.private

    async def _add(self, channel_id: str, user_ids: list[str]) -> ChannelResponse:
        await self._publisher.publish(await self._memberships.add(channel_id, user_ids, timestamp(self._now())))
        return ChannelResponse(channel_id)


def _not_found(channel_id: str) -> ChannelNotFound:
    return ChannelNotFound(f"there is no channel {channel_id}")


def _message(user_id: str, request: SendMessage, mentions: list[str], sent_at: str) -> Message:
    return Message(
        message_id=new_message_id(),
        channel_id=request.channel,
        sender_id=user_id,
        text=request.text,
        sent_at=sent_at,
        mentions=mentions or None,
        attachments=request.attachments or None,
        client_msg_id=request.client_msg_id,
    )


def _payload(event_id: str, message: Message, correlation_id: str) -> bytes:
    raw = msgspec.Raw(encode(message))
    return encode(MessageEvent(event_id, MESSAGE_NEW, message.channel_id, raw, correlation_id))
