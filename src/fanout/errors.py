"""The errors of the library, as one tree.

FanoutError
├── InvalidId           an id outside the charset of the contract, section 1 (also a ValueError)
├── InvalidEvent        a stored event that can never be delivered: it goes to the dead-letter stream
├── MembershipUnknown   the engine was asked to add a user whose channels it does not hold
├── TableFull           the engine has no id for one more user on an instance
├── SnapshotRefused     a file is not a whole snapshot that this build reads (also a ValueError)
├── ForeignStore        a store or a stream belongs to another deployment
├── Unavailable         a store or the bus cannot be reached now; nothing was done
│   ├── OutcomeUnknown  the call was sent and not answered; it may have been done
│   └── StorageFull     a store is reached and has no room for more; nothing was done
├── TooLarge            an event that is too long for the log or the bus
├── PartitionLost       another worker has taken this partition; its reader must stop
├── ChannelExists       a channel of that id was created before
├── ChannelNotFound     no channel has that id
├── DeviceTaken         a device id that belongs to another user
├── DeviceRemoved       a device that was removed, and has not been registered again
└── CallRejected        a call that its caller may not make

A client gets the `error_code` of an error, a row of `fanout.error_codes`.
"""

from collections.abc import Mapping

from fanout.error_codes import (
    CHANNEL_EXISTS,
    CHANNEL_NOT_FOUND,
    DEVICE_TAKEN,
    INVALID_REQUEST,
    MESSAGE_TOO_LARGE,
    OUTCOME_UNKNOWN,
    UNAVAILABLE,
    ErrorCode,
)


class FanoutError(Exception):
    """The root of every error that Fanout raises on purpose.

    Attributes:
        error_code: the code that a client gets; None for an error that never reaches a client.
        public_text: whether a client may read the text of the exception. Otherwise it reads the text of the code.
    """

    error_code: ErrorCode | None = None
    public_text: bool = False


class InvalidId(FanoutError, ValueError):  # noqa: N818 - the field's names end in what is wrong, not in "Error"
    """An identifier that the contract does not allow."""

    error_code = INVALID_REQUEST
    public_text = True


class InvalidEvent(FanoutError, ValueError):  # noqa: N818
    """An event whose bytes can never be delivered; its text is the reason kept with the dead letter."""


class MembershipUnknown(FanoutError, LookupError):  # noqa: N818
    """The channels of a user are neither given nor cached; load them and add the user again."""


class TableFull(FanoutError):  # noqa: N818
    """The engine holds no more users on instances; nothing was changed."""


class SnapshotRefused(FanoutError, ValueError):  # noqa: N818
    """No engine can be restored from a file: it is incomplete, damaged, no snapshot, or of another version."""


class Unavailable(FanoutError):  # noqa: N818
    """A store or the bus cannot be reached. Nothing was done, and the same call may succeed later.

    A subclass says if more may be true: see `OutcomeUnknown`.
    """

    error_code = UNAVAILABLE


class OutcomeUnknown(Unavailable):
    """The call was sent and no answer came: it may have been done, or may be done a moment later.

    The caller repeats it with the same id (`msg_id`, `client_msg_id`), which is safe.
    """

    error_code = OUTCOME_UNKNOWN


class StorageFull(Unavailable):
    """A store that is reached has no room for more, or its disk refuses to be written. Nothing was done."""


class ForeignStore(FanoutError):  # noqa: N818
    """A store, a stream or a key belongs to another deployment, or to another program; the text has the remedy."""


class TooLarge(FanoutError):  # noqa: N818
    """A payload that is longer than the log or the bus takes; repeating the call changes nothing."""

    error_code = MESSAGE_TOO_LARGE


class PartitionLost(FanoutError):  # noqa: N818
    """The partition has a newer reader; this one must publish nothing more of it."""


class ChannelExists(FanoutError):  # noqa: N818
    """A channel of that id exists already."""

    error_code = CHANNEL_EXISTS


class ChannelNotFound(FanoutError):  # noqa: N818
    """There is no channel of that id."""

    error_code = CHANNEL_NOT_FOUND


class DeviceTaken(FanoutError):  # noqa: N818
    """The device belongs to another user."""

    error_code = DEVICE_TAKEN


class DeviceRemoved(FanoutError):  # noqa: N818
    """The device was removed; it may connect again when it is registered again."""


class CallRejected(FanoutError):  # noqa: N818
    """A call that its caller may not make; repeating it changes nothing.

    Args:
        error_code: what is wrong.
        detail: the same for people, more precisely; by default the text of the code.
        more: further members of the problem, RFC 9457 section 3.2.

    Attributes:
        error_code: as given.
        more: as given.
    """

    error_code: ErrorCode
    public_text = True

    def __init__(
        self, error_code: ErrorCode, detail: str | None = None, *, more: Mapping[str, object] | None = None
    ) -> None:
        self.error_code = error_code
        self.more = more or {}
        super().__init__(detail or error_code.text)
