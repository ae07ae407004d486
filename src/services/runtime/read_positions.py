"""The counts at a position of a channel, from those that the unread store knows and the messages between."""

from dataclasses import replace

from fanout.ports.unread import ChannelState, CountedMessage, ReadPosition
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
            the position, with the newest message that was met on the way.

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

    async def _before(self, user_id: str, channel_id: str, seq: int, latest: ReadPosition) -> ReadPosition:
        later = self._channel_messages.between(channel_id, seq, latest.seq)
        found = [message async for message in later if message.in_channel]
        return ReadPosition(seq, latest.count - len(found), latest.own - _own(found, user_id))


def _moved(begin: ReadPosition, found: list[CountedMessage], user_id: str, seq: int) -> ReadPosition:
    message_id = found[-1].message_id if found else begin.message_id
    return ReadPosition(seq, begin.count + len(found), begin.own + _own(found, user_id), message_id)


def _own(found: list[CountedMessage], user_id: str) -> int:
    return sum(message.sender_id == user_id for message in found)
