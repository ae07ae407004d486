"""Drafts: texts that a user has begun to write, the same on all devices of the user."""

from typing import Annotated, Any, Final, Protocol

import msgspec
from msgspec import UNSET, Meta, UnsetType

from fanout.api.calls import PREFIX, Call
from fanout.api.common import Id, Request
from fanout.api.messages import Attachments, check_attachments
from fanout.error_codes import DRAFT_CONFLICT, DRAFT_TOO_LONG, NOT_A_MEMBER
from fanout.events import Timestamp
from fanout.ids import check_device_id, check_id, check_message_id
from fanout.ports.drafts import Base, Draft

PATH: Final = f"{PREFIX}/channels/{{channel_id}}/draft"

DeviceId = Annotated[
    str, Meta(description="The device that makes the change. It is not told of it; the caller's other devices are.")
]
BaseTime = Annotated[
    str | None,
    Meta(
        description="The `updated_at` of the draft that the edit was made from; null if there was none. The change is "
        "refused if the draft is another one by now. Without this field the last to arrive wins."
    ),
]


class _DraftRequest(Request, frozen=True):
    channel_id: Id

    def __post_init__(self) -> None:
        check_id(self.channel_id, "channel_id")


class LoadRequest(_DraftRequest, frozen=True):
    """`GET` of a draft."""


class _ChangeRequest(_DraftRequest, frozen=True, kw_only=True):
    device_id: DeviceId | None = None
    base_updated_at: BaseTime | UnsetType = UNSET

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.device_id is not None:
            check_device_id(self.device_id)

    @property
    def base(self) -> Base | None:
        """The draft that the edit was made from; None if the request does not say."""
        return None if self.base_updated_at is UNSET else Base(self.base_updated_at)


class SaveRequest(_ChangeRequest, frozen=True, kw_only=True):
    """`PUT` of a draft."""

    text: Annotated[str, Meta(description="At most 16,000 characters.")]
    reply_to: Annotated[str, Meta(description="The message that the draft replies to.")] | None = None
    attachments: Attachments = []  # noqa: RUF012 - msgspec copies it

    def __post_init__(self) -> None:
        """Check what a pattern cannot."""
        super().__post_init__()
        if self.reply_to is not None:
            check_message_id(self.reply_to, "reply_to")
        check_attachments(self.attachments)


class DeleteRequest(_ChangeRequest, frozen=True, kw_only=True):
    """`DELETE` of a draft."""


class DraftAnswer(msgspec.Struct, frozen=True):
    """A draft. Without one, `text` is empty, and `updated_at` says when it was deleted, if that is known."""

    channel_id: Id
    text: str
    reply_to: str | None
    attachments: list[Any]
    updated_at: Annotated[
        Timestamp | None, Meta(description="When it was saved or deleted last: the `base_updated_at` of the next edit.")
    ]
    device_id: Annotated[str | None, Meta(description="The device that did it.")]

    @classmethod
    def of(cls, channel_id: str, draft: Draft) -> "DraftAnswer":
        """A draft of a channel."""
        content, at, device_id = draft.content, draft.updated_at or None, draft.device_id or None
        if content is None:
            return cls(channel_id, "", None, [], at, device_id)
        return cls(channel_id, content.text, content.reply_to, content.attachments, at, device_id)


class DraftCalls(Protocol):
    """Handles the calls of this module. Each may raise `fanout.Unavailable`, and can then be repeated."""

    async def save_draft(self, user_id: str, request: SaveRequest) -> DraftAnswer:
        """Save a draft, and tell the user's other devices.

        Raises:
            CallRejected: the user is not a member of the channel, the draft is too long, or it is another one by now.
        """
        ...

    async def get_draft(self, user_id: str, request: LoadRequest) -> DraftAnswer:
        """Return a draft.

        Raises:
            CallRejected: the user is not a member of the channel.
        """
        ...

    async def delete_draft(self, user_id: str, request: DeleteRequest) -> DraftAnswer:
        """Delete a draft, and tell the user's other devices.

        Raises:
            CallRejected: as of `save_draft`.
        """
        ...


CALLS: Final = (
    Call[DraftCalls, SaveRequest](
        name="drafts.save",
        method="PUT",
        path=PATH,
        request=SaveRequest,
        response=DraftAnswer,
        errors=(NOT_A_MEMBER, DRAFT_TOO_LONG, DRAFT_CONFLICT),
        summary="Save the caller's draft in a channel",
        meaning="The draft is saved, with the server's time.",
        description="The caller's other devices get `sync.draft`. A draft without any content is deleted. A draft ends "
        "after seven days, and when its user leaves the channel. A problem `draft_conflict` has the draft as it is in "
        "its member `draft`.",
        handler=lambda port, caller, request: port.save_draft(caller.user_id, request),
    ),
    Call[DraftCalls, LoadRequest](
        name="drafts.get",
        method="GET",
        path=PATH,
        request=LoadRequest,
        response=DraftAnswer,
        errors=(NOT_A_MEMBER,),
        summary="Read the caller's draft in a channel",
        meaning="The draft; its text is empty if there is none.",
        handler=lambda port, caller, request: port.get_draft(caller.user_id, request),
    ),
    Call[DraftCalls, DeleteRequest](
        name="drafts.delete",
        method="DELETE",
        path=PATH,
        request=DeleteRequest,
        response=DraftAnswer,
        errors=(NOT_A_MEMBER, DRAFT_CONFLICT),
        summary="Delete the caller's draft in a channel",
        meaning="There is no draft now.",
        description="The caller's other devices get `sync.draft`. For seven days the deletion is remembered, so that "
        "an edit from before it is refused if it names its base.",
        handler=lambda port, caller, request: port.delete_draft(caller.user_id, request),
    ),
)
