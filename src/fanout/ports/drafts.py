"""Drafts: texts that a user has begun to write in a channel, the same on all devices of the user."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

DRAFT_KEPT_S: Final = 7 * 86_400
"""Seconds after which a draft ends if it is not saved again, and for which a deletion is remembered."""


@dataclass(frozen=True, slots=True)
class DraftContent:
    """The content that a client saves."""

    text: str
    reply_to: str | None = None
    attachments: list[Any] = field(default_factory=list)
    """Any JSON values."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A user's draft in a channel, as the store knows it."""

    content: DraftContent | None = None
    """None if there is none: there never was one, or it was deleted."""
    updated_at: str = ""
    """When it was saved or deleted, as `fanout.events.timestamp` writes it; empty if neither is remembered. Each change
    of a draft has a later time than the one before."""
    device_id: str = ""
    """The device that did it; empty if the request named none."""


MEMBERSHIP_NOT_COUNTED: Final = "the membership is not counted yet; try again"
"""Why a change of a new member is refused for a moment: the store still knows the user as one who has left."""


class Base(NamedTuple):
    """The draft that an edit was made from."""

    updated_at: str | None
    """Its `updated_at`; None if the client knew of no draft."""


class Saved(NamedTuple):
    """The result of a change."""

    draft: Draft
    """The draft as it is now."""
    is_refused: bool = False
    """Whether the change was not made, because the draft is another one than the `base`."""


class Drafts(Protocol):
    """Keeps drafts. Each call is one atomic step, and may raise `Unavailable`."""

    async def drafts(self, user_id: str, channel_ids: Sequence[str]) -> list[Draft]:
        """Return a user's drafts in some channels, up to 500, in the order given."""
        ...

    async def save_draft(
        self,
        user_id: str,
        channel_id: str,
        content: DraftContent | None,
        *,
        now: str,
        device_id: str = "",
        base: Base | None = None,
    ) -> Saved:
        """Replace a draft.

        Args:
            user_id: whose.
            channel_id: where.
            content: the new content; None deletes the draft.
            now: the time, as `fanout.events.timestamp` writes it. A draft that has a later time gets one a millisecond
                later than that.
            device_id: the device that did it; empty if it is not known.
            base: the change is refused if the draft has another `updated_at`; None for no such check.

        Raises:
            Unavailable: also if the store knows the user as one who has left the channel.
        """
        ...
