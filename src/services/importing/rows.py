"""The rows of an import: what a line of JSON or a row of a table must hold."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta

from fanout.api.channels import MAX_NAME
from fanout.ids import check_id, is_dm_channel_id

Moment = Annotated[datetime, Meta(tz=True)]


class BadRow(Exception):  # noqa: N818 - the condition, as elsewhere
    """A row that cannot be imported; the text says why."""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base of all rows. An unknown field is an error, so a misspelt one is noticed."""

    channel_id: str

    def __post_init__(self) -> None:
        """Check the id of the channel. The two members of a direct message are never changed, so none is imported."""
        check_id(self.channel_id, "channel_id")
        if is_dm_channel_id(self.channel_id):
            raise ValueError("channel_id has the form of a direct message, which cannot be imported")


class ChannelRow(Row, frozen=True):
    """A channel."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
    created_by: str
    private: bool = False
    created_at: Moment | None = None

    def __post_init__(self) -> None:
        """Check the ids."""
        super().__post_init__()
        check_id(self.created_by, "created_by")


class MembershipRow(Row, frozen=True):
    """A membership."""

    user_id: str
    joined_at: Moment | None = None

    def __post_init__(self) -> None:
        """Check the ids."""
        super().__post_init__()
        check_id(self.user_id, "user_id")


R = TypeVar("R", bound=Row)


class RowReader(Generic[R]):
    """Makes rows of what a file holds.

    Args:
        kind: the class of the rows.
    """

    def __init__(self, kind: type[R]) -> None:
        self._kind = kind
        self._json = msgspec.json.Decoder(kind)

    def read(self, content: bytes | Mapping[str, object]) -> R:
        """The row of a JSON text or of named fields.

        Raises:
            BadRow: it is none.
        """
        try:
            if isinstance(content, bytes):
                return self._json.decode(content)
            return msgspec.convert(content, self._kind)
        except UnicodeDecodeError as error:
            raise BadRow(f"is not UTF-8: {error.reason}") from error
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise BadRow(_printable(str(error))) from error

    def check_fields(self, names: Sequence[str]) -> None:
        """Check the columns of a table before its rows.

        Raises:
            BadRow: a column is missing, or is not known.
        """
        known = {field.name: field.required for field in msgspec.structs.fields(self._kind)}
        if unknown := sorted(set(names) - known.keys()):
            raise BadRow(f"has unknown columns: {_printable(', '.join(unknown))}; known are: {', '.join(known)}")
        if missing := [name for name, required in known.items() if required and name not in names]:
            raise BadRow(f"lacks columns: {', '.join(missing)}")


def _printable(text: str) -> str:
    """The text without control characters of the file, which could control a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
