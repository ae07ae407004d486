"""The counts at a position of a channel, from those that the unread store knows and the messages between."""

from dataclasses import replace

from fanout.ports.unread import ChannelState, CountedMessage, ReadPosition
from services.runtime.accepted_messages import MAX_TAIL
from services.runtime.channel_messages import ChannelMessages


class ReadPositions:
    """Computes `ReadPosition`s. The counts at a position never change, so a result stays right while others count.

    Args:
        channel_messages: reads the messages between a known position and the wanted one.
    """

    def __init__(self, channel_messages: ChannelMessages) -> None:
        self._channel_messages = channel_messages

    async def at(self, user_id: str, channel_id: str, seq: int, state: ChannelState) -> ReadPosition:
        """The counts of a user at a position of a channel.

        Args:
            user_id: whose own messages are counted.
            channel_id: the channel.
            seq: the position.
            state: what the store knows.

        Returns:
            the position, with the newest message there if it was met on the way.

        Raises:
            Unavailable: messages between cannot be read now.
        """
        latest = ReadPosition(state.latest_seq, state.count, state.own, state.latest_id)
        if seq >= state.place:
            begin, newer = latest, self._channel_messages.in_log(channel_id, state.place, seq)
        elif seq >= state.latest_seq:
            return replace(latest, seq=seq)
        elif 0 < state.pointer.seq <= seq and seq - state.pointer.seq < state.latest_seq - seq:
            begin, newer = state.pointer, self._channel_messages.between(channel_id, state.pointer.seq, seq)
        else:
            return await self._before(user_id, channel_id, seq, latest)
        found = [message async for message in newer if message.in_channel]
        return _moved(begin, found, user_id, seq)

    async def at_join(self, user_id: str, channel_id: str, seq: int, state: ChannelState) -> ReadPosition:
        """As `at`, with the newest message of the channel at the position: up to there a new member has read.

        Raises:
            Unavailable: messages cannot be read now.
        """
        position = await self.at(user_id, channel_id, seq, state)
        if position.message_id or not position.count:
            return position
        return replace(position, message_id=await self._channel_messages.newest(channel_id, seq))

    async def mentions(self, user_id: str, channel_id: str, after: int, upto: int) -> list[int]:
        """The positions in a range of a channel at which a user is mentioned.

        Args:
            user_id: the user.
            channel_id: the channel.
            after: the range begins after this `seq`.
            upto: the last `seq` of the range.

        Returns:
            the positions, rising. Of a range that is too long for the log, those of replies that are in their threads
            alone are not among them.

        Raises:
            Unavailable: the messages cannot be read now.
        """
        is_short = upto - after <= MAX_TAIL
        read = self._channel_messages.in_log if is_short else self._channel_messages.between
        return [message.seq async for message in read(channel_id, after, upto) if user_id in message.mentions]

    async def _before(self, user_id: str, channel_id: str, seq: int, latest: ReadPosition) -> ReadPosition:
        later = self._channel_messages.between(channel_id, seq, latest.seq)
        found = [message async for message in later if message.in_channel]
        return ReadPosition(seq, latest.count - len(found), latest.own - _own(found, user_id))


def _moved(begin: ReadPosition, found: list[CountedMessage], user_id: str, seq: int) -> ReadPosition:
    message_id = found[-1].message_id if found else begin.message_id
    return ReadPosition(seq, begin.count + len(found), begin.own + _own(found, user_id), message_id)


def _own(found: list[CountedMessage], user_id: str) -> int:
    return sum(message.sender_id == user_id for message in found)
