"""The calls by which a program tells what its user does."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

from fanout.client.activity import State
from fanout.client.sender import Sender
from fanout.ids import check_message_id


class UserCalls(ABC):
    """The calls of a client about its user. None of them waits: the frames are sent by the task of the client."""

    def mark_read(self, channel_id: str, message_id: str) -> None:
        """Tell that everything in a channel up to a message is read. Kept until the server has it, over interruptions.

        Raises:
            InvalidId: an id is none.
            OutboxFull: too much waits to be sent.
            ClientClosed: the client is not running.
        """
        self._tell().mark_read(channel_id, message_id)

    def message_read(self, channel_id: str, message_id: str) -> None:
        """Send a read receipt for a message. Kept until the server has it, over interruptions.

        Raises:
            InvalidId: an id is none.
            OutboxFull: too much waits to be sent.
            ClientClosed: the client is not running.
        """
        self._tell().message_read(channel_id, message_id)

    def typing(self, channel_id: str) -> None:
        """A key was pressed in a channel: call it as often as that. The others see that the user is typing.

        The notice is repeated every 3 s while keys are pressed. It ends when none is for that long, by `stop_typing`,
        and with the connection.

        Raises:
            InvalidId: it is no channel id.
            ClientClosed: the client is not running.
        """
        self._tell().type(channel_id, self._now())

    def stop_typing(self, channel_id: str) -> None:
        """The user has sent the message, or has stopped typing in a channel.

        Raises:
            ClientClosed: the client is not running.
        """
        self._tell().stop_typing(channel_id)

    def save_draft(
        self, channel_id: str, text: str, *, reply_to: str | None = None, attachments: Sequence[Any] = ()
    ) -> None:
        """Replace the draft of a channel. Kept until the server has it, over interruptions; only the last one is sent.

        The answer is `DraftSaved`. If another device has changed the draft meanwhile, this text is refused
        (`ErrorFrame` with `draft_conflict`) and `SyncDraft` tells the draft that there is.

        Raises:
            InvalidId: an id is none.
            OutboxFull: too much waits to be sent.
            ValueError: it is too long.
            ClientClosed: the client is not running.
        """
        if reply_to is not None:
            check_message_id(reply_to, "reply_to")
        self._tell().save_draft(channel_id, {"text": text, "reply_to": reply_to, "attachments": list(attachments)})

    def delete_draft(self, channel_id: str) -> None:
        """Delete the draft of a channel, as `save_draft` saves it.

        Raises:
            InvalidId: it is no channel id.
            OutboxFull: too much waits to be sent.
            ClientClosed: the client is not running.
        """
        self._tell().save_draft(channel_id, None)

    def open_channel(self, channel_id: str) -> None:
        """The user looks at a channel. The answer is `DraftLoad`; the channel is the focused one until another is.

        Raises:
            InvalidId: it is no channel id.
            ClientClosed: the client is not running.
        """
        self._tell().open_channel(channel_id)

    def close_channel(self) -> None:
        """The user looks at no channel any more.

        Raises:
            ClientClosed: the client is not running.
        """
        self._tell().close_channel(self._now())

    def watch_presence(self, user_ids: Iterable[str]) -> None:
        """Show the presence of these users, and of no others. The answers are `PresenceUpdate`, now and on each change.

        Raises:
            InvalidId: an id is none.
            ValueError: there are more than 500.
            ClientClosed: the client is not running.
        """
        self._tell().watch_presence(user_ids)

    def interacted(self) -> None:
        """The user did something at this device: the state is `active`, and `idle` after 60 s without another call.

        Raises:
            ClientClosed: the client is not running.
        """
        self._tell().set_state("active", self._now())

    def set_state(self, state: State) -> None:
        """Set the state of the device, as `background` when its window is hidden. The server hears it at once.

        Raises:
            ClientClosed: the client is not running.
        """
        self._tell().set_state(state, self._now())

    def ping(self) -> None:
        """Ask the server for a `Pong`. It is not asked without a connection.

        Raises:
            ClientClosed: the client is not running.
        """
        self._tell().ping()

    @abstractmethod
    def _tell(self) -> Sender:
        """The part of the protocol that sends; the task of the client is woken.

        Raises:
            ClientClosed: the client is not running.
        """

    @staticmethod
    @abstractmethod
    def _now() -> float:
        """The clock that the protocol goes by, in seconds."""
