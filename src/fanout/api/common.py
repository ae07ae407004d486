"""Parts that the requests of several resources share: the forms of ids and lists, and the base of all requests."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from fanout.ids import MAX_ID_LENGTH

MAX_USERS: Final = 500


def written(pattern: str, form: str) -> Meta:
    """A constraint on the form of a text.

    Args:
        pattern: a regular expression that the text matches.
        form: the same for people, in words that follow "must be".
    """
    return Meta(pattern=pattern, description=form[0].upper() + form[1:], extra={"form": form})


Id = Annotated[str, written(r"^[A-Za-z0-9_-]{1,128}$", f"1 to {MAX_ID_LENGTH} characters of A-Z, a-z, 0-9, '_' or '-'")]
MessageId = Annotated[str, written(r"^msg_[0-7][0-9A-HJKMNP-TV-Z]{25}$", "msg_ followed by a ULID")]
Users = Annotated[list[Id], Meta(max_length=MAX_USERS)]


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base of all requests. An unknown field is an error, so a misspelt one is noticed."""


class NoFields(Request, frozen=True):
    """The request of a call that takes nothing."""
