"""Messages as rows of tables, the same for each store of tables.

There are two tables: that of channels, and that of threads. A message is in one of them, or in both.
"""

from operator import attrgetter, itemgetter
from typing import Any, Final

import orjson

from fanout.events import StoredMessage


class RowForm:
    """The form of the rows of one table.

    Args:
        owner: the column that names the channel or the thread that a row belongs to.
        columns: the others that hold the message, in their order.
    """

    def __init__(self, owner: str, columns: tuple[str, ...]) -> None:
        self.owner: Final = owner
        self.columns: Final = columns
        self._of_message = attrgetter(*columns)
        in_row = (owner, *columns)
        self._in_order = itemgetter(*map(in_row.index, StoredMessage.__struct_fields__))

    def owner_of(self, message: StoredMessage) -> str:
        """The channel or thread of a message of this table."""
        owner: str = getattr(message, self.owner)
        return owner

    def values_of(self, message: StoredMessage) -> tuple[str | int | None, ...]:
        """The values of `columns`. Mentions and attachments are JSON; what a message lacks is None."""
        values: tuple[Any, ...] = self._of_message(message)
        if message.mentions is None and message.attachments is None:
            return values
        return tuple(orjson.dumps(value).decode() if isinstance(value, list) else value for value in values)

    def message_of(self, owner: str, values: tuple[Any, ...]) -> StoredMessage:
        """The message that has these values of `columns`, in a channel or thread."""
        message_id, channel_id, sender_id, text, sent_at, thread_id, *others = self._in_order((owner, *values))
        mentions, attachments, client_msg_id, also_sent, seq = others
        return StoredMessage(
            message_id,
            channel_id,
            sender_id,
            text,
            sent_at,
            thread_id,
            None if mentions is None else orjson.loads(mentions),
            None if attachments is None else orjson.loads(attachments),
            client_msg_id,
            None if also_sent is None else bool(also_sent),
            seq=seq,
        )


IN_CHANNELS: Final = RowForm(
    "channel_id",
    (
        "seq",
        "message_id",
        "sender_id",
        "text",
        "sent_at",
        "thread_id",
        "mentions",
        "attachments",
        "client_msg_id",
        "also_send_to_channel",
    ),
)
IN_THREADS: Final = RowForm(
    "thread_id",
    (
        "seq",
        "message_id",
        "channel_id",
        "sender_id",
        "text",
        "sent_at",
        "mentions",
        "attachments",
        "client_msg_id",
        "also_send_to_channel",
    ),
)
FORMS: Final = (IN_CHANNELS, IN_THREADS)


def forms_of(message: StoredMessage) -> tuple[RowForm, ...]:
    """The forms of the tables that a message belongs to."""
    if message.thread_id is None:
        return (IN_CHANNELS,)
    return (IN_THREADS,) if message.is_only_in_thread else FORMS
