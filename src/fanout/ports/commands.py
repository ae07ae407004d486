"""The commands that clients give over their WebSockets, as an instance hands them on to the command service."""

from typing import Protocol

from fanout.ports.drafts import Base, Draft, DraftContent, Saved


class ClientCommands(Protocol):
    """Handles commands. Each may raise `Unavailable`, and can then be repeated."""

    async def mark_read(self, user_id: str, channel_id: str, message_id: str, *, device_id: str = "") -> None:
        """Move the user's read pointer of a channel up to a message, and tell the user's other devices.

        If it was there or further already, nothing changes and nobody is told.

        Args:
            user_id: a member of the channel.
            channel_id: the channel.
            message_id: a message of the channel.
            device_id: the device that says so, which is not told; empty to tell all of them.

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

    async def save_draft(
        self,
        user_id: str,
        channel_id: str,
        content: DraftContent | None,
        *,
        device_id: str = "",
        base: Base | None = None,
    ) -> Saved:
        """Save or delete the user's draft in a channel, and tell the user's other devices.

        Args:
            user_id: a member of the channel.
            channel_id: the channel.
            content: the draft. None, or one without any content, deletes it.
            device_id: the device that does it, which is not told; empty to tell all of them.
            base: what the edit was made from; see `fanout.ports.drafts.Drafts.save_draft`.

        Returns:
            the draft as it is now, and whether the change was refused because the draft is another one than the base.

        Raises:
            CallRejected: the user is not a member of the channel, or the draft is too long.
        """
        ...

    async def open_channel(self, user_id: str, channel_id: str) -> Draft:
        """Note that the user has opened a channel, and return the user's draft there.

        Raises:
            CallRejected: the user is not a member of the channel.
        """
        ...
