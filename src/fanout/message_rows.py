"""Messages as rows of tables, the same for each store of tables.

There are two tables: that of channels, and that of threads. A message is in one of them, or in both.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from fanout.events import StoredMessage

_JSON: Final = frozenset({"mentions", "attachments"})


@dataclass(frozen=True)
class RowForm:
    """The form of the rows of one table.

    Attributes:
        owner: the column that names the channel or the thread that a row belongs to.
        columns: the others that hold the message, first `seq` and `message_id`.
    """

    owner: str
    columns: tuple[str, ...]

    def owner_of(self, message: StoredMessage) -> str:
        """The channel or thread of a message of this table."""
        owner: str = getattr(message, self.owner)
        return owner

    def values_of(self, message: StoredMessage) -> tuple[str | int | None, ...]:
        """The values of `columns`. Mentions and attachments are JSON; what a message lacks is None."""
        return tuple(self._values(message))

    def message_of(self, owner: str, values: tuple[Any, ...]) -> StoredMessage:
        """The message that has these values of `columns`, in a channel or thread."""
        fields = dict(zip(self.columns, values, strict=True), **{self.owner: owner})
        for name in _JSON:
            fields[name] = None if fields[name] is None else orjson.loads(fields[name])
        if fields["also_send_to_channel"] is not None:
            fields["also_send_to_channel"] = bool(fields["also_send_to_channel"])
        return StoredMessage(**fields)

    def _values(self, message: StoredMessage) -> Iterator[str | int | None]:
        for name in self.columns:
            value = getattr(message, name)
            yield orjson.dumps(value).decode() if name in _JSON and value is not None else value


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
