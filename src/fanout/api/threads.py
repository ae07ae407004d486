"""Reading the replies of a thread."""

from typing import Annotated, Final, Protocol

import msgspec
from msgspec import Meta

from fanout.api.calls import Call
from fanout.api.common import Id, Request
from fanout.api.history import MAX_PAGE
from fanout.error_codes import BAD_CURSOR, NOT_A_MEMBER, UNKNOWN_THREAD
from fanout.events import StoredMessage
from fanout.ids import check_id

Cursor = Annotated[
    str, Meta(description="The `cursor` of the page before, for the page of the thread that follows it.")
]


class RepliesRequest(Request, frozen=True):
    """`threads.replies`: without a `cursor`, the oldest replies."""

    thread_id: Annotated[
        Id, Meta(description="The `message_id` of the thread's first message; the caller is a member of its channel.")
    ]
    cursor: Cursor | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE, description="The most replies that the page may have.")] = 50

    def __post_init__(self) -> None:
        """Check the id.

        Raises:
            InvalidId: it is none.
        """
        check_id(self.thread_id, "thread_id")


class Replies(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of a thread."""

    replies: Annotated[list[StoredMessage], Meta(description="In the order of `seq`, oldest first.")]
    reply_count: Annotated[int, Meta(description="How many replies of the thread are stored.")]
    upto_seq: Annotated[
        int,
        Meta(
            description="The page, and those before it, miss no reply that the log held up to here. Otherwise as the "
            "`upto_seq` of a page of `channels.history` with `after`."
        ),
    ]
    newest_seq: (
        Annotated[int, Meta(description="As of `channels.history`; left out if the log did not answer.")] | None
    ) = None
    cursor: Annotated[str, Meta(description="Leads on to newer replies; left out on the last page.")] | None = None


class ThreadCalls(Protocol):
    """Handles the calls of this module. Each may raise `fanout.Unavailable`."""

    async def replies(self, user_id: str, request: RepliesRequest) -> Replies:
        """A page of a thread.

        Raises:
            CallRejected: there is no such thread, the user is not a member of its channel, or the cursor was not given
                for this user and thread.
        """
        ...


CALLS: Final = (
    Call[ThreadCalls, RepliesRequest](
        name="threads.replies",
        method="GET",
        request=RepliesRequest,
        response=Replies,
        errors=(BAD_CURSOR, NOT_A_MEMBER, UNKNOWN_THREAD),
        summary="Read a thread",
        meaning="A page of replies.",
        description="""\
The replies of the thread in the order of the log, oldest first, those that were sent to the channel too included. The
first message of the thread is in the history of its channel, not here. A thread without replies has an empty page.

A page ends before `limit` where its replies exceed 1 MiB. A reply that was accepted a moment ago may not be stored
yet: `upto_seq` says up to where the page misses nothing.""",
        handler=lambda port, caller, request: port.replies(caller.user_id, request),
    ),
)
