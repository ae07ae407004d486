"""The commands that clients give over their WebSockets, as an instance hands them on to the command service."""

from typing import Protocol

from fanout.ports.unread import ReadPosition


class ClientCommands(Protocol):
    """Handles commands. Each may raise `Unavailable`, and can then be repeated."""

    async def mark_read(self, user_id: str, channel_id: str, message_id: str) -> ReadPosition | None:
        """Move the user's read pointer of a channel up to a message.

        Args:
            user_id: a member of the channel.
            channel_id: the channel.
            message_id: a message of the channel.

        Returns:
            the pointer, for the user's other devices; None if it was there or further already, and nothing changed.

        Raises:
            CallRejected: the user is not a member of the channel, or neither the store nor the log has such a message
                of this channel. Nothing has changed.
        """
        ...

    async def message_read(self, user_id: str, channel_id: str, message_id: str) -> None:
        """Note that the user has read a message.

        In a channel of up to `fanout.ports.receipts.MAX_MEMBERS` members this is a receipt, which the other members get
        and which is stored; there is none of a user's own message. In a larger channel it moves the read pointer.

        Args:
            user_id: a member of the channel.
            channel_id: the channel.
            message_id: a message of the channel.

        Raises:
            CallRejected: as of `mark_read`.
        """
        ...
