"""The command service: it handles the calls that change something. It uses only ports.

A change of a membership is written to the membership store first, marked as not yet on the log, and then appended to
the log. If the log cannot be reached, the caller gets `Unavailable`, the change stands, and the publisher appends it
later.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

import msgspec

from fanout import machine, subjects
from fanout.api.channels import ChannelRequest, ChannelResponse, CreateChannel, InviteRequest, OpenedDm, RemoveRequest
from fanout.api.messages import SendMessage, SentMessage
from fanout.error_codes import DM_MEMBERS_FIXED, INVALID_REQUEST, NOT_A_MEMBER, NOT_THE_CREATOR, UNKNOWN_THREAD
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
from fanout.ports.followers import Followers
from fanout.ports.log import Log
from fanout.ports.memberships import Channel, Membership, Memberships
from fanout.ports.messages import Messages
from fanout.streams import MESSAGES
from services.command.direct_messages import direct_message, is_dm
from services.command.membership_publisher import MembershipPublisher
from services.runtime.accepted_messages import AcceptedMessages
from services.runtime.membership_cache import MembershipCache
from services.runtime.tasks import all_ended

_ENDED_AT_ONCE: Final = 16
"""Memberships that end at the same time: fewer than a store has connections."""


def _note_nothing(_user_id: str, _channel_id: str) -> None:
    pass


class CommandService:
    """Handles the calls that change something: those of `fanout.api.messages` and `fanout.api.channels`.

    Args:
        log: stores messages and member events.
        memberships: channels and their members. Calls that change them ask nothing else.
        cache: says who may send messages, and whom they may mention.
        messages: the message store, which knows the threads.
        followers: of threads.
        now: the time, with a zone.
        note_use: called with the user and the channel of each message.
    """

    def __init__(
        self,
        log: Log,
        memberships: Memberships,
        cache: MembershipCache,
        messages: Messages,
        followers: Followers,
        now: Callable[[], datetime] = machine.utc_now,
        *,
        note_use: Callable[[str, str], None] = _note_nothing,
    ) -> None:
        self._note_use = note_use
        self._log = log
        self._accepted = AcceptedMessages(messages, log)
        self._memberships = memberships
        self._cache = cache
        self._publisher = MembershipPublisher(log, memberships)
        self._followers = followers
        self._now = now

    async def send_message(self, user_id: str, request: SendMessage, correlation_id: str) -> SentMessage:
        """Store a message in the log; see `MessageCalls.send_message`.

        A repeat with a `client_msg_id` that the user sent before, within the dedup window, is answered with the id of
        the message that was stored then, whatever else it holds: by the id, the client says that it is the same.
        """
        await self._cache.check(request.channel, user_id)
        if request.thread_id is not None:
            await self._enter_thread(user_id, request, request.thread_id)
        mentions = await self._mentioned(user_id, request)
        message = _message(user_id, request, mentions, timestamp(self._now()))
        message_id = await self._store(message, correlation_id)
        self._note_use(user_id, request.channel)
        return SentMessage(message_id, correlation_id)

    async def create_channel(self, user_id: str, request: CreateChannel) -> ChannelResponse:
        """Create a channel; see `ChannelCalls.create_channel`.

        If a creation failed halfway, its repeat by the creator finishes it, with the members of the first call. A
        member who has left since then is not added again.
        """
        channel_id = request.channel_id or f"chan_{new_ulid()}"
        channel = Channel(channel_id, request.name or "", request.private, user_id, timestamp(self._now()))
        members = list(dict.fromkeys([user_id, *request.members]))
        try:
            await self._memberships.create(channel, members)
        except ChannelExists:
            if not await self._is_repeat(channel) or not await self._publisher.finish_creation(channel_id):
                raise
        else:
            await self._publisher.finish_creation(channel_id)
        return ChannelResponse(channel_id)

    async def open_dm(self, user_id: str, request: CreateChannel) -> OpenedDm:
        """Create or find the direct message of two users; see `ChannelCalls.open_dm`."""
        channel, members = direct_message(user_id, request, timestamp(self._now()))
        response = ChannelResponse(channel.channel_id)
        try:
            await self._memberships.create(channel, members)
        except ChannelExists:
            # Either of the two finishes what is unfinished: both are members when this call is answered.
            finished = await self._publisher.finish_creation(channel.channel_id)
            found = await self._memberships.channel(channel.channel_id)
            return OpenedDm(response, finished and found is not None and found.created_by == user_id)
        await self._publisher.finish_creation(channel.channel_id)
        return OpenedDm(response, is_new=True)

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
        await self._check_member(request.channel, user_id)
        if is_dm(await self._memberships.channel(request.channel)):
            raise CallRejected(DM_MEMBERS_FIXED)
        return await self._add(request.channel, list(dict.fromkeys(request.user_ids)))

    async def remove(self, user_id: str, request: RemoveRequest) -> ChannelResponse:
        """End the memberships of others; see `ChannelCalls.remove`. A repeat appends what the first call could not."""
        if user_id in request.user_ids:
            raise CallRejected(INVALID_REQUEST, "user_ids must not name the caller; channels.leave ends one's own")
        await self._check_member(request.channel, user_id)
        channel = await self._memberships.channel(request.channel)
        if is_dm(channel):
            raise CallRejected(DM_MEMBERS_FIXED)
        if channel is None or channel.created_by != user_id:
            raise CallRejected(NOT_THE_CREATOR)
        await self._end(request.channel, list(dict.fromkeys(request.user_ids)))
        return ChannelResponse(request.channel)

    async def leave(self, user_id: str, request: ChannelRequest) -> ChannelResponse:
        """End the user's membership; see `ChannelCalls.leave`. A repeat appends what the first call could not."""
        channel = await self._memberships.channel(request.channel)
        if is_dm(channel) and await self._memberships.is_member(request.channel, user_id):
            raise CallRejected(DM_MEMBERS_FIXED)
        if not await self._end(request.channel, [user_id]) and (channel is None or channel.private):
            raise _not_found(request.channel)
        return ChannelResponse(request.channel)

    async def _check_member(self, channel_id: str, user_id: str) -> None:
        if not await self._memberships.is_member(channel_id, user_id):
            raise CallRejected(NOT_A_MEMBER)

    async def _end(self, channel_id: str, user_ids: list[str]) -> bool:
        """End memberships. Return whether the store has a document of any."""
        ended: list[Membership] = []
        for start in range(0, len(user_ids), _ENDED_AT_ONCE):
            ending = (self._end_one(channel_id, user_id) for user_id in user_ids[start : start + _ENDED_AT_ONCE])
            ended += [membership for membership in await all_ended(ending) if membership is not None]
        await self._publisher.publish(ended)
        return bool(ended)

    async def _end_one(self, channel_id: str, user_id: str) -> Membership | None:
        try:
            return await self._memberships.remove(channel_id, user_id, timestamp(self._now()))
        finally:  # it may have ended, if the store did not answer
            self._cache.changed(channel_id, user_id)

    async def _enter_thread(self, user_id: str, request: SendMessage, thread_id: str) -> None:
        """Check that a message of the channel, itself no reply, has this id, and note who follows the thread now.

        They follow before the reply is stored, so none of a reply that is stored is ever missing.
        """
        root = await self._accepted.find(thread_id, request.channel)
        if root is None or root.channel_id != request.channel or root.thread_id is not None:
            raise CallRejected(UNKNOWN_THREAD)
        users = [user_id, *([root.sender_id] if root.sender_id else ()), *(request.mentions or ())]
        await self._followers.follow(request.channel, thread_id, list(dict.fromkeys(users)))

    async def _mentioned(self, user_id: str, request: SendMessage) -> list[str]:
        """The members of the channel that a message mentions, each once, without the sender."""
        others = [user for user in dict.fromkeys(request.mentions or ()) if user != user_id]
        members = await asyncio.gather(*(self._cache.is_member(request.channel, user) for user in others))
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
        thread_id=request.thread_id,
        also_send_to_channel=(request.thread_id is not None and request.also_send_to_channel) or None,
    )


def _payload(event_id: str, message: Message, correlation_id: str) -> bytes:
    raw = msgspec.Raw(encode(message))
    return encode(MessageEvent(event_id, MESSAGE_NEW, message.channel_id, raw, correlation_id))
